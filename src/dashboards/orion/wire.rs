//! `{type, payload, cursor}` frames around the server's own objects.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;

use crate::domain::{Event, Position, Signal};
use crate::hub::{Encoding, Envelope};
use crate::transport::messages::{SignalObject, encode, object};

/// The slot of the frames.
pub const ENCODING: Encoding = Encoding::new(1);

/// Returns the frame of an event, encoded once; none for relayed messages.
pub fn frames(publication: &Arc<Envelope>) -> &[Utf8Bytes] {
    publication.encoded(ENCODING, |publication| {
        let frame = |object: &Utf8Bytes| envelope(publication.event().kind(), object, publication.position());
        match publication.event() {
            Event::Cursor(position) => vec![format!(r#"{{"type":"cursor","cursor":"{position}"}}"#).into()],
            Event::Signal(signal) if signal.take_profits.is_empty() => vec![frame(&signal_object(signal))],
            _ => object(publication).map(frame).into_iter().collect(),
        }
    })
}

/// Encodes the frame of a signal from the log.
pub fn signal_frame(signal: &Signal, position: &Position) -> Utf8Bytes {
    envelope("signal", &signal_object(signal), Some(position))
}

/// Encodes a signal. The page prints the length of an empty list (a stray "0"), but nothing for null.
fn signal_object(signal: &Signal) -> Utf8Bytes {
    encode(&SignalObject::from(signal).without_empty_targets())
}

/// Embeds an encoded object in its envelope.
fn envelope(kind: &str, payload: &str, cursor: Option<&Position>) -> Utf8Bytes {
    match cursor {
        Some(cursor) => format!(r#"{{"type":"{kind}","payload":{payload},"cursor":"{cursor}"}}"#).into(),
        None => format!(r#"{{"type":"{kind}","payload":{payload}}}"#).into(),
    }
}
