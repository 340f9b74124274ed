//! `GET /api/outcomes`: the records of confirmed signals, one by one.

use std::collections::VecDeque;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::describe::Refuses;
use super::error::ApiError;
use super::params::{Params, RawQuery, ReadAccess};
use super::stats::{StatsFeed, StatsQuery};
use crate::domain::{Feed, TradeOutcome, iso};

const ROUTE: &str = "/api/outcomes";

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Outcomes)]
struct OutcomesObject {
    /// The feeds whose records are counted.
    feeds: Vec<Feed>,
    /// How many records the query selects.
    total: usize,
    /// When the first of them was confirmed.
    #[schema(required, format = DateTime)]
    observed_since: Option<String>,
    /// The last ones, in the order in which they ended.
    #[schema(value_type = Vec<TradeOutcome>)]
    outcomes: VecDeque<TradeOutcome>,
}

/// The records that a query selects, as far as they were read.
#[derive(Debug, Default)]
struct Selected {
    total: usize,
    observed_since: Option<DateTime<Utc>>,
    last: VecDeque<TradeOutcome>,
}

impl Selected {
    fn add(&mut self, outcome: TradeOutcome, limit: usize) {
        self.total += 1;
        let since = self.observed_since.map_or(outcome.confirmed_at, |since| since.min(outcome.confirmed_at));
        self.observed_since = Some(since);
        if self.last.len() == limit {
            self.last.pop_front();
        }
        self.last.push_back(outcome);
    }
}

/// Lists the records of confirmed signals in the order in which they ended.
///
/// Records are written once and never changed; `orion-server verify` checks their chain.
#[utoipa::path(
    get,
    path = "/api/outcomes",
    operation_id = "list_outcomes",
    security(("reader" = [])),
    params(
        ("symbol" = Option<String>, Query, description = "Instrument, in any spelling", example = "EURUSD"),
        ("source" = Option<String>, Query, description = "Only signals of this source", max_length = 128, example = "push"),
        ("since" = Option<String>, Query, description = "Only records that ended at or after this time", example = "2026-01-01T00:00:00Z"),
        ("until" = Option<String>, Query, description = "Only records that ended at or before this time", example = "2027-01-01T00:00:00Z"),
        ("feed" = inline(Option<StatsFeed>), Query, description = "Only records at prices of this feed; by default live and delayed"),
        ("limit" = Option<u32>, Query, description = "Largest number of entries, the last ones; 500 by default", minimum = 1, maximum = 5000, example = 10),
    ),
    responses((status = 200, body = OutcomesObject, description = "The records"), Refuses<422>),
)]
pub(super) async fn outcomes(
    _: ReadAccess,
    State(state): State<AppState>,
    query: RawQuery,
) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    let question = StatsQuery::read(&mut params, &state.instruments);
    let limit = params.limit(500, 5_000);
    params.finish()?;
    let permit = state.stats.permit(ROUTE).await?;
    let feeds = question.feeds();
    // The permit moves into the computation, which continues when the client disconnects.
    let folded = state.history.fold_outcomes((Selected::default(), permit), move |(selected, _), outcome| {
        if question.counts(&outcome) {
            selected.add(outcome, limit);
        }
    });
    let (Selected { total, observed_since, last }, _permit) = folded.await?;
    let observed_since = observed_since.map(iso);
    Ok(Json(OutcomesObject { feeds, total, observed_since, outcomes: last }).into_response())
}
