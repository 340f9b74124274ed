//! ORION: the dashboard's stream on `/ws/signals`, and the pushers' on `/api/websocket`. Its page reads the core routes.

mod describe;
mod stream;
pub mod wire;

use super::{Dashboard, Running, Start};
use crate::hub::Encoding;
use crate::transport::describe::StreamDescription;
use crate::transport::lane::{NativeEncoding, Slot};

/// The events of all streams.
const EVENTS: Slot = Slot::native(0);

/// ORION.
#[derive(Debug)]
pub struct Orion;

impl Dashboard for Orion {
    fn encodings(&self) -> &'static [Encoding] {
        &[wire::ENCODING]
    }

    fn shared(&self) -> &'static [(Slot, NativeEncoding)] {
        &[(EVENTS, wire::frames)]
    }

    fn streams(&self) -> Vec<StreamDescription> {
        describe::streams()
    }

    fn start(&self, start: &Start<'_>) -> Running {
        let streams = stream::routes(start.gateway.clone(), start.settings.orion.alarm_window);
        Running { streams, ..Running::default() }
    }
}
