//! One folder for each dashboard: its wire formats, what may be published for it, its streams and its routes. Nothing
//! outside of its folder knows a dashboard, but for the list in [`app`](crate::app).

pub mod aria;
pub mod bots;
mod delivery;
pub mod orion;
pub mod sentio;
mod watched;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Uri};
use utoipa_axum::router::OpenApiRouter;

pub use delivery::DeliveryTracker;

use crate::config::Settings;
use crate::domain::{Position, RelayedMessage, Signal, UserNote};
use crate::http::{AppState, ReadLimit};
use crate::hub::Encoding;
use crate::transport::Gateway;
use crate::transport::describe::StreamDescription;
use crate::transport::events::PublishedType;
use crate::transport::lane::{NativeEncoding, Slot};

/// A dashboard: what it declares, and how it starts.
pub trait Dashboard: fmt::Debug + Sync {
    /// Returns the types of messages that may be published for it.
    fn message_types(&self) -> &'static [PublishedType] {
        &[]
    }

    /// Returns the slots in which its encodings of an event are kept. No other dashboard may use them.
    fn encodings(&self) -> &'static [Encoding];

    /// Returns the encodings in which its streams get events that their clients share, by their slots. No other
    /// dashboard may use them.
    fn shared(&self) -> &'static [(Slot, NativeEncoding)] {
        &[]
    }

    /// Describes its streams, all of them.
    fn streams(&self) -> Vec<StreamDescription>;

    /// Returns the headers in which its pages send a token, besides `Authorization`.
    fn token_headers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the beginnings of the paths that its pages read with credentials.
    fn credentialed_paths(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the URI that a request of its pages means, where they spell it differently.
    fn rewrite(&self, _uri: &Uri, _headers: &HeaderMap) -> Option<Uri> {
        None
    }

    /// Returns the message that it reads in place of a changed signal.
    fn derive(&self, _signal: &Signal, _now: DateTime<Utc>) -> Option<RelayedMessage> {
        None
    }

    /// Builds its streams and routes.
    fn start(&self, start: &Start<'_>) -> Running;
}

/// What a dashboard starts with.
#[derive(Debug)]
pub struct Start<'a> {
    /// All settings.
    pub settings: &'a Settings,
    /// What all streams share.
    pub gateway: Arc<Gateway>,
    /// What the log has noted about users.
    pub users: &'a [UserNote],
    /// The limit on expensive routes.
    pub reads: &'a ReadLimit,
}

/// The parts of a dashboard that has started.
#[derive(Default)]
pub struct Running {
    /// Its routes.
    pub routes: OpenApiRouter<AppState>,
    /// Its streams, with their own state.
    pub streams: Router,
    /// The name of the task that saves what has reached its users, and what that is.
    pub marks: Option<(&'static str, Arc<DeliveryTracker>)>,
    /// Called with the position of the log when its streams have ended.
    pub at_stop: Option<AtStop>,
}

/// Work for the end of a dashboard.
pub type AtStop = Box<dyn FnOnce(&Position) + Send>;

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// Returns the routes of all dashboards.
#[cfg(test)]
pub(crate) fn test_routes(reads: &ReadLimit) -> OpenApiRouter<AppState> {
    aria::test_routes(reads).merge(bots::test_routes(reads)).merge(sentio::test_routes(reads))
}
