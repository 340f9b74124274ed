//! What Socket.IO's lanes carry: each event as a packet of each namespace.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::NAMESPACES;
use super::personal::MessageMeta;
use crate::domain::{Event, Position};
use crate::hub::Envelope;
use crate::transport::cursor::MessageCursor;
use crate::transport::events::PublishedTypes;
use crate::transport::lane::{Encode, Slot};
use crate::transport::messages::{self, SignalMeta};

/// Encodes events as packets of one namespace, with the bytes that the engine would write.
#[derive(Debug)]
struct Packets {
    /// What stands before a packet's array: Engine.IO's message, Socket.IO's event, and the namespace.
    prefix: String,
    types: Arc<PublishedTypes>,
    /// Log that the sequence numbers of messages refer to.
    log: Position,
}

/// Returns the encoders of all namespaces, in the order of their slots.
pub fn encoders(types: &Arc<PublishedTypes>, log: &Position) -> Vec<Box<dyn Encode>> {
    NAMESPACES
        .iter()
        .map(|namespace| {
            let prefix = if *namespace == "/" { "42".to_owned() } else { format!("42{namespace},") };
            Box::new(Packets { prefix, types: types.clone(), log: log.clone() }) as Box<dyn Encode>
        })
        .collect()
}

/// Returns the slot of a namespace.
pub(super) fn slot(namespace: &str) -> Slot {
    Slot(NAMESPACES.iter().position(|name| *name == namespace).unwrap_or_default() as u8)
}

/// Returns the time between two prices at a rate.
pub(super) fn interval(max_hz: f64) -> Duration {
    Duration::from_secs_f64(1.0 / max_hz)
}

impl Packets {
    fn packet(&self, event: &str, data: &str, meta: &impl Serialize) -> Option<String> {
        let (prefix, meta) = (&self.prefix, serde_json::to_string(meta).ok()?);
        Some(format!("{prefix}[\"{event}\",{data},{meta}]"))
    }
}

impl Encode for Packets {
    fn encode(&self, envelope: &Arc<Envelope>, message: &mut dyn FnMut(&str)) {
        let packet = match envelope.event() {
            event @ (Event::Price(_) | Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..)) => {
                messages::object(envelope).map(|object| format!("{}[\"{}\",{object}]", self.prefix, event.kind()))
            }
            Event::Signal(_) => {
                let cursor = envelope.position().map(ToString::to_string).unwrap_or_default();
                messages::object(envelope).and_then(|object| self.packet("signal", object, &SignalMeta { cursor }))
            }
            Event::RelayedMessage(message) => self.types.on_user_streams(message.kind).and_then(|data| {
                let meta = MessageMeta::new(message, &MessageCursor::new(&self.log, message.seq));
                self.packet(message.kind.name(), &data(message), &meta)
            }),
        };
        if let Some(packet) = packet {
            message(&packet);
        }
    }

    fn labels(&self) -> (&'static str, &'static str) {
        ("socketio", "socketio")
    }
}
