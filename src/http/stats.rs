//! Outcomes of signals: statistics of the trade records, and the position size for a given risk.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::AppState;
use super::body::encoded;
use super::describe::Refuses;
use super::error::ApiError;
use super::params::{Params, RawQuery, ReadAccess};
use super::reads::ReadLimit;
use crate::domain::{
    Breakdown, BreakdownBuilder, Contract, FEW, Fault, Feed, Instruments, PositionSize, PriceUpdate, Signal,
    SourceName, Symbol, TradeOutcome, parse_time,
};
use crate::ingest::PushError;
use crate::store;
use crate::telemetry::Metrics;

/// Largest accepted risk of one position.
const MAX_RISK: f64 = 1e9;

/// How many answers are cached. The least recently used one is evicted.
const MAX_CACHED: usize = 64;
/// Longest accepted name of a source. No source has a longer one.
const MAX_SOURCE_CHARS: usize = 128;
const ROUTE: &str = "/api/stats";

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
struct StatsObject {
    /// The feeds whose records are counted.
    feeds: Vec<Feed>,
    note: String,
    /// Confirmed signals of this symbol and source whose record has not ended.
    open: usize,
    #[serde(flatten)]
    statistics: Breakdown,
}

/// The feeds by which records can be filtered.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes a parameter")]
pub(super) enum StatsFeed {
    Live,
    Delayed,
    Replayed,
}

/// The filter of a request for statistics.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatsQuery {
    symbol: Option<Symbol>,
    source: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    /// `None` selects the feeds of the official record.
    feed: Option<Feed>,
}

impl StatsQuery {
    /// Reads the filter from a query.
    pub(super) fn read(params: &mut Params, instruments: &Instruments) -> Self {
        Self {
            symbol: params.symbol(instruments),
            since: params.read("since", "a time", parse_time),
            until: params.read("until", "a time", parse_time),
            feed: params.read("feed", "live, delayed or replayed", |feed| match feed {
                "live" => Some(Feed::Live),
                "delayed" => Some(Feed::Delayed),
                "replayed" => Some(Feed::Replayed),
                _ => None,
            }),
            source: params.read("source", &format!("a name of at most {MAX_SOURCE_CHARS} characters"), |source| {
                (source.chars().count() <= MAX_SOURCE_CHARS).then(|| source.to_owned())
            }),
        }
    }

    /// Returns the feeds whose records are counted.
    pub(super) fn feeds(&self) -> Vec<Feed> {
        self.feed.map_or_else(|| RECORD.to_vec(), |feed| vec![feed])
    }

    fn is_about(&self, symbol: &Symbol, source: &SourceName) -> bool {
        self.symbol.as_ref().is_none_or(|wanted| wanted == symbol)
            && self.source.as_ref().is_none_or(|wanted| wanted == source.as_str())
    }

    /// Whether a record is counted.
    pub(super) fn counts(&self, outcome: &TradeOutcome) -> bool {
        // A record without any price counts in every filter for the official record; leaving it out would improve the
        // result.
        let feed = match self.feed {
            Some(feed) => outcome.feed == Some(feed),
            None => outcome.feed.is_none_or(|feed| RECORD.contains(&feed)),
        };
        feed && self.is_about(&outcome.symbol, &outcome.source)
            && self.since.is_none_or(|at| outcome.closed_at >= at)
            && self.until.is_none_or(|at| outcome.closed_at <= at)
    }
}

/// The feeds of the official record. Replayed recordings are counted only on request.
const RECORD: [Feed; 2] = [Feed::Live, Feed::Delayed];

/// A cache of statistics. Each answer is computed once per change of the records, one computation at a time, without
/// copying the records.
#[derive(Debug)]
pub struct StatsCache {
    /// In order of use, the least recently used first.
    answers: Mutex<VecDeque<CachedStats>>,
    /// Permits one computation at a time.
    permit: ReadLimit,
}

#[derive(Debug)]
struct CachedStats {
    question: StatsQuery,
    /// The version of the records that the answer covers.
    version: u64,
    json: Bytes,
}

impl StatsCache {
    /// An empty cache.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { answers: Mutex::default(), permit: ReadLimit::new(1, metrics) }
    }

    /// Waits for the permit to read all records. `route` is the metric label for a rejection.
    pub(super) async fn permit(&self, route: &str) -> Result<OwnedSemaphorePermit, ApiError> {
        self.permit.acquire(route).await
    }

    fn find(&self, question: &StatsQuery, version: u64) -> Option<Bytes> {
        let mut answers = self.answers.lock();
        let at = answers.iter().position(|answer| answer.question == *question && answer.version == version)?;
        let answer = answers.remove(at)?;
        let json = answer.json.clone();
        answers.push_back(answer);
        Some(json)
    }

    fn insert(&self, answer: CachedStats) {
        let mut answers = self.answers.lock();
        answers.retain(|other| other.question != answer.question);
        answers.push_back(answer);
        if answers.len() > MAX_CACHED {
            answers.pop_front();
        }
    }

    async fn answer(&self, history: &store::Reader, question: StatsQuery) -> Result<Bytes, ApiError> {
        if let Some(json) = self.find(&question, history.records_version()) {
            return Ok(json);
        }
        let permit = self.permit(ROUTE).await?;
        // The version is read before the records, so that a change in between makes this answer outdated.
        let version = history.records_version();
        if let Some(json) = self.find(&question, version) {
            return Ok(json);
        }
        let open = history.open_records().await?;
        let open = open.iter().filter(|(symbol, source)| question.is_about(symbol, source)).count();
        let asked = question.clone();
        // The permit moves into the computation, which continues when the client disconnects.
        let folded = history.fold_outcomes((BreakdownBuilder::default(), permit), move |(builder, _), outcome| {
            if asked.counts(&outcome) {
                builder.add(&outcome);
            }
        });
        let (builder, _permit) = folded.await?;
        let json = object(&question, open, builder.finish())?;
        self.insert(CachedStats { question, version, json: json.clone() });
        Ok(json)
    }
}

fn object(question: &StatsQuery, open: usize, statistics: Breakdown) -> Result<Bytes, ApiError> {
    let gaps = match statistics.all.with_gap {
        0 => String::new(),
        n => format!("; {n} went on over a time when the server was down"),
    };
    let note = format!(
        "results in R, of every confirmed signal that had a position; rates of fewer than {FEW} trades say next to \
         nothing{gaps}"
    );
    let object = StatsObject { feeds: question.feeds(), note, open, statistics };
    Ok(serde_json::to_vec(&object).map_err(|_| ApiError::Internal)?.into())
}

/// Returns the outcomes of confirmed signals, in R.
///
/// Computed once for each change of the records.
#[utoipa::path(
    get,
    path = "/api/stats",
    operation_id = "get_stats",
    security(("reader" = [])),
    params(
        ("symbol" = Option<String>, Query, description = "Instrument, in any spelling", example = "EURUSD"),
        ("source" = Option<String>, Query, description = "Only signals of this source", max_length = 128, example = "push"),
        ("since" = Option<String>, Query, description = "Only records that ended at or after this time", example = "2026-01-01T00:00:00Z"),
        ("until" = Option<String>, Query, description = "Only records that ended at or before this time", example = "2027-01-01T00:00:00Z"),
        ("feed" = inline(Option<StatsFeed>), Query, description = "Only records at prices of this feed; by default live and delayed"),
    ),
    responses((status = 200, body = StatsObject, description = "The statistics"), Refuses<422>),
)]
pub(super) async fn stats(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    let question = StatsQuery::read(&mut params, &state.instruments);
    params.finish()?;
    Ok(encoded(state.stats.answer(&state.history, question).await?))
}

/// The position size for the query's `risk` in its `currency` (US dollars by default).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Position)]
pub(super) struct PositionObject {
    currency: String,
    #[serde(flatten)]
    size: PositionSize,
}

/// The risk that `?risk=` asks for.
#[derive(Debug)]
pub(super) struct RiskQuery {
    risk: f64,
    currency: String,
}

/// Reads `risk` and `currency`; `None` without `risk`.
pub(super) fn risk_query(query: RawQuery) -> Result<Option<RiskQuery>, ApiError> {
    let mut params = Params::new(query)?;
    let amount = |text: &str| text.parse().ok().filter(|risk: &f64| *risk > 0.0 && *risk <= MAX_RISK);
    let risk = params.read("risk", "an amount of the account's currency above 0", amount);
    let code = |text: &str| {
        (text.len() == 3 && text.bytes().all(|b| b.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
    };
    let currency = params.read("currency", "a currency such as USD", code);
    params.finish()?;
    Ok(risk.map(|risk| RiskQuery { risk, currency: currency.unwrap_or_else(|| "USD".to_owned()) }))
}

/// Computes the position size for a signal.
pub(super) fn position(state: &AppState, signal: &Signal, wanted: RiskQuery) -> Result<PositionObject, ApiError> {
    let fault = |field: &str, reason: String| ApiError::from(PushError::Invalid(vec![Fault::new(field, reason)]));
    let (Some(entry), Some(stop)) = (signal.entry_price, signal.stop_loss) else {
        return Err(fault("risk", "the signal has no entry or no stop".into()));
    };
    let instrument = state.instruments.get(&signal.symbol).ok_or(ApiError::Internal)?;
    let contract = Contract::of(instrument);
    let RiskQuery { risk, currency } = wanted;
    let rate = rate(state, &contract, &currency, entry)
        .ok_or_else(|| fault("currency", format!("there is no price to change {} into {currency}", contract.quote)))?;
    let size = PositionSize::for_risk(&contract, entry, stop, risk, rate)
        .ok_or_else(|| fault("risk", "the signal's stop is at its entry".into()))?;
    Ok(PositionObject { currency, size })
}

/// Returns the value of one unit of the contract's quote currency in `currency`.
fn rate(state: &AppState, contract: &Contract<'_>, currency: &str, entry: f64) -> Option<f64> {
    if contract.quote == currency {
        return Some(1.0);
    }
    if contract.base == Some(currency) {
        return Some(1.0 / entry);
    }
    let prices = state.hub.prices();
    let of = |pair: String| {
        let symbol = Symbol::new(&pair);
        let found = prices.iter().find(|update| update.symbol == symbol);
        found.map(|update: &Arc<PriceUpdate>| update.price)
    };
    of(format!("{}{currency}", contract.quote))
        .or_else(|| of(format!("{currency}{}", contract.quote)).map(|price| 1.0 / price))
}
