//! The HTTP routes of the bot platform's pages, with the user's token: the pages read them on load, and poll them where
//! no stream opens. All answers are built from messages published for the user or for everyone.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use axum::{Extension, Json};
use http::HeaderMap;
use http::request::Parts;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::GROUP;
use super::pages::{Browser, Pages};
use super::wire::lists::{DecisionsObject, PortfolioObject, TradesObject, WalletObject, WhalesObject};
use super::wire::{lists, price_map};
use crate::auth::{self, Principal, TokenKind};
use crate::dashboards::bots::types;
use crate::domain::{Audience, MessageType, iso};
use crate::http::{ApiError, AppState, Params, RawQuery, ReadAccess, ReadLimit, encoded, grouped};
use crate::hub::{Audiences, Envelope, Snapshot};
use crate::listener::Peer;
use crate::telemetry::STORE;
use crate::transport::messages::PriceObject;

/// How many messages an answer holds by default.
const DEFAULT_LIMIT: usize = 50;
/// How many messages an answer can hold.
const MAX_LIMIT: usize = 500;

/// Returns the routes.
pub(in crate::dashboards) fn routes(reads: &ReadLimit) -> OpenApiRouter<AppState> {
    let limited = |route| reads.limit(route);
    let routes = OpenApiRouter::new()
        .routes(routes!(me))
        .routes(limited(routes!(trades)))
        .routes(limited(routes!(bots)))
        .routes(limited(routes!(wallet)))
        .routes(limited(routes!(portfolio)))
        .routes(routes!(system_health))
        .routes(routes!(prices))
        .routes(limited(routes!(decisions)))
        .routes(limited(routes!(whales)));
    grouped(GROUP, routes)
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = bots::User)]
struct UserObject {
    #[schema(format = DateTime)]
    expires_at: String,
    id: String,
    is_admin: bool,
    /// `user` or `admin`.
    role: &'static str,
    user_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = bots::Health)]
struct SystemHealthObject {
    /// `connected` or `failing`.
    database: &'static str,
    /// `healthy` or `degraded`.
    status: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// The user of the request, identified by the bearer token. A token in the query is not accepted, because URLs end up
/// in logs.
#[derive(Debug)]
struct BearerUser(Principal);

impl FromRequestParts<AppState> for BearerUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let identity = state.tokens.user(auth::bearer(&parts.headers)?);
        Ok(Self(identity.map_err(|error| ApiError::Token(TokenKind::User, error))?))
    }
}

impl BearerUser {
    fn audiences(&self) -> Audiences {
        Audiences::of_user(self.0.user.clone(), self.0.admin)
    }
}

/// Returns the user that the token names; on 401 the page opens its login.
#[utoipa::path(
    get,
    path = "/api/auth/me",
    operation_id = "bots_me",
    security(("user" = [])),
    responses((status = 200, body = UserObject, description = "The user")),
)]
async fn me(
    BearerUser(identity): BearerUser,
    Extension(pages): Extension<Arc<Pages>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Json<UserObject> {
    let address = peer.map(|Extension(peer)| peer.client);
    pages.loading(&identity.user, &Browser::of(&headers, address, false));
    let Principal { user, admin, expires_at, .. } = identity;
    let role = if admin { "admin" } else { "user" };
    let (id, user_id) = (user.to_string(), user.to_string());
    Json(UserObject { expires_at: iso(expires_at), id, is_admin: admin, role, user_id })
}

/// Lists the user's trades, newest first, as published.
#[utoipa::path(
    get,
    path = "/api/trades/recent",
    operation_id = "bots_trades",
    security(("user" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "Largest number of entries, 50 by default", minimum = 1, maximum = 500, example = 10),
    ),
    responses((status = 200, body = TradesObject, description = "The trades")),
)]
async fn trades(user: BearerUser, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let newest_first = recent(&user, &state, types::TRADES, query)?;
    let bots = state.hub.with_snapshot(|present| states(present, &user.audiences(), types::BOTS));
    let bots = lists::bots_by_id(bots.iter().filter_map(|publication| publication.published()));
    Ok(encoded(lists::trades(newest_first.iter().filter_map(|publication| publication.published()), &bots)))
}

/// Lists decisions, newest first, as published; also the new signals of this server.
#[utoipa::path(
    get,
    path = "/api/advanced/decisions/recent",
    operation_id = "bots_decisions",
    security(("user" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "Largest number of entries, 50 by default", minimum = 1, maximum = 500, example = 10),
    ),
    responses((status = 200, body = DecisionsObject, description = "The decisions")),
)]
async fn decisions(user: BearerUser, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let newest_first = recent(&user, &state, types::DECISIONS, query)?;
    Ok(encoded(lists::decisions(newest_first.iter().filter_map(|publication| publication.published()))))
}

/// Lists the user's bots, as published.
#[utoipa::path(
    get,
    path = "/api/bots",
    operation_id = "bots_bots",
    security(("user" = [])),
    responses((status = 200, body = Vec<Object>, description = "The bots")),
)]
async fn bots(user: BearerUser, State(state): State<AppState>) -> Response {
    let bots = state.hub.with_snapshot(|present| states(present, &user.audiences(), types::BOTS));
    encoded(lists::bots(bots.iter().filter_map(|publication| publication.published())))
}

/// Returns the user's balances by exchange, and in total.
#[utoipa::path(
    get,
    path = "/api/wallet/balances",
    operation_id = "bots_balances",
    security(("user" = [])),
    responses((status = 200, body = WalletObject, description = "The balances")),
)]
async fn wallet(user: BearerUser, State(state): State<AppState>) -> Json<WalletObject> {
    let balances = state.hub.with_snapshot(|present| states(present, &user.audiences(), types::BALANCES));
    Json(lists::wallet(
        &user.0.user,
        balances.iter().filter_map(|publication| publication.published()),
        (state.clock)(),
    ))
}

/// Returns the sums of the user's portfolio; unknown values are null.
///
/// `exposure` is in percent. `equity` is that of the balances, `net_pnl` and `win_rate` of the metrics; `realized_pnl`
/// and `fees_total` are known while all trades are stored.
#[utoipa::path(
    get,
    path = "/api/portfolio/summary",
    operation_id = "bots_portfolio",
    security(("user" = [])),
    responses((status = 200, body = PortfolioObject, description = "The sums")),
)]
async fn portfolio(user: BearerUser, State(state): State<AppState>) -> Json<PortfolioObject> {
    let audiences = user.audiences();
    let (balances, metrics, messages, whole) = state.hub.with_snapshot(|present| {
        let states = |kind| states(present, &audiences, kind);
        let (messages, _) = present.messages_after(&audiences, 0);
        let whole = audiences.each().all(|audience| has_all_trades(present, &audience));
        (states(types::BALANCES), states(types::METRICS), messages, whole)
    });
    let trades = messages
        .iter()
        .filter_map(|publication| publication.published())
        .filter(|message| message.kind == types::TRADES);
    let metrics = metrics.iter().filter_map(|publication| publication.published()).next_back();
    let balances = balances.iter().filter_map(|publication| publication.published());
    Json(lists::portfolio(balances, metrics, whole.then_some(trades), (state.clock)()))
}

/// Returns the sums of the published whale movements: in `data`, and the same fields at the top.
#[utoipa::path(
    get,
    path = "/api/advanced/whale/summary",
    operation_id = "bots_whales",
    security(("user" = [])),
    responses((status = 200, body = WhalesObject, description = "The sums")),
)]
async fn whales(user: BearerUser, State(state): State<AppState>) -> Json<Value> {
    let (messages, _) = state.hub.with_snapshot(|present| present.messages_after(&user.audiences(), 0));
    Json(lists::whales(messages.iter().filter_map(|publication| publication.published())))
}

/// Returns the health of this server.
#[utoipa::path(
    get,
    path = "/api/system/health",
    operation_id = "bots_health",
    responses((status = 200, body = SystemHealthObject, description = "The health")),
)]
async fn system_health(State(state): State<AppState>) -> Json<SystemHealthObject> {
    let healthy = state.readiness.reasons().is_empty();
    let database = if state.readiness.suffers(STORE) { "failing" } else { "connected" };
    let status = if healthy { "healthy" } else { "degraded" };
    Json(SystemHealthObject { database, status, timestamp: iso((state.clock)()) })
}

/// Returns all prices by symbol; coins also by pair (`BTC/ZAR`), with `change` in percent.
#[utoipa::path(
    get,
    path = "/api/prices/live",
    operation_id = "bots_prices",
    security(("reader" = [])),
    responses((status = 200, body = BTreeMap<String, PriceObject>, description = "The prices")),
)]
async fn prices(_: ReadAccess, State(state): State<AppState>) -> Response {
    let prices = state.hub.prices();
    encoded(price_map(prices.iter().map(AsRef::as_ref), &state.instruments))
}

/// Returns the messages of one type, newest first.
fn recent(
    user: &BearerUser,
    state: &AppState,
    kind: MessageType,
    query: RawQuery,
) -> Result<Vec<Arc<Envelope>>, ApiError> {
    let mut params = Params::new(query)?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT);
    params.finish()?;
    let (messages, _) = state.hub.with_snapshot(|present| present.messages_after(&user.audiences(), 0));
    let of_kind = |publication: &Arc<Envelope>| publication.published().is_some_and(|message| message.kind == kind);
    Ok(messages.into_iter().rev().filter(of_kind).take(limit).collect())
}

/// Returns whether the cache still holds all trades of an audience. For the shared audience, a full cache without a
/// trade counts as complete.
fn has_all_trades(present: &Snapshot, audience: &Audience) -> bool {
    let (messages, whole) = present.messages_after(&Audiences::only(audience), 0);
    whole
        || (*audience == Audience::All
            && !messages.iter().filter_map(|publication| publication.published()).any(|it| it.kind == types::TRADES))
}

/// Returns the states of one type: the shared ones first, then the user's own.
fn states(present: &Snapshot, audiences: &Audiences, kind: MessageType) -> Vec<Arc<Envelope>> {
    audiences.each().flat_map(|audience| present.states_of(&audience, kind).cloned().collect::<Vec<_>>()).collect()
}
