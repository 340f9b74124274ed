//! `GET /api/killzones`: the killzone clock, and the hours of the markets.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::describe::Refuses;
use super::error::ApiError;
use super::params::{Params, RawQuery, ReadAccess};
use crate::domain::{Fault, Killzone, Session, iso, parse_time, weeks_apart};
use crate::ingest::PushError;
use crate::transport::messages::{KillzoneObject, NextKillzoneObject};

/// The longest span of time whose windows are listed.
const MAX_SPAN: TimeDelta = TimeDelta::days(62);

/// The killzone clock. Windows are in the wall-clock time of New York.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KillzoneClock)]
pub(super) struct ClockObject {
    #[schema(format = DateTime)]
    timestamp: String,
    /// The same in New York, with its offset from UTC.
    #[schema(format = DateTime)]
    new_york: String,
    /// The window that is open; null between two windows.
    #[schema(required)]
    killzone: Option<Killzone>,
    /// When that changes: the open window ends, or the next one begins.
    #[schema(format = DateTime)]
    changes_at: String,
    seconds_to_change: i64,
    /// The window that begins next.
    next: NextKillzoneObject,
    killzones: Vec<WindowObject>,
    /// The windows between `from` and `to`, oldest first; only if the query names both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    windows: Option<Vec<OpenWindowObject>>,
    /// Whether the clocks of New York and London are now not the usual five hours apart.
    clocks_differ: bool,
    /// The times, up to two years ahead, in which they are not.
    weeks_apart: Vec<SpanObject>,
    markets: Vec<MarketObject>,
}

/// A window: half-open, by New York's wall clock.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KillzoneWindow)]
struct WindowObject {
    killzone: Killzone,
    #[schema(example = "02:00")]
    begins: String,
    /// `24:00` is midnight.
    #[schema(example = "05:00")]
    ends: String,
}

/// A window on a day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenKillzone)]
struct OpenWindowObject {
    killzone: Killzone,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimeSpan)]
struct SpanObject {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
}

/// The hours of an instrument's market.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketHours)]
struct MarketObject {
    symbol: String,
    session: Session,
    /// The weekly hours by New York's wall clock, without holidays.
    hours: &'static str,
    is_open: bool,
    /// When it opens or closes next, holidays included; null if it never closes.
    #[schema(required, format = DateTime)]
    changes_at: Option<String>,
}

/// Returns the killzone clock: the open window, the seconds to the next one, the hours of each instrument, and the weeks
/// in which the clocks of the US and Europe differ.
///
/// With `from` and `to`, also the windows of that span.
#[utoipa::path(
    get,
    path = "/api/killzones",
    operation_id = "get_killzones",
    security(("reader" = [])),
    params(
        ("from" = Option<String>, Query, description = "With `to`: also list the windows of this span, of 62 days at most", example = "2026-01-15T00:00:00Z"),
        ("to" = Option<String>, Query, description = "The end of the span", example = "2026-01-16T00:00:00Z"),
    ),
    responses((status = 200, body = ClockObject, description = "The clock"), Refuses<400>),
)]
pub(super) async fn killzones(
    _: ReadAccess,
    State(state): State<AppState>,
    query: RawQuery,
) -> Result<Json<ClockObject>, ApiError> {
    let mut params = Params::new(query)?;
    let span = [params.read("from", "a time", parse_time), params.read("to", "a time", parse_time)];
    params.finish()?;
    let now = (state.clock)();
    let market = |session: Session| MarketObject {
        symbol: String::new(),
        session,
        hours: session.hours(),
        is_open: session.is_open(now),
        changes_at: session.next_change(now).map(iso),
    };
    let sessions = Session::ALL.map(market);
    let markets = state.instruments.iter().filter_map(|instrument| {
        let market = sessions.iter().find(|market| market.session == instrument.session)?;
        Some(MarketObject { symbol: instrument.symbol.to_string(), ..market.clone() })
    });
    let windows = windows(span)?;
    Ok(Json(ClockObject { windows, ..clock(now, markets.collect()) }))
}

fn windows(span: [Option<DateTime<Utc>>; 2]) -> Result<Option<Vec<OpenWindowObject>>, ApiError> {
    let fault = |field: &str, reason: &str| ApiError::from(PushError::Invalid(vec![Fault::new(field, reason)]));
    let (from, to) = match span {
        [Some(from), Some(to)] => (from, to),
        [None, None] => return Ok(None),
        [Some(_), None] => return Err(fault("to", "is needed beside `from`")),
        [None, Some(_)] => return Err(fault("from", "is needed beside `to`")),
    };
    if from >= to || to - from > MAX_SPAN {
        return Err(fault("to", "must be after `from`, by 62 days at most"));
    }
    let window = |(killzone, from, to)| OpenWindowObject { killzone, from: iso(from), to: iso(to) };
    Ok(Some(Killzone::windows_between(from, to).into_iter().map(window).collect()))
}

fn clock(now: DateTime<Utc>, markets: Vec<MarketObject>) -> ClockObject {
    let KillzoneObject { timestamp, new_york, killzone, changes_at, seconds_to_change, next } = KillzoneObject::at(now);
    let weeks = weeks_apart(now);
    let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
    let window = |killzone: Killzone| {
        let (begins, ends) = killzone.window();
        WindowObject { killzone, begins: time(begins), ends: time(ends) }
    };
    ClockObject {
        timestamp,
        new_york,
        killzone,
        changes_at,
        seconds_to_change,
        next,
        killzones: Killzone::ALL.map(window).into(),
        windows: None,
        clocks_differ: weeks.first().is_some_and(|(from, _)| *from <= now),
        weeks_apart: weeks.into_iter().map(|(from, to)| SpanObject { from: iso(from), to: iso(to) }).collect(),
        markets,
    }
}
