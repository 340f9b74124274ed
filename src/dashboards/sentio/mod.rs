//! Sentio 2.0: the streams of its panels, of its users and of its administrators, and the routes that they poll.

mod describe;
mod publish;
mod rest;
mod stream;
mod types;
pub mod wire;

use std::sync::Arc;

use http::{HeaderMap, Uri, header};

use super::{Dashboard, DeliveryTracker, Running, Start};
use crate::hub::Encoding;
use crate::transport::describe::StreamDescription;
use crate::transport::events::PublishedType;
use crate::transport::lane::{NativeEncoding, Slot};
use stream::StreamState;

#[cfg(test)]
pub(super) use rest::routes as test_routes;

/// Where a WebSocket on `/` is routed: the page opens its base address. Other requests for `/` get the console.
const ROOT_STREAM: &str = "/ws/market-data";

/// What administrators get.
const ADMIN: Slot = Slot::native(2);
/// The earnings of users.
const EARNINGS: Slot = Slot::native(3);

/// Sentio.
#[derive(Debug)]
pub struct Sentio;

impl Dashboard for Sentio {
    fn message_types(&self) -> &'static [PublishedType] {
        &publish::TYPES
    }

    fn encodings(&self) -> &'static [Encoding] {
        &[wire::ENCODING]
    }

    fn shared(&self) -> &'static [(Slot, NativeEncoding)] {
        &[(ADMIN, wire::admin_frames), (EARNINGS, |publication| wire::personal_frames(publication, types::EARNINGS))]
    }

    fn streams(&self) -> Vec<StreamDescription> {
        describe::streams()
    }

    fn rewrite(&self, uri: &Uri, headers: &HeaderMap) -> Option<Uri> {
        let protocol = headers.get(header::UPGRADE).filter(|_| uri.path() == "/")?;
        if !protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
            return None;
        }
        match uri.query() {
            Some(query) => format!("{ROOT_STREAM}?{query}").parse().ok(),
            None => Some(Uri::from_static(ROOT_STREAM)),
        }
    }

    fn start(&self, start: &Start<'_>) -> Running {
        let gateway = start.gateway.clone();
        let notifications = Arc::new(DeliveryTracker::new(None, gateway.handle.clone(), start.users));
        let marks = Some(("presence", notifications.clone()));
        let update_interval = start.settings.sentio.update_interval;
        let streams = stream::routes(StreamState { gateway, notifications, update_interval });
        Running { routes: rest::routes(start.reads), streams, marks, at_stop: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_on_the_root_gets_market_data() {
        let to = |uri: &str, upgrade: &'static str| {
            let headers = [(header::UPGRADE, http::HeaderValue::from_static(upgrade))].into_iter().collect();
            Sentio.rewrite(&uri.parse().unwrap(), &headers).map(|uri| uri.to_string())
        };
        assert_eq!(to("/", "websocket").as_deref(), Some("/ws/market-data"));
        assert_eq!(to("/?token=a%2Bb", "WebSocket").as_deref(), Some("/ws/market-data?token=a%2Bb"));
        assert_eq!(to("/", "h2c"), None);
        assert_eq!(to("/ws/signals", "websocket"), None);
        assert_eq!(Sentio.rewrite(&Uri::from_static("/"), &HeaderMap::new()), None);
    }
}
