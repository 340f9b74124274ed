//! ORION: the dashboard's stream on `/ws/signals`, and the pushers' on `/api/websocket`. Its page reads the core routes.

mod stream;
pub mod wire;

use super::{Dashboard, Running, Start};
use crate::hub::Encoding;

/// ORION.
#[derive(Debug)]
pub struct Orion;

impl Dashboard for Orion {
    fn encodings(&self) -> &'static [Encoding] {
        &[wire::ENCODING]
    }

    fn start(&self, start: &Start<'_>) -> Running {
        let streams = stream::routes(start.gateway.clone(), start.settings.orion.alarm_window);
        Running { streams, ..Running::default() }
    }
}
