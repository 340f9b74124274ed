//! Plain HTTP: pushing, asking, watching the server, and the console page.
//!
//! [`router()`] has every route; [`ApiError`] is how errors leave; [`cors`] goes around the whole stack.

mod admin;
mod aria;
#[cfg(test)]
mod aria_tests;
mod body;
mod bots;
mod console;
pub mod cors;
mod error;
mod history;
pub mod host;
mod ingest;
mod market;
mod observe;
mod ops;
mod overview;
mod params;
mod reads;
mod router;
mod sentio;
mod sources;
mod stats;
#[cfg(test)]
mod tests;
mod webhooks;

use std::sync::Arc;

use tokio::time::Instant;

use crate::auth::{OpenUsers, Tokens};
use crate::domain::Instruments;
use crate::gateways::pages::Pages;
use crate::hub::Hub;
use crate::listener::ConnectionRegistry;
use crate::pipeline::Feeds;
use crate::sources::metatrader::MetaTrader;
use crate::sources::push::Push;
use crate::sources::{SourceStates, WallClock};
use crate::store::Reader;
use crate::telemetry::{Metrics, Readiness};

pub use error::ApiError;
pub use reads::ReadLimit;
pub use router::{checks, router};
pub use stats::StatsCache;
pub use webhooks::Webhook;

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The way in for pushed signals and prices.
    pub push: Push,
    /// The way in for Expert Advisors.
    pub metatrader: MetaTrader,
    /// TradingView's webhook.
    pub tradingview: Webhook,
    /// Who may write and read.
    pub tokens: Arc<Tokens>,
    /// Whose data a bare id opens.
    pub open_users: OpenUsers,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The catalogue.
    pub instruments: Arc<Instruments>,
    /// How the sources are doing.
    pub states: SourceStates,
    /// What they have of each symbol.
    pub feeds: Feeds,
    /// Who is connected, by whatever transport.
    pub connections: Arc<ConnectionRegistry>,
    /// Last prices, and where the log stands.
    pub hub: Arc<Hub>,
    /// The bot platform's pages.
    pub pages: Arc<Pages>,
    /// Signals and bars of the past.
    pub history: Reader,
    /// How many requests read much at a time.
    pub reads: ReadLimit,
    /// Statistics as they were last answered.
    pub stats: Arc<StatsCache>,
    /// What `/ready` says.
    pub readiness: Arc<Readiness>,
    /// The wall clock.
    pub clock: WallClock,
    /// When the process began, for its age.
    pub started: Instant,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}
