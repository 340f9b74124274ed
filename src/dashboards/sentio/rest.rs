//! The HTTP routes that Sentio's pages poll while they have no stream: current signals, quotes, and price history.
//!
//! An unknown symbol is not an error here: the answer is empty, in the shape that the page reads. A user's data needs
//! that user's token, or a bare id where the settings allow it; admin data needs an admin token.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Days, NaiveTime, Utc};
use http::HeaderMap;
use serde::Serialize;

use super::wire::{self, BarObject, Watchlist, array, json};
use crate::auth::{self, TokenKind};
use crate::dashboards::sentio::types;
use crate::domain::{Audience, Bar, BarInterval, Event, MessageType, iso, parse_time};
use crate::http::admin::admit;
use crate::http::{ApiError, AppState, Params, ReadAccess, ReadLimit, encoded};
use crate::hub::Envelope;
use crate::ingest::ErrorBody;

type RawQuery = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// Largest number of bars in one answer.
const MAX_BARS: usize = 1_000;
/// The timeframe of a request that names none.
const DEFAULT_TIMEFRAME: &str = "1day";

/// Returns the routes.
pub(in crate::dashboards) fn routes(reads: &ReadLimit) -> Router<AppState> {
    let limited = |handler| reads.limit(handler);
    Router::new()
        .route("/api/v1/dashboard/trade-signals", limited(get(trade_signals)))
        .route("/api/v1/dashboard/earnings", get(earnings))
        .route("/api/v1/market/quote/{symbol}", get(quote))
        .route("/api/v1/market/quotes", limited(get(quotes)))
        .route("/api/v1/market/history/{symbol}", limited(get(history)))
        .route("/api/v1/admin/users", limited(get(admin_users)))
        .route("/api/v1/admin/subscribers", limited(get(admin_subscribers)))
        .route("/api/v1/admin/analytics/revenue", limited(get(admin_revenue)))
        .route("/api/v1/admin/analytics/users", limited(get(admin_user_analytics)))
}

#[derive(Debug, Serialize)]
struct HistoryObject<'a> {
    status: &'static str,
    symbol: String,
    timeframe: &'a str,
    data: Vec<BarObject>,
    count: usize,
}

/// `GET /api/v1/dashboard/trade-signals`: the same list as on the stream. Without symbols it covers all of them.
async fn trade_signals(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let watchlist = Watchlist::of(symbols(&query?.0), &state.instruments);
    let watchlist = Some(&watchlist).filter(|watchlist| !watchlist.is_empty());
    let sources = state.hub.with_snapshot(|present| wire::signal_sources(present, watchlist));
    let signals = wire::signal_list(&sources, watchlist, &state.instruments);
    let (count, list, now) = (signals.len(), array(&signals), iso((state.clock)()));
    Ok(encoded(format!(r#"{{"signals":{list},"count":{count},"timestamp":"{now}"}}"#)))
}

/// `GET /api/v1/market/quote/{symbol}`: null when there is no price.
async fn quote(
    _: ReadAccess,
    State(state): State<AppState>,
    symbol: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let watchlist = Watchlist::of([symbol?.as_str()], &state.instruments);
    let quote = quotes_of(&state, &watchlist).pop().map_or_else(|| "null".to_owned(), |(_, quote)| quote);
    Ok(encoded(format!(r#"{{"status":"success","quote":{quote}}}"#)))
}

/// `GET /api/v1/market/quotes?symbols=A,B`: quotes by symbol. Symbols without a price are absent.
async fn quotes(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let watchlist = Watchlist::of(symbols(&query?.0), &state.instruments);
    let quotes = quotes_of(&state, &watchlist);
    let (count, now) = (quotes.len(), iso((state.clock)()));
    let quotes: Vec<_> = quotes.iter().map(|(name, quote)| format!("{}:{quote}", json(name))).collect();
    let quotes = quotes.join(",");
    Ok(encoded(format!(r#"{{"status":"success","quotes":{{{quotes}}},"count":{count},"timestamp":"{now}"}}"#)))
}

/// `GET /api/v1/market/history/{symbol}`: bars of this server's own prices; empty for a timeframe that the server does
/// not store.
async fn history(
    _: ReadAccess,
    State(state): State<AppState>,
    symbol: Result<Path<String>, PathRejection>,
    query: RawQuery,
) -> Result<Response, ApiError> {
    let symbol = symbol?.trim().to_uppercase();
    let mut params = Params::new(query)?;
    let timeframe = params.read("timeframe", "text", |text| Some(text.to_owned()));
    let from = params.read("start_date", "a date or an ISO 8601 time", |text| day_or_time(text, 0));
    let to = params.read("end_date", "a date or an ISO 8601 time", |text| day_or_time(text, 1));
    params.finish()?;
    let timeframe = timeframe.as_deref().unwrap_or(DEFAULT_TIMEFRAME);
    let mut bars = match (state.instruments.named(&symbol), Timeframe::parse(timeframe)) {
        (Some(instrument), Some(Timeframe::Kept(interval))) => {
            state.history.bars(&instrument.symbol, interval, MAX_BARS).await?
        }
        (Some(instrument), Some(Timeframe::Days)) => {
            days(&state.history.bars(&instrument.symbol, BarInterval::OneHour, MAX_BARS).await?)
        }
        _ => Vec::new(),
    };
    bars.retain(|bar| from.is_none_or(|from| bar.opened_at >= from) && to.is_none_or(|to| bar.opened_at < to));
    let data: Vec<_> = bars.iter().map(BarObject::from).collect();
    let count = data.len();
    Ok(Json(HistoryObject { status: "success", symbol, timeframe, data, count }).into_response())
}

/// `GET /api/v1/dashboard/earnings`: the latest earnings published for the user, else null. The page hides the panel on
/// null, but shows broken numbers for an object without them.
async fn earnings(
    State(state): State<AppState>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, DetailedError> {
    let identity = state.tokens.reader(auth::bearer(&headers)?);
    let identity = identity.map_err(|error| ApiError::Token(TokenKind::of_reader(error), error))?;
    let params = Params::new(query)?;
    let user = state.open_users.admit(identity.as_ref(), params.get("user_id"))?;
    let earnings = state.hub.with_snapshot(|present| wire::earnings(present, &user));
    Ok(as_published(earnings.as_deref()).unwrap_or_else(|| encoded("null")))
}

/// `GET /api/v1/admin/users`
async fn admin_users(state: State<AppState>, headers: HeaderMap) -> Result<Response, DetailedError> {
    for_administrators(&state, &headers, types::ADMIN_USERS, r#"{"users":[]}"#)
}

/// `GET /api/v1/admin/subscribers`
async fn admin_subscribers(state: State<AppState>, headers: HeaderMap) -> Result<Response, DetailedError> {
    for_administrators(&state, &headers, types::ADMIN_SUBSCRIBERS, r#"{"subscribers":[]}"#)
}

/// `GET /api/v1/admin/analytics/revenue`
async fn admin_revenue(state: State<AppState>, headers: HeaderMap) -> Result<Response, DetailedError> {
    for_administrators(&state, &headers, types::ADMIN_REVENUE, r#"{"revenue_by_tier":{},"subscribers_by_tier":{}}"#)
}

/// `GET /api/v1/admin/analytics/users`
async fn admin_user_analytics(state: State<AppState>, headers: HeaderMap) -> Result<Response, DetailedError> {
    for_administrators(&state, &headers, types::ADMIN_USER_ANALYTICS, r#"{"by_status":{},"by_tier":{}}"#)
}

/// Returns the latest published message, else `nothing`, which has the page's shape without data. The token comes as a
/// bearer token or in the page's own header.
fn for_administrators(
    state: &AppState,
    headers: &HeaderMap,
    kind: MessageType,
    nothing: &str,
) -> Result<Response, DetailedError> {
    admit(state, headers)?;
    let latest = state.hub.with_snapshot(|present| present.states_of(&Audience::Admin, kind).last().cloned());
    Ok(as_published(latest.as_deref()).unwrap_or_else(|| encoded(nothing.to_owned())))
}

fn as_published(publication: Option<&Envelope>) -> Option<Response> {
    publication?.published().map(|published| encoded(published.data.to_string()))
}

/// A bar length, in the spellings of the page and of its market data provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timeframe {
    Kept(BarInterval),
    /// Aggregated from hourly bars.
    Days,
}

impl Timeframe {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "1m" | "1min" | "1minute" => Self::Kept(BarInterval::OneMinute),
            "5m" | "5min" | "5minute" => Self::Kept(BarInterval::FiveMinutes),
            "15m" | "15min" | "15minute" => Self::Kept(BarInterval::FifteenMinutes),
            "1h" | "1hour" | "60min" => Self::Kept(BarInterval::OneHour),
            "1d" | "1day" | "day" | "daily" => Self::Days,
            _ => return None,
        })
    }
}

/// Aggregates ordered bars into bars of one UTC day each.
fn days(bars: &[Bar]) -> Vec<Bar> {
    let mut days: Vec<Bar> = Vec::new();
    for bar in bars {
        let opened_at = bar.opened_at.date_naive().and_time(NaiveTime::MIN).and_utc();
        match days.last_mut().filter(|day| day.opened_at == opened_at) {
            Some(day) => {
                day.high = day.high.max(bar.high);
                day.low = day.low.min(bar.low);
                day.close = bar.close;
                day.volume += bar.volume;
            }
            None => days.push(Bar { opened_at, ..bar.clone() }),
        }
    }
    days
}

/// Parses a time, or a date, which becomes midnight `later` days after it: a range includes its last day.
fn day_or_time(text: &str, later: u64) -> Option<DateTime<Utc>> {
    match text.trim().parse::<chrono::NaiveDate>() {
        Ok(day) => Some(day.checked_add_days(Days::new(later))?.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => parse_time(text),
    }
}

/// Returns each quote with the name that the request used for the symbol.
fn quotes_of(state: &AppState, watchlist: &Watchlist) -> Vec<(String, String)> {
    let prices = state.hub.with_snapshot(|present| present.prices(|symbol| watchlist.contains(symbol.as_str())));
    let named = prices.iter().filter_map(|price| match price.event() {
        Event::Price(update) => Some((update.symbol.as_str(), price)),
        Event::Signal(_) | Event::RelayedMessage(_) => None,
    });
    let each = named.flat_map(|(symbol, price)| {
        watchlist.names(symbol).filter_map(|name| Some((name.to_owned(), wire::quote(price, name)?)))
    });
    each.collect()
}

/// Returns the symbols of a query: `symbols=A,B`, `symbols[]=A&symbols[]=B`, `symbols[0]=A`.
fn symbols(query: &[(String, String)]) -> impl Iterator<Item = &str> {
    let named = query.iter().filter(|(name, _)| name == "symbols" || name.starts_with("symbols["));
    named.flat_map(|(_, symbols)| symbols.split(','))
}

/// An error in the shape that the pages read: the sentence is also in `detail`.
#[derive(Debug)]
struct DetailedError(ApiError);

impl<E: Into<ApiError>> From<E> for DetailedError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Serialize)]
struct DetailedBody {
    #[serde(flatten)]
    body: ErrorBody,
    detail: String,
}

impl IntoResponse for DetailedError {
    fn into_response(self) -> Response {
        let body = self.0.body();
        let body = DetailedBody { detail: body.error.clone(), body };
        self.0.respond(body)
    }
}
