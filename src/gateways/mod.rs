//! The ways out: transports, and one dialect for each dashboard.
//!
//! A gateway knows the hub, which tells it everything, and the way into the pipeline, for clients that push. It never
//! sees the engine.

mod admission;
mod bots;
mod catch_up;
mod channels;
pub mod close;
pub mod command;
mod completeness;
pub mod cursor;
pub mod delivery;
pub mod dialects;
pub mod events;
mod handshake;
mod pace;
pub mod pages;
mod resume;
pub mod socketio;
pub mod sse;
mod tokens;
pub mod ws;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use bots::PriceFrames;
pub use catch_up::CatchUp;
pub use channels::ChannelCap;
pub use tokens::{TokenLayer, throttle};

use crate::auth::{OpenUsers, Tokens};
use crate::config::{AllowedOrigins, HeartbeatSettings, Limits, OrionSettings, SentioSettings};
use crate::domain::Instruments;
use crate::hub::{Clients, Hub};
use crate::pipeline::Handle;
use crate::sources::push::Push;
use crate::store::Reader;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Readiness};
use delivery::DeliveryTracker;
use pages::Pages;

/// What every transport needs.
#[derive(Debug)]
pub struct Gateway {
    /// What is live.
    pub hub: Arc<Hub>,
    /// Native clients.
    pub clients: Arc<Clients>,
    /// What was, for clients that come back.
    pub log: Reader,
    /// The way in, for clients that push.
    pub push: Push,
    /// The way in, for what is remembered of users.
    pub handle: Handle,
    /// What the server suffers from.
    pub readiness: Arc<Readiness>,
    /// What may be subscribed to.
    pub instruments: Arc<Instruments>,
    /// Who may read and write.
    pub tokens: Arc<Tokens>,
    /// Whose streams a bare id opens.
    pub open_users: OpenUsers,
    /// Which of Sentio's notifications have reached whom.
    pub presence: Arc<DeliveryTracker>,
    /// The bot platform's pages, and what has reached them.
    pub pages: Arc<Pages>,
    /// Pages that may connect.
    pub origins: AllowedOrigins,
    /// How connections are kept alive.
    pub heartbeat: HeartbeatSettings,
    /// How many connections a channel may have.
    pub channels: Arc<ChannelCap>,
    /// What a client may do.
    pub limits: Limits,
    /// What ORION's newcomers are told.
    pub orion: OrionSettings,
    /// Sentio's timers.
    pub sentio: SentioSettings,
    /// Where a client without a cursor goes on: ARIA's panels.
    pub catch_up: Arc<CatchUp>,
    /// What all clients of the bot platform are told of prices.
    pub price_frames: PriceFrames,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
    /// Where the work for a connection is run.
    pub tasks: Tasks,
    /// Cancelled when clients have to leave.
    pub draining: CancellationToken,
}
