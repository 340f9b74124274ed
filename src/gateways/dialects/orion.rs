//! ORION: `{type, payload}` frames over WebSocket, the bare payloads over Socket.IO and HTTP.
//!
//! Field names and their order follow the ORION documents; what the server adds comes after them.

use serde::Serialize;
use serde_json::value::RawValue;

use super::number::{list, number, optional};
use crate::domain::{PriceUpdate, Signal, SignalState, iso};

/// A signal as every ORION client reads it: always whole.
#[derive(Debug, Serialize)]
pub struct SignalObject<'a> {
    id: &'a str,
    status: &'static str,
    direction: &'static str,
    symbol: &'a str,
    entry_time: String,
    #[serde(serialize_with = "optional")]
    entry_price: Option<f64>,
    #[serde(serialize_with = "optional")]
    stop_loss: Option<f64>,
    #[serde(serialize_with = "list")]
    take_profits: &'a [f64],
    tp_modes: &'a [String],
    reason: &'a str,
    #[serde(serialize_with = "number")]
    confidence: f64,
    #[serde(serialize_with = "number")]
    rr_target: f64,
    killzone: &'static str,
    killzone_active: bool,
    /// The same as `entry_price`, for older readers.
    #[serde(serialize_with = "optional")]
    price: Option<f64>,
    updated_at: String,
    expires_at: String,
    invalidation: Option<&'a str>,
    source: &'a str,
}

impl<'a> From<&'a Signal> for SignalObject<'a> {
    fn from(signal: &'a Signal) -> Self {
        Self {
            id: signal.id.as_str(),
            status: signal.state.status().name(),
            direction: signal.direction.name(),
            symbol: signal.symbol.as_str(),
            entry_time: iso(signal.entry_time),
            entry_price: signal.entry_price,
            stop_loss: signal.stop_loss,
            take_profits: &signal.take_profits,
            tp_modes: &signal.tp_modes,
            reason: &signal.reason,
            confidence: signal.confidence,
            rr_target: signal.rr_target,
            killzone: signal.killzone.name(),
            killzone_active: signal.killzone.is_active(signal.entry_time),
            price: signal.entry_price,
            updated_at: iso(signal.updated_at),
            expires_at: iso(signal.expires_at),
            invalidation: match &signal.state {
                SignalState::Invalidated(reason) => Some(reason.as_str()),
                _ => None,
            },
            source: signal.source.as_str(),
        }
    }
}

/// A price as every ORION client reads it.
#[derive(Debug, Serialize)]
pub struct PriceObject<'a> {
    symbol: &'a str,
    #[serde(serialize_with = "number")]
    price: f64,
    timestamp: String,
    #[serde(serialize_with = "number")]
    change: f64,
    #[serde(serialize_with = "number")]
    change_percent: f64,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    volume: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    bid: Option<f64>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    ask: Option<f64>,
    quality: &'static str,
    source: &'a str,
}

impl<'a> From<&'a PriceUpdate> for PriceObject<'a> {
    fn from(update: &'a PriceUpdate) -> Self {
        Self {
            symbol: update.symbol.as_str(),
            price: update.price,
            timestamp: iso(update.timestamp),
            change: update.change,
            change_percent: update.change_percent,
            volume: update.volume,
            bid: update.bid_ask.map(|(bid, _)| bid),
            ask: update.bid_ask.map(|(_, ask)| ask),
            quality: update.quality.name(),
            source: update.source.as_str(),
        }
    }
}

/// A frame of the native endpoint: the payload in its envelope, with the cursor where it has one.
#[derive(Debug, Serialize)]
pub struct Frame<'a> {
    /// Kind of the payload.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The bare object.
    pub payload: &'a RawValue,
    /// Where the event stands in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
