//! The bot platform: a user's stream over WebSocket and as server-sent events, and the routes that its pages poll.

mod describe;
mod feed;
mod pages;
mod publish;
mod rest;
mod sse;
mod stream;
pub(super) mod types;
mod wire;

use std::sync::Arc;

use axum::Extension;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Uri};

use super::{Dashboard, DeliveryTracker, Running, Start};
use crate::domain::{RelayedMessage, Signal};
use crate::http::Group;
use crate::hub::Encoding;
use crate::transport::describe::StreamDescription;
use crate::transport::events::PublishedType;
use feed::StreamState;
use pages::Pages;

#[cfg(test)]
pub(super) use rest::routes as test_routes;

/// How the description of the HTTP interface names the routes.
const GROUP: Group =
    ("The bot platform", "What the pages of the bot platform read on load, and poll without a stream.");
/// Path of the stream.
const STREAM: &str = "/api/ws";

/// The bot platform.
#[derive(Debug)]
pub struct Bots;

impl Dashboard for Bots {
    fn message_types(&self) -> &'static [PublishedType] {
        &publish::TYPES
    }

    fn encodings(&self) -> &'static [Encoding] {
        &[wire::ENCODING]
    }

    fn streams(&self) -> Vec<StreamDescription> {
        describe::streams()
    }

    /// Returns the URI that was meant by `/api/ws&token=…`: one release of the page omits the question mark.
    fn rewrite(&self, uri: &Uri, _: &HeaderMap) -> Option<Uri> {
        let query = uri.path().strip_prefix(STREAM)?.strip_prefix('&')?;
        let rest = uri.query().map(|query| format!("&{query}")).unwrap_or_default();
        format!("{STREAM}?{query}{rest}").parse().ok()
    }

    fn derive(&self, signal: &Signal, now: DateTime<Utc>) -> Option<RelayedMessage> {
        wire::decision_of(signal, now)
    }

    fn start(&self, start: &Start<'_>) -> Running {
        let gateway = start.gateway.clone();
        let marks = Arc::new(DeliveryTracker::new(Some("bots"), gateway.handle.clone(), start.users));
        let pages = Arc::new(Pages::new(marks.clone(), gateway.metrics.clone()));
        let state = Arc::new(StreamState::new(gateway, pages.clone()));
        Running {
            routes: rest::routes(start.reads).layer(Extension(pages)).merge(sse::routes(state.clone())),
            streams: stream::routes(state),
            marks: Some(("bot marks", marks)),
            at_stop: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_accepts_a_misspelt_query() {
        for (uri, expected) in [
            ("/api/ws&token=a.b.c", Some("/api/ws?token=a.b.c")),
            ("/api/ws&token=a?last_event_id=5", Some("/api/ws?token=a&last_event_id=5")),
            ("/api/ws?token=a", None),
            ("/api/wsx&token=a", None),
            ("/ws&token=a", None),
        ] {
            let found = Bots.rewrite(&uri.parse().unwrap(), &HeaderMap::new());
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), expected, "{uri}");
        }
    }
}
