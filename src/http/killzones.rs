//! `GET /api/killzones`: the killzone clock, and the hours of the markets.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::params::ReadAccess;
use crate::domain::{Killzone, Session, iso, weeks_apart};
use crate::transport::messages::{KillzoneObject, NextKillzoneObject};

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
#[utoipa::path(
    get,
    path = "/api/killzones",
    operation_id = "get_killzones",
    security(("reader" = [])),
    responses((status = 200, body = ClockObject, description = "The clock")),
)]
pub(super) async fn killzones(_: ReadAccess, State(state): State<AppState>) -> Json<ClockObject> {
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
    Json(clock(now, markets.collect()))
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
        clocks_differ: weeks.first().is_some_and(|(from, _)| *from <= now),
        weeks_apart: weeks.into_iter().map(|(from, to)| SpanObject { from: iso(from), to: iso(to) }).collect(),
        markets,
    }
}
