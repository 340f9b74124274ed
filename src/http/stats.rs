//! What became of signals: statistics of their records, and how large a position a signal's risk allows.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::error::ApiError;
use super::params::{Params, RawQuery, Reader};
use crate::domain::{
    Breakdown, Contract, FEW, Fault, Feed, Outcome, PositionSize, PriceUpdate, Signal, SourceName, Symbol, parse_time,
};
use crate::sources::push::PushFault;

/// Most that may be asked for as the risk of one position.
const MAX_RISK: f64 = 1e9;

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

/// `GET /api/stats`
pub(super) async fn stats(_: Reader, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let mut params = Params::new(query)?;
    let symbol = params.symbol(&state.instruments);
    let since = params.read("since", "a time", parse_time);
    // Recordings can be chosen; they are not part of the record unless asked for.
    let feeds = params.read("feed", "live, delayed or replayed", |feed| match feed {
        "live" => Some(vec![Feed::Live]),
        "delayed" => Some(vec![Feed::Delayed]),
        "replayed" => Some(vec![Feed::Replayed]),
        _ => None,
    });
    let source = params.get("source").map(str::to_owned);
    params.finish()?;
    // What never had a price is nobody's; left out of the record it would flatter it.
    let priceless = feeds.is_none();
    let feeds = feeds.unwrap_or_else(|| vec![Feed::Live, Feed::Delayed]);
    let mut outcomes = state.history.outcomes().await?;
    let wanted = |of: &Symbol, from: &SourceName| {
        symbol.as_ref().is_none_or(|symbol| of == symbol)
            && source.as_ref().is_none_or(|source| from.as_str() == source)
    };
    let open = state.history.open_records().await?.iter().filter(|(symbol, source)| wanted(symbol, source)).count();
    outcomes.retain(|outcome: &Outcome| {
        outcome.feed.map_or(priceless, |feed| feeds.contains(&feed))
            && wanted(&outcome.symbol, &outcome.source)
            && since.is_none_or(|since| outcome.closed_at >= since)
    });
    let statistics = Breakdown::of(&outcomes);
    let gaps = match statistics.all.with_gap {
        0 => String::new(),
        n => format!("; {n} went on over a time when the server was down"),
    };
    let note = format!(
        "results in R, of every confirmed signal that had a position; rates of fewer than {FEW} trades say next to \
         nothing{gaps}"
    );
    Ok(Json(StatsObject { feeds, note, open, statistics }).into_response())
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
        found.map(|update: &std::sync::Arc<PriceUpdate>| update.price)
    };
    of(format!("{}{currency}", contract.quote))
        .or_else(|| of(format!("{currency}{}", contract.quote)).map(|price| 1.0 / price))
}
