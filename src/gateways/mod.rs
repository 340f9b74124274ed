//! Gateways: the transports that all dashboards share.
//!
//! A gateway reads from the hub, which delivers every event to it, and writes to the pipeline for clients that push. It
//! never accesses the engine.

mod admission;
pub(crate) mod channels;
pub mod close;
pub mod command;
pub(crate) mod completeness;
pub(crate) mod connection_guard;
pub mod cursor;
pub mod events;
mod handshake;
pub mod lane;
pub mod messages;
pub(crate) mod pace;
pub(crate) mod resume;
pub mod shape;
pub mod socketio;
mod tokens;
pub mod ws;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use channels::ChannelCap;
pub use tokens::{TokenLayer, throttle};

use crate::auth::{OpenUsers, Tokens};
use crate::config::{AllowedOrigins, HeartbeatSettings, Limits, OrionSettings, SentioSettings};
use crate::dashboards::aria::catch_up::CatchUp;
use crate::dashboards::bots::feed::PriceFrames;
use crate::dashboards::bots::pages::Pages;
use crate::dashboards::delivery::DeliveryTracker;
use crate::domain::Instruments;
use crate::hub::{Clients, Hub};
use crate::pipeline::Handle;
use crate::sources::push::Push;
use crate::store::Reader;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Readiness};

/// The dependencies that all transports share.
#[derive(Debug)]
pub struct Gateway {
    /// Current state, and delivery of every event.
    pub hub: Arc<Hub>,
    /// Outboxes of the connected native clients.
    pub clients: Arc<Clients>,
    /// Signal log, from which returning clients are caught up.
    pub log: Reader,
    /// Input for clients that push prices, signals and events.
    pub push: Push,
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
    /// Tracks which of Sentio's notifications have reached each user.
    pub deliveries: Arc<DeliveryTracker>,
    /// Tracks the bot platform's pages and which messages have reached them.
    pub pages: Arc<Pages>,
    /// Origins of pages that may connect.
    pub origins: AllowedOrigins,
    /// Ping intervals and timeouts.
    pub heartbeat: HeartbeatSettings,
    /// Limits the connections per channel.
    pub channels: Arc<ChannelCap>,
    /// Limits on what a single client may send.
    pub limits: Limits,
    /// Settings of ORION's streams.
    pub orion: OrionSettings,
    /// Settings of Sentio's streams.
    pub sentio: SentioSettings,
    /// Finds the resume position of clients without a cursor: ARIA's panels.
    pub catch_up: Arc<CatchUp>,
    /// Shared price frames for all clients of the bot platform.
    pub price_frames: PriceFrames,
    /// Metrics of connections and deliveries.
    pub metrics: Arc<Metrics>,
    /// Spawns the background work of connections.
    pub tasks: Tasks,
    /// Cancelled when clients have to leave because the process stops.
    pub draining: CancellationToken,
}
