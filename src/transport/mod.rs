//! The transports that all dashboards share.
//!
//! A transport reads from the hub, which delivers every event to it, and writes to the pipeline for clients that push. It
//! never accesses the engine, and knows no dashboard.

mod admission;
pub(crate) mod channels;
pub mod close;
pub mod command;
pub(crate) mod completeness;
pub(crate) mod connection_guard;
pub mod cursor;
pub mod delayed;
pub mod describe;
pub mod events;
mod handshake;
pub mod lane;
pub mod messages;
pub(crate) mod pace;
pub(crate) mod poll;
pub mod requests;
pub(crate) mod resume;
pub mod shape;
pub mod socketio;
pub(crate) mod sse;
mod tokens;
pub mod ws;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use channels::ChannelCap;
pub use tokens::{TokenLayer, throttle};

use crate::auth::{OpenUsers, Tokens};
use crate::config::{AllowedOrigins, HeartbeatSettings, Limits, Live};
use crate::domain::{Delay, Instruments};
use crate::hub::Hub;
use crate::ingest::Push;
use crate::pipeline::Handle;
use crate::store::Reader;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Readiness};
use delayed::Delays;
use events::PublishedTypes;
use lane::Fanout;

/// The dependencies that all transports share.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Current state, from which clients get a snapshot.
    pub hub: Arc<Hub>,
    /// Delivery of every event to the clients.
    pub fanout: Fanout,
    /// Signal log, from which returning clients are caught up.
    pub log: Reader,
    /// Input for clients that push prices, signals and events.
    pub push: Push,
    /// Types of messages that clients may push.
    pub published: Arc<PublishedTypes>,
    /// Input of the pipeline, for what is remembered about users.
    pub handle: Handle,
    /// Reasons why the server is not ready.
    pub readiness: Arc<Readiness>,
    /// Instruments that clients may subscribe to.
    pub instruments: Arc<Instruments>,
    /// Decides who may read and write.
    pub tokens: Arc<Tokens>,
    /// Decides which users' streams an id without a token opens.
    pub open_users: OpenUsers,
    /// Origins of pages that may connect.
    pub origins: AllowedOrigins,
    /// Ping intervals and timeouts.
    pub heartbeat: HeartbeatSettings,
    /// Limits the connections per channel.
    pub channels: Arc<ChannelCap>,
    /// Limits on what a single client may send.
    pub limits: Live<Limits>,
    /// Metrics of connections and deliveries.
    pub metrics: Arc<Metrics>,
    /// Spawns the background work of connections.
    pub tasks: Tasks,
    /// Cancelled when clients have to leave because the process stops.
    pub draining: CancellationToken,
    /// How late the hub, the delivery and the log are.
    pub delay: Delay,
    /// The same for readers with other delays.
    pub delays: Arc<Delays>,
}
