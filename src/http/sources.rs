//! `GET /api/sources`: the state of the sources.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::params::ReadAccess;
use crate::domain::{SourceName, iso};
use crate::pipeline::LaneStatus;
use crate::telemetry::{Budget, SourceState, SourceStatus};

#[derive(Debug, Serialize)]
struct SourcesObject {
    sources: Vec<SourceObject>,
    timestamp: String,
}

/// One source. Durations are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct SourceObject {
    name: SourceName,
    state: &'static str,
    /// Time until the next connection attempt.
    retry_in: Option<u64>,
    /// Time since its last tick.
    last_tick_age: Option<u64>,
    ticks_per_minute: u64,
    /// Ticks rejected since the start.
    rejected: u64,
    /// The provider's request quota.
    budget: Option<BudgetObject>,
    symbols: Vec<SymbolObject>,
}

#[derive(Debug, Serialize)]
struct BudgetObject {
    used: u32,
    limit: u32,
    resets_at: String,
}

#[derive(Debug, Serialize)]
struct SymbolObject {
    symbol: String,
    /// Whether the symbol's prices come from this source; else the source is on standby.
    in_force: bool,
    last_tick_age: u64,
    /// Difference from the active source, in percent.
    apart: Option<f64>,
    /// Whether the difference has been too large for too long.
    diverged: bool,
}

/// `GET /api/sources`
pub(super) async fn sources(_: ReadAccess, State(state): State<AppState>) -> Response {
    let sources = objects(state.states.list(), state.feeds.list());
    Json(SourcesObject { sources, timestamp: iso((state.clock)()) }).into_response()
}

/// Returns the sources that have a state, with their symbols, then the sources that only have prices (pushed ones).
pub(super) fn objects(states: Vec<SourceStatus>, lanes: Vec<LaneStatus>) -> Vec<SourceObject> {
    let mut of_source: BTreeMap<SourceName, Vec<LaneStatus>> = BTreeMap::new();
    for lane in lanes {
        of_source.entry(lane.source.clone()).or_default().push(lane);
    }
    let mut objects: Vec<_> = states
        .into_iter()
        .map(|status| {
            let lanes = of_source.remove(&status.name).unwrap_or_default();
            object(status, &lanes)
        })
        .collect();
    let stateless = of_source.into_iter().map(|(name, lanes)| {
        let last_tick_age = lanes.iter().map(|lane| lane.age).min();
        let (state, ticks_per_minute, rejected, budget) = (SourceState::Live, 0, 0, None);
        object(SourceStatus { name, state, last_tick_age, ticks_per_minute, rejected, budget }, &lanes)
    });
    objects.extend(stateless);
    objects
}

fn object(status: SourceStatus, lanes: &[LaneStatus]) -> SourceObject {
    let millis = |span: std::time::Duration| span.as_millis() as u64;
    let symbols = lanes.iter().map(|lane| SymbolObject {
        symbol: lane.symbol.to_string(),
        in_force: lane.in_force,
        last_tick_age: millis(lane.age),
        apart: lane.apart.map(|share| (share * 1e6).round() / 1e4 + 0.0),
        diverged: lane.diverged,
    });
    SourceObject {
        state: status.state.name(),
        retry_in: match status.state {
            SourceState::Waiting { retry_in } => Some(millis(retry_in)),
            _ => None,
        },
        last_tick_age: status.last_tick_age.map(millis),
        ticks_per_minute: status.ticks_per_minute,
        rejected: status.rejected + lanes.iter().map(|lane| lane.refused).sum::<u64>(),
        budget: status.budget.map(|Budget { used, limit, resets_at }| BudgetObject {
            used,
            limit,
            resets_at: iso(resets_at),
        }),
        symbols: symbols.collect(),
        name: status.name,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::domain::{Symbol, parse_time};

    #[test]
    fn a_source_is_listed_with_its_symbols() {
        let second = Duration::from_secs(1);
        let status = SourceStatus {
            name: SourceName::new("alpha_vantage"),
            state: SourceState::Waiting { retry_in: 3 * second },
            last_tick_age: Some(second),
            ticks_per_minute: 60,
            rejected: 2,
            budget: Some(Budget { used: 24, limit: 25, resets_at: parse_time("2026-01-16T00:00:00Z").unwrap() }),
        };
        let lane = |source: &str, apart| LaneStatus {
            symbol: Symbol::new("EURUSD"),
            source: SourceName::new(source),
            in_force: false,
            age: second,
            ticks: 9,
            refused: 1,
            apart,
            diverged: false,
        };
        let lanes = vec![lane("alpha_vantage", Some(-0.000_123_449)), lane("push", None)];
        assert_eq!(
            serde_json::to_value(objects(vec![status], lanes)).unwrap(),
            json!([
                {"name": "alpha_vantage", "state": "waiting", "retry_in": 3000, "last_tick_age": 1000, "ticks_per_minute": 60,
                    "rejected": 3, "budget": {"used": 24, "limit": 25, "resets_at": "2026-01-16T00:00:00.000Z"},
                    "symbols": [{"symbol": "EURUSD", "in_force": false, "last_tick_age": 1000, "apart": -0.0123, "diverged": false}]},
                {"name": "push", "state": "live", "retry_in": null, "last_tick_age": 1000, "ticks_per_minute": 0, "rejected": 1,
                    "budget": null,
                    "symbols": [{"symbol": "EURUSD", "in_force": false, "last_tick_age": 1000, "apart": null, "diverged": false}]},
            ])
        );
    }
}
