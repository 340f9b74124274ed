//! The current market: the last price of every symbol, and the instruments.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::params::ReadAccess;
use crate::domain::number::number;
use crate::domain::{Instrument, InstrumentClass};
use crate::transport::messages::PriceObject;

#[derive(Debug, Serialize)]
struct PricesObject<'a> {
    prices: Vec<PriceObject<'a>>,
}

#[derive(Debug, Serialize)]
struct InstrumentsObject<'a> {
    instruments: Vec<InstrumentObject<'a>>,
}

#[derive(Debug, Serialize)]
struct InstrumentObject<'a> {
    symbol: &'a str,
    name: &'a str,
    class: InstrumentClass,
    digits: u8,
    #[serde(serialize_with = "number")]
    tick_size: f64,
    aliases: &'a [String],
}

impl<'a> From<&'a Instrument> for InstrumentObject<'a> {
    fn from(instrument: &'a Instrument) -> Self {
        let Instrument { symbol, name, class, digits, tick_size, aliases, .. } = instrument;
        Self { symbol: symbol.as_str(), name, class: *class, digits: *digits, tick_size: *tick_size, aliases }
    }
}

/// `GET /api/prices`
pub(super) async fn prices(_: ReadAccess, State(state): State<AppState>) -> Response {
    let updates = state.hub.prices();
    let prices = updates.iter().map(|update| PriceObject::from(update.as_ref())).collect();
    Json(PricesObject { prices }).into_response()
}

/// `GET /api/instruments`
pub(super) async fn instruments(_: ReadAccess, State(state): State<AppState>) -> Response {
    let instruments = state.instruments.iter().map(|instrument| InstrumentObject::from(instrument.as_ref())).collect();
    Json(InstrumentsObject { instruments }).into_response()
}
