//! What became of signals: statistics of their records, and how large a position a signal's risk allows.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;

use super::AppState;
use super::body::encoded;
use super::error::ApiError;
use super::params::{Params, RawQuery, Reader};
use super::reads::ReadLimit;
use crate::domain::{
    Breakdown, BreakdownBuilder, Contract, FEW, Fault, Feed, PositionSize, PriceUpdate, Signal, SourceName, Symbol,
    TradeOutcome, parse_time,
};
use crate::sources::push::PushFault;
use crate::store;
use crate::telemetry::Metrics;

/// Most that may be asked for as the risk of one position.
const MAX_RISK: f64 = 1e9;

/// Answers that are kept, the last used ones.
const MAX_KEPT: usize = 64;
/// Longest name of a source that is looked for; no sender has a longer one.
const MAX_SOURCE_CHARS: usize = 128;
const ROUTE: &str = "/api/stats";

#[derive(Debug, Serialize)]
struct StatsObject {
    /// Which records these are of.
    feeds: Vec<Feed>,
    note: String,
    /// Confirmed signals of the symbol and the source whose record has not ended.
    open: usize,
    #[serde(flatten)]
    statistics: Breakdown,
}

/// Which records are asked about.
#[derive(Debug, Clone, PartialEq)]
struct Question {
    symbol: Option<Symbol>,
    source: Option<String>,
    since: Option<DateTime<Utc>>,
    /// `None` for what counts as the record.
    feed: Option<Feed>,
}

impl Question {
    fn is_about(&self, symbol: &Symbol, source: &SourceName) -> bool {
        self.symbol.as_ref().is_none_or(|wanted| wanted == symbol)
            && self.source.as_ref().is_none_or(|wanted| wanted == source.as_str())
    }

    fn counts(&self, outcome: &TradeOutcome) -> bool {
        // What never had a price is nobody's; left out of the record it would flatter it.
        let feed = match self.feed {
            Some(feed) => outcome.feed == Some(feed),
            None => outcome.feed.is_none_or(|feed| RECORD.contains(&feed)),
        };
        feed && self.is_about(&outcome.symbol, &outcome.source) && self.since.is_none_or(|at| outcome.closed_at >= at)
    }
}

/// The feeds that make the record. Recordings can be chosen; they are not part of it unless asked for.
const RECORD: [Feed; 2] = [Feed::Live, Feed::Delayed];

/// Statistics as they were last answered: computed once for each change of the records, one at a time, without holding them.
#[derive(Debug)]
pub struct StatsCache {
    /// The least recently used first.
    answers: Mutex<VecDeque<Answer>>,
    /// Whose turn it is to compute.
    turn: ReadLimit,
}

#[derive(Debug)]
struct Answer {
    question: Question,
    /// The records that it is of.
    version: u64,
    json: Bytes,
}

impl StatsCache {
    /// An empty cache.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { answers: Mutex::default(), turn: ReadLimit::new(1, metrics) }
    }

    fn find(&self, question: &Question, version: u64) -> Option<Bytes> {
        let mut answers = self.answers.lock();
        let at = answers.iter().position(|answer| answer.question == *question && answer.version == version)?;
        let answer = answers.remove(at)?;
        let json = answer.json.clone();
        answers.push_back(answer);
        Some(json)
    }

    fn keep(&self, answer: Answer) {
        let mut answers = self.answers.lock();
        answers.retain(|other| other.question != answer.question);
        answers.push_back(answer);
        if answers.len() > MAX_KEPT {
            answers.pop_front();
        }
    }

    async fn answer(&self, history: &store::Reader, question: Question) -> Result<Bytes, ApiError> {
        if let Some(json) = self.find(&question, history.records_version()) {
            return Ok(json);
        }
        let turn = self.turn.turn(ROUTE).await?;
        // Read before the records: what changes meanwhile makes the answer an old one.
        let version = history.records_version();
        if let Some(json) = self.find(&question, version) {
            return Ok(json);
        }
        let open = history.open_records().await?;
        let open = open.iter().filter(|(symbol, source)| question.is_about(symbol, source)).count();
        let asked = question.clone();
        // The turn goes with the work, which goes on when the one who asked has gone away.
        let folded = history.fold_outcomes((BreakdownBuilder::default(), turn), move |(builder, _), outcome| {
            if asked.counts(&outcome) {
                builder.add(&outcome);
            }
        });
        let (builder, _turn) = folded.await?;
        let json = object(&question, open, builder.finish())?;
        self.keep(Answer { question, version, json: json.clone() });
        Ok(json)
    }
}

fn object(question: &Question, open: usize, statistics: Breakdown) -> Result<Bytes, ApiError> {
    let gaps = match statistics.all.with_gap {
        0 => String::new(),
        n => format!("; {n} went on over a time when the server was down"),
    };
    let note = format!(
        "results in R, of every confirmed signal that had a position; rates of fewer than {FEW} trades say next to \
         nothing{gaps}"
    );
    let feeds = question.feed.map_or_else(|| RECORD.to_vec(), |feed| vec![feed]);
    let object = StatsObject { feeds, note, open, statistics };
    Ok(serde_json::to_vec(&object).map_err(|_| ApiError::Internal)?.into())
}

/// `GET /api/stats`
pub(super) async fn stats(_: Reader, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    let question = Question {
        symbol: params.symbol(&state.instruments),
        since: params.read("since", "a time", parse_time),
        feed: params.read("feed", "live, delayed or replayed", |feed| match feed {
            "live" => Some(Feed::Live),
            "delayed" => Some(Feed::Delayed),
            "replayed" => Some(Feed::Replayed),
            _ => None,
        }),
        source: params.read("source", &format!("a name of at most {MAX_SOURCE_CHARS} characters"), |source| {
            (source.chars().count() <= MAX_SOURCE_CHARS).then(|| source.to_owned())
        }),
    };
    params.finish()?;
    Ok(encoded(state.stats.answer(&state.history, question).await?))
}

/// A position for the query's `risk` in its `currency` (US dollars if absent).
#[derive(Debug, Serialize)]
pub(super) struct PositionObject {
    currency: String,
    #[serde(flatten)]
    size: PositionSize,
}

/// What `?risk=` asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    risk: f64,
    currency: String,
}

/// Reads `risk` and `currency`; `None` where no risk is given.
pub(super) fn wanted(query: RawQuery) -> Result<Option<Wanted>, ApiError> {
    let mut params = Params::new(query)?;
    let amount = |text: &str| text.parse().ok().filter(|risk: &f64| *risk > 0.0 && *risk <= MAX_RISK);
    let risk = params.read("risk", "an amount of the account's currency above 0", amount);
    let code = |text: &str| {
        (text.len() == 3 && text.bytes().all(|b| b.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
    };
    let currency = params.read("currency", "a currency such as USD", code);
    params.finish()?;
    Ok(risk.map(|risk| Wanted { risk, currency: currency.unwrap_or_else(|| "USD".to_owned()) }))
}

/// The position for a signal.
pub(super) fn position(state: &AppState, signal: &Signal, wanted: Wanted) -> Result<PositionObject, ApiError> {
    let fault = |field: &str, reason: String| -> ApiError {
        let fault = PushFault::of(vec![Fault::new(field, reason)], 0);
        fault.map_or(ApiError::Internal, ApiError::from)
    };
    let (Some(entry), Some(stop)) = (signal.entry_price, signal.stop_loss) else {
        return Err(fault("risk", "the signal has no entry or no stop".into()));
    };
    let instrument = state.instruments.get(&signal.symbol).ok_or(ApiError::Internal)?;
    let contract = Contract::of(instrument);
    let Wanted { risk, currency } = wanted;
    let rate = rate(state, &contract, &currency, entry)
        .ok_or_else(|| fault("currency", format!("there is no price to change {} into {currency}", contract.quote)))?;
    let size = PositionSize::for_risk(&contract, entry, stop, risk, rate)
        .ok_or_else(|| fault("risk", "the signal's stop is at its entry".into()))?;
    Ok(PositionObject { currency, size })
}

/// What one unit of the contract's quote currency is worth in `currency`.
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
