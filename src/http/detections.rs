//! `GET /api/detections`: what the engine's detectors find in the stored bars, as far as it was known at a time.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::describe::Refuses;
use super::error::ApiError;
use super::params::{Params, RawQuery, ReadAccess};
use crate::domain::number::number;
use crate::domain::{Bar, BarInterval, Direction, Fault, Killzone, iso, parse_time};
use crate::engine::detect::{MarketLevels, PriceZone, Range, ZoneKind, Zones};
use crate::ingest::PushError;

/// Largest number of bars that are read for one answer.
const MAX_BARS: usize = 1_000;
/// The number of bars before `from` with which the detectors begin, so that what they find between `from` and `to` does
/// not depend on `to`.
const WARM_UP: usize = 200;
/// The bars for the levels: days and killzones begin and end with them. More than two days and a weekend.
const LEVEL_INTERVAL: BarInterval = BarInterval::FifteenMinutes;
/// The number of these bars.
const LEVEL_BARS: usize = 400;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Detections)]
struct DetectionsObject<'a> {
    symbol: &'a str,
    #[schema(value_type = BarInterval)]
    interval: &'static str,
    #[schema(format = DateTime)]
    from: String,
    /// Nothing after this time is known to the answer.
    #[schema(format = DateTime)]
    to: String,
    /// How many bars that closed between `from` and `to` the detectors have read, beside up to 200 before.
    bars: usize,
    /// Whether simulated prices are among them.
    simulated: bool,
    /// The number of bars on each side of a swing.
    swing: usize,
    /// Those that were known between `from` and `to`, or were still open, in the order in which they became known.
    detections: Vec<DetectionObject>,
    /// The levels of the last day and of the last killzones that had ended at `to`.
    levels: Vec<LevelObject>,
}

/// A fair value gap or an order block.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Detection)]
struct DetectionObject {
    kind: ZoneKind,
    /// `long` if the market rose from it.
    direction: Direction,
    #[serde(serialize_with = "number")]
    top: f64,
    #[serde(serialize_with = "number")]
    bottom: f64,
    /// When its bar opened.
    #[schema(format = DateTime)]
    begins_at: String,
    /// The close of the bar that revealed it.
    #[schema(format = DateTime)]
    known_at: String,
    /// The close of the first bar that returned to it.
    #[schema(required, format = DateTime)]
    touched_at: Option<String>,
    /// The close of the bar that ended it: that traded through a gap, or closed beyond a block.
    #[schema(required, format = DateTime)]
    ended_at: Option<String>,
}

/// The highest and the lowest price of a day or a killzone that has ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionLevel)]
struct LevelObject {
    /// `previous_day`, which begins and ends at 17:00 in New York, or the killzone.
    #[schema(example = "previous_day")]
    name: &'static str,
    #[serde(serialize_with = "number")]
    high: f64,
    #[serde(serialize_with = "number")]
    low: f64,
}

impl From<PriceZone> for DetectionObject {
    fn from(zone: PriceZone) -> Self {
        let PriceZone { kind, direction, top, bottom, begins_at, known_at, touched_at, ended_at } = zone;
        let [touched_at, ended_at] = [touched_at, ended_at].map(|at| at.map(iso));
        Self { kind, direction, top, bottom, begins_at: iso(begins_at), known_at: iso(known_at), touched_at, ended_at }
    }
}

/// Returns the fair value gaps and order blocks of an instrument, and the levels of its last day and killzones.
///
/// The detectors are those of the server's own setups. They read closed bars only, so that a longer span adds to an
/// answer with the same `from` but never changes what was known.
#[utoipa::path(
    get,
    path = "/api/detections",
    operation_id = "get_detections",
    security(("reader" = [])),
    params(
        ("symbol" = String, Query, description = "Instrument, in any spelling", example = "EURUSD"),
        ("interval" = Option<BarInterval>, Query, description = "Length of a bar, 1m by default"),
        ("from" = Option<String>, Query, description = "A day before `to` by default; 800 bars before it at most", example = "2026-01-15T07:00:00Z"),
        ("to" = Option<String>, Query, description = "Now by default", example = "2026-01-15T16:00:00Z"),
    ),
    responses((status = 200, body = DetectionsObject, description = "What was known at `to`"), Refuses<422>),
)]
pub(super) async fn detections(
    _: ReadAccess,
    State(state): State<AppState>,
    query: RawQuery,
) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    params.require("symbol");
    let symbol = params.symbol(&state.instruments);
    let interval = params.read("interval", "1m, 5m, 15m or 1h", BarInterval::parse).unwrap_or(BarInterval::OneMinute);
    let from = params.read("from", "a time", parse_time);
    let to = params.read("to", "a time", parse_time).unwrap_or_else(|| (state.clock)());
    params.finish()?;
    // To a reader with a delay, a bar that began before its cutoff has not closed.
    let to = state.history.cutoff().map_or(to, |cutoff| cutoff.min(to));
    let fault = |reason: String| ApiError::from(PushError::Invalid(vec![Fault::new("from", reason)]));
    let from = from.unwrap_or(to - TimeDelta::days(1));
    if from >= to {
        return Err(fault("must be before `to`".into()));
    }
    let symbol = symbol.ok_or(ApiError::Internal)?;
    let bars = state.history.bars_before(&symbol, interval, interval.floor(to), MAX_BARS).await?;
    let first = bars.partition_point(|bar| bar.opened_at < from);
    if bars.len() == MAX_BARS && first < WARM_UP {
        return Err(fault(format!("must be at most {} bars before `to`", MAX_BARS - WARM_UP)));
    }
    let read = &bars[first.saturating_sub(WARM_UP)..];
    let minutes = BarInterval::OneMinute.floor(to);
    let days = state.history.bars_before(&symbol, LEVEL_INTERVAL, minutes, LEVEL_BARS).await?;
    let mut detections = zones(read, interval, state.swing_length);
    detections.retain(|zone| zone.ended_at.is_none_or(|ended_at| ended_at >= from));
    let object = DetectionsObject {
        symbol: symbol.as_str(),
        interval: interval.name(),
        from: iso(from),
        to: iso(to),
        bars: bars.len() - first,
        simulated: read.iter().any(|bar| bar.simulated),
        swing: state.swing_length,
        detections: detections.into_iter().map(DetectionObject::from).collect(),
        levels: levels(&days, to),
    };
    Ok(Json(object).into_response())
}

fn zones(bars: &[Bar], interval: BarInterval, swing_length: usize) -> Vec<PriceZone> {
    let mut zones = Zones::new(interval.length(), swing_length);
    for bar in bars {
        zones.push(bar.opened_at, &bar.candle());
    }
    zones.finish()
}

fn levels(bars: &[Bar], to: DateTime<Utc>) -> Vec<LevelObject> {
    let mut levels = MarketLevels::default();
    for bar in bars {
        levels.push(bar.opened_at, &bar.candle());
    }
    levels.close(to);
    let level = |name| move |Range { high, low }| LevelObject { name, high, low };
    let killzones = Killzone::ALL.into_iter().filter_map(|zone| levels.last(zone).map(level(zone.name())));
    levels.previous_day().map(level("previous_day")).into_iter().chain(killzones).collect()
}
