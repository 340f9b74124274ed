//! ARIA PRO: the streams of its panels, its performance page, and the routes that they read.

mod catch_up;
mod describe;
mod publish;
mod rest;
#[cfg(test)]
mod rest_tests;
mod stream;
mod types;
pub mod wire;

use std::sync::Arc;

use tracing::warn;

use super::{AtStop, Dashboard, Running, Start};
use crate::hub::Encoding;
use crate::pipeline::clock;
use crate::transport::describe::StreamDescription;
use crate::transport::events::PublishedType;
use crate::transport::lane::{NativeEncoding, Slot};
use catch_up::CatchUp;

#[cfg(test)]
pub(super) use rest::routes as test_routes;

/// The prices of the panels with all channels.
const PRICES: Slot = Slot::native(1);

/// ARIA PRO.
#[derive(Debug)]
pub struct Aria;

impl Dashboard for Aria {
    fn message_types(&self) -> &'static [PublishedType] {
        &publish::TYPES
    }

    fn encodings(&self) -> &'static [Encoding] {
        &[wire::ENCODING]
    }

    fn shared(&self) -> &'static [(Slot, NativeEncoding)] {
        &[(PRICES, wire::frames)]
    }

    fn streams(&self) -> Vec<StreamDescription> {
        describe::streams()
    }

    fn token_headers(&self) -> &'static [&'static str] {
        &[stream::TOKEN_HEADER]
    }

    fn credentialed_paths(&self) -> &'static [&'static str] {
        &["/signals/", "/trading/", "/monitoring/", "/api/institutional-ai/"]
    }

    fn start(&self, start: &Start<'_>) -> Running {
        let (gateway, settings) = (start.gateway.clone(), start.settings);
        let catch_up = CatchUp::new(settings.aria.catch_up, gateway.metrics.clone());
        let file = settings.data.dir.join(CatchUp::FILE);
        let catch_up = Arc::new(catch_up.restored(file, &gateway.hub.position(), clock::wall()));
        let streams = stream::routes(gateway, catch_up.clone());
        let at_stop: AtStop = Box::new(move |log| {
            if let Err(error) = catch_up.save(log, clock::wall()) {
                warn!(%error, "cannot store the catch-up state of the panels: they will receive some signals again after the restart");
            }
        });
        Running { routes: rest::routes(start.reads), streams, marks: None, at_stop: Some(at_stop) }
    }
}
