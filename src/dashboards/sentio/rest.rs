//! The HTTP routes that Sentio's pages poll while they have no stream: current signals, quotes, and price history.
//!
//! An unknown symbol is not an error here: the answer is empty, in the shape that the page reads. A user's data needs
//! that user's token, or a bare id where the settings allow it; admin data needs an admin token.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Days, NaiveTime, Utc};
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::wire::{self, BarObject, SignalObject, Watchlist, array, json};
use crate::auth::{self, Holder, TokenKind};
use crate::dashboards::sentio::types;
use crate::domain::{Audience, Bar, BarInterval, Event, MessageType, iso, parse_time};
use crate::http::admin::admit;
use crate::http::{ApiError, AppState, Group, Params, ReadAccess, ReadLimit, Refuses, encoded, grouped};
use crate::hub::Envelope;
use crate::ingest::ErrorBody;

type RawQuery = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// How the description of the HTTP interface names the routes.
const GROUP: Group = ("Sentio 2.0", "What the pages of Sentio poll while they have no stream.");
/// Largest number of bars in one answer.
const MAX_BARS: usize = 1_000;
/// The timeframe of a request that names none.
const DEFAULT_TIMEFRAME: &str = "1day";

/// Returns the routes.
pub(in crate::dashboards) fn routes(reads: &ReadLimit) -> OpenApiRouter<AppState> {
    let limited = |route| reads.limit(route);
    let routes = OpenApiRouter::new()
        .routes(limited(routes!(trade_signals)))
        .routes(routes!(earnings))
        .routes(routes!(quote))
        .routes(limited(routes!(quotes)))
        .routes(limited(routes!(history)))
        .routes(limited(routes!(admin_users)))
        .routes(limited(routes!(admin_subscribers)))
        .routes(limited(routes!(admin_revenue)))
        .routes(limited(routes!(admin_user_analytics)));
    grouped(GROUP, routes)
}

/// What [`trade_signals`] encodes.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::TradeSignals)]
#[expect(dead_code, reason = "describes encoded text")]
struct TradeSignalsObject {
    signals: Vec<SignalObject>,
    count: usize,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// What [`quote()`] encodes.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::OneQuote)]
#[expect(dead_code, reason = "describes encoded text")]
struct OneQuoteObject {
    status: String,
    #[schema(required)]
    quote: Option<wire::QuoteObject>,
}

/// What [`quotes`] encodes.
#[derive(Debug, ToSchema)]
#[schema(as = sentio::Quotes)]
#[expect(dead_code, reason = "describes encoded text")]
struct QuotesObject {
    status: String,
    quotes: BTreeMap<String, wire::QuoteObject>,
    count: usize,
    #[schema(format = DateTime)]
    timestamp: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = sentio::Bars)]
struct HistoryObject<'a> {
    status: &'static str,
    symbol: String,
    timeframe: &'a str,
    data: Vec<BarObject>,
    count: usize,
}

/// Lists the current signals, as on `/ws/trade-signals`.
#[utoipa::path(
    get,
    path = "/api/v1/dashboard/trade-signals",
    operation_id = "sentio_signals",
    security(("reader" = [])),
    params(
        ("symbols" = Option<String>, Query, description = "Symbols with commas between them; also `symbols[]=A&symbols[]=B`; all if there are none", example = "AAPL,EURUSD"),
    ),
    responses((status = 200, body = TradeSignalsObject, description = "The signals")),
)]
async fn trade_signals(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let watchlist = Watchlist::of(symbols(&query?.0), &state.instruments);
    let watchlist = Some(&watchlist).filter(|watchlist| !watchlist.is_empty());
    let sources = state.hub.with_snapshot(|present| wire::signal_sources(present, watchlist));
    let signals = wire::signal_list(&sources, watchlist, &state.instruments);
    let (count, list, now) = (signals.len(), array(&signals), iso((state.clock)()));
    Ok(encoded(format!(r#"{{"signals":{list},"count":{count},"timestamp":"{now}"}}"#)))
}

/// Returns the last price of a symbol; `quote` is null without one.
#[utoipa::path(
    get,
    path = "/api/v1/market/quote/{symbol}",
    operation_id = "sentio_quote",
    security(("reader" = [])),
    params(
        ("symbol" = String, Path, description = "Symbol, in any spelling", example = "EURUSD"),
    ),
    responses((status = 200, body = OneQuoteObject, description = "The price")),
)]
async fn quote(
    _: ReadAccess,
    State(state): State<AppState>,
    symbol: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let watchlist = Watchlist::of([symbol?.as_str()], &state.instruments);
    let quote = quotes_of(&state, &watchlist).pop().map_or_else(|| "null".to_owned(), |(_, quote)| quote);
    Ok(encoded(format!(r#"{{"status":"success","quote":{quote}}}"#)))
}

/// Returns the last prices of symbols; one without a price is absent.
#[utoipa::path(
    get,
    path = "/api/v1/market/quotes",
    operation_id = "sentio_quotes",
    security(("reader" = [])),
    params(
        ("symbols" = Option<String>, Query, description = "Symbols with commas between them", example = "AAPL,EURUSD"),
    ),
    responses((status = 200, body = QuotesObject, description = "The prices")),
)]
async fn quotes(_: ReadAccess, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let watchlist = Watchlist::of(symbols(&query?.0), &state.instruments);
    let quotes = quotes_of(&state, &watchlist);
    let (count, now) = (quotes.len(), iso((state.clock)()));
    let quotes: Vec<_> = quotes.iter().map(|(name, quote)| format!("{}:{quote}", json(name))).collect();
    let quotes = quotes.join(",");
    Ok(encoded(format!(r#"{{"status":"success","quotes":{{{quotes}}},"count":{count},"timestamp":"{now}"}}"#)))
}

/// Returns bars of this server's prices; empty for a timeframe that the server does not store.
#[utoipa::path(
    get,
    path = "/api/v1/market/history/{symbol}",
    operation_id = "sentio_bars",
    security(("reader" = [])),
    params(
        ("symbol" = String, Path, description = "Symbol, in any spelling", example = "EURUSD"),
        ("timeframe" = Option<String>, Query, description = "1min, 5min, 15min, 1hour or 1day, the default", example = "1hour"),
        ("start_date" = Option<String>, Query, description = "A date or a time", example = "2026-01-15"),
        ("end_date" = Option<String>, Query, description = "A date, which is included, or a time", example = "2026-01-16"),
    ),
    responses((status = 200, body = HistoryObject, description = "The bars, oldest first")),
)]
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

/// Returns the user's current earnings as published, or null.
///
/// The user is that of the token; where the settings allow it, that of `user_id`.
#[utoipa::path(
    get,
    path = "/api/v1/dashboard/earnings",
    operation_id = "sentio_earnings",
    security(("user" = []), ()),
    params(
        ("user_id" = Option<String>, Query, description = "The user, if the token does not name one", example = "user_001"),
    ),
    responses((status = 200, body = Option<Object>, description = "The earnings, or null"), Refuses<403>),
)]
async fn earnings(
    State(state): State<AppState>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, DetailedError> {
    let identity = state.tokens.reader(auth::bearer(&headers)?);
    let identity = identity.map_err(|error| ApiError::Token(TokenKind::of_reader(error), error))?;
    let params = Params::new(query)?;
    let identity = identity.as_ref().and_then(Holder::user);
    let user = state.open_users.admit(identity, params.get("user_id"))?;
    let earnings = state.hub.with_snapshot(|present| wire::earnings(present, &user));
    Ok(as_published(earnings.as_deref()).unwrap_or_else(|| encoded("null")))
}

/// Returns the users, as last published.
#[utoipa::path(
    get,
    path = "/api/v1/admin/users",
    operation_id = "sentio_users",
    security(("admin" = [])),
    responses((status = 200, body = Object, description = "The published message")),
)]
async fn admin_users(state: State<AppState>, headers: HeaderMap) -> Result<Response, DetailedError> {
    for_administrators(&state, &headers, types::ADMIN_USERS, r#"{"users":[]}"#)
}

/// Returns the subscribers, as last published.
#[utoipa::path(
    get,
    path = "/api/v1/admin/subscribers",
    operation_id = "sentio_subscribers",
    security(("admin" = [])),
    responses((status = 200, body = Object, description = "The published message")),
)]
async fn admin_subscribers(state: State<AppState>, headers: HeaderMap) -> Result<Response, DetailedError> {
    for_administrators(&state, &headers, types::ADMIN_SUBSCRIBERS, r#"{"subscribers":[]}"#)
}

/// Returns the revenue, as last published.
#[utoipa::path(
    get,
    path = "/api/v1/admin/analytics/revenue",
    operation_id = "sentio_revenue",
    security(("admin" = [])),
    responses((status = 200, body = Object, description = "The published message")),
)]
async fn admin_revenue(state: State<AppState>, headers: HeaderMap) -> Result<Response, DetailedError> {
    for_administrators(&state, &headers, types::ADMIN_REVENUE, r#"{"revenue_by_tier":{},"subscribers_by_tier":{}}"#)
}

/// Returns the numbers of users, as last published.
#[utoipa::path(
    get,
    path = "/api/v1/admin/analytics/users",
    operation_id = "sentio_user_analytics",
    security(("admin" = [])),
    responses((status = 200, body = Object, description = "The published message")),
)]
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
        _ => None,
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
