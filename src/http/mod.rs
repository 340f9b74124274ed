//! Plain HTTP: pushing, reading, operations, and the console page.
//!
//! [`router()`] lists every route; [`ApiError`] turns errors into responses; [`cors`] wraps the whole stack.

pub(crate) mod admin;
mod asyncapi;
pub mod base_path;
mod body;
mod cluster;
mod compress;
mod console;
pub mod cors;
mod describe;
mod detections;
mod document;
mod error;
mod etag;
mod history;
pub mod host;
mod ingest;
mod killzones;
mod log;
mod market;
mod mcp;
mod notices;
mod observe;
mod ops;
mod outcomes;
mod overview;
mod overview_lists;
mod params;
mod presence;
pub mod protocol;
mod reads;
mod recomputations;
mod reload;
mod replay;
mod requests;
mod router;
mod sources;
mod start;
mod stats;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::{OneTimeCode, OpenUsers, Tokens};
use crate::cluster::ClusterHandle;
use crate::config::AllowedOrigins;
use crate::domain::{Instruments, WallClock};
use crate::hub::Hub;
use crate::ingest::Push;
use crate::ingest::metatrader::MetaTrader;
use crate::listener::ConnectionRegistry;
use crate::notify::Notices;
use crate::pipeline::Feeds;
use crate::record::LogKey;
use crate::store::Reader;
use crate::telemetry::{Metrics, Readiness, Recomputations, SourceStates};
use crate::transport::Gateway;
use crate::transport::events::PublishedTypes;

pub use asyncapi::StreamDescriptions;
pub(crate) use body::encoded;
pub(crate) use describe::{Group, Refuses, grouped};
pub use error::ApiError;
pub(crate) use params::{Params, RawQuery, ReadAccess};
pub use reads::ReadLimit;
pub use reload::{ReloadMode, ReloadReport, ReloadSettings};
pub(crate) use requests::{EventsRequest, PricesRequest, SignalRequest};
pub use router::{checks, router};
pub use start::{StartProgress, StartSteps};
pub use stats::StatsCache;
pub use webhooks::Webhook;

/// The shared state of all handlers. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// Accepts pushed signals and prices.
    pub push: Push,
    /// Accepts what Expert Advisors post.
    pub metatrader: MetaTrader,
    /// The webhook for TradingView's alerts.
    pub tradingview: Webhook,
    /// Checks the tokens for writing and reading.
    pub tokens: Arc<Tokens>,
    /// The code of the link that the first start has printed.
    pub admin_code: Arc<OneTimeCode>,
    /// What has happened on a new server.
    pub start: Arc<StartProgress>,
    /// The users whose data needs only a user id, without a token.
    pub open_users: OpenUsers,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The instrument catalogue.
    pub instruments: Arc<Instruments>,
    /// The state of every source.
    pub states: SourceStates,
    /// The state of every source for each symbol.
    pub feeds: Feeds,
    /// All client connections, of every transport.
    pub connections: Arc<ConnectionRegistry>,
    /// The last prices, and the position of the log.
    pub hub: Arc<Hub>,
    /// What streams and long polls are served with.
    pub gateway: Arc<Gateway>,
    /// The types of messages that may be published.
    pub published: Arc<PublishedTypes>,
    /// What is said of the streams.
    pub streams: Arc<StreamDescriptions>,
    /// Reads past signals and bars.
    pub history: Reader,
    /// Limits how many expensive reads run at the same time.
    pub reads: ReadLimit,
    /// Reads the settings again.
    pub reload: ReloadSettings,
    /// The number of bars on each side of a swing, for the detectors.
    pub swing_length: usize,
    /// The cache of computed statistics.
    pub stats: Arc<StatsCache>,
    /// What `/ready` reports.
    pub readiness: Arc<Readiness>,
    /// The pages that may use the interface for agents; `None` if it is off.
    pub agents: Option<AllowedOrigins>,
    /// The cluster that this process is a node of.
    pub cluster: Option<ClusterHandle>,
    /// The notices about signals.
    pub notices: Notices,
    /// The comparisons of the last days' live signals with a backtest over their kept ticks.
    pub recomputations: Recomputations,
    /// How long ticks are kept; zero while no day is compared.
    pub tick_retention: Duration,
    /// The key that signs checkpoints of the log.
    pub log_key: Arc<LogKey>,
    /// The wall clock.
    pub clock: WallClock,
    /// The start of the process, for its uptime.
    pub started: Instant,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}
