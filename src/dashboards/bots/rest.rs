//! The HTTP routes of the bot platform's pages, with the user's token: the pages read them on load, and poll them where
//! no stream opens. All answers are built from messages published for the user or for everyone.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::HeaderMap;
use http::request::Parts;
use serde_json::{Value, json};

use super::pages::{Browser, Pages};
use super::wire::{lists, price_map};
use crate::auth::{self, Principal, TokenKind};
use crate::dashboards::bots::types;
use crate::domain::{Audience, MessageType, iso};
use crate::http::{ApiError, AppState, Params, RawQuery, ReadAccess, ReadLimit, encoded};
use crate::hub::{Audiences, Envelope, Snapshot};
use crate::listener::Peer;
use crate::telemetry::STORE;

/// How many messages an answer holds by default.
const DEFAULT_LIMIT: usize = 50;
/// How many messages an answer can hold.
const MAX_LIMIT: usize = 500;

/// Returns the routes.
pub(in crate::dashboards) fn routes(reads: &ReadLimit) -> Router<AppState> {
    let limited = |handler| reads.limit(handler);
    Router::new()
        .route("/api/auth/me", get(me))
        .route("/api/trades/recent", limited(get(trades)))
        .route("/api/bots", limited(get(bots)))
        .route("/api/wallet/balances", limited(get(wallet)))
        .route("/api/portfolio/summary", limited(get(portfolio)))
        .route("/api/system/health", get(system_health))
        .route("/api/prices/live", get(prices))
        .route("/api/advanced/decisions/recent", limited(get(decisions)))
        .route("/api/advanced/whale/summary", limited(get(whales)))
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

/// `GET /api/auth/me`: the user that the token names. On 401 the page opens its login. The page requests it only when
/// it loads.
async fn me(
    BearerUser(identity): BearerUser,
    Extension(pages): Extension<Arc<Pages>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Json<Value> {
    let address = peer.map(|Extension(peer)| peer.client);
    pages.loading(&identity.user, &Browser::of(&headers, address, false));
    let Principal { user, admin, expires_at, .. } = identity;
    let role = if admin { "admin" } else { "user" };
    Json(json!({ "id": user, "user_id": user, "role": role, "is_admin": admin, "expires_at": iso(expires_at) }))
}

/// `GET /api/trades/recent`
async fn trades(user: BearerUser, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let newest_first = recent(&user, &state, types::TRADES, query)?;
    let bots = state.hub.with_snapshot(|present| states(present, &user.audiences(), types::BOTS));
    let bots = lists::bots_by_id(bots.iter().filter_map(|publication| publication.published()));
    Ok(encoded(lists::trades(newest_first.iter().filter_map(|publication| publication.published()), &bots)))
}

/// `GET /api/advanced/decisions/recent`
async fn decisions(user: BearerUser, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let newest_first = recent(&user, &state, types::DECISIONS, query)?;
    Ok(encoded(lists::decisions(newest_first.iter().filter_map(|publication| publication.published()))))
}

/// `GET /api/bots`: a plain list.
async fn bots(user: BearerUser, State(state): State<AppState>) -> Response {
    let bots = state.hub.with_snapshot(|present| states(present, &user.audiences(), types::BOTS));
    encoded(lists::bots(bots.iter().filter_map(|publication| publication.published())))
}

/// `GET /api/wallet/balances`
async fn wallet(user: BearerUser, State(state): State<AppState>) -> Json<Value> {
    let balances = state.hub.with_snapshot(|present| states(present, &user.audiences(), types::BALANCES));
    Json(lists::wallet(
        &user.0.user,
        balances.iter().filter_map(|publication| publication.published()),
        (state.clock)(),
    ))
}

/// `GET /api/portfolio/summary`
async fn portfolio(user: BearerUser, State(state): State<AppState>) -> Json<Value> {
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

/// `GET /api/advanced/whale/summary`
async fn whales(user: BearerUser, State(state): State<AppState>) -> Json<Value> {
    let (messages, _) = state.hub.with_snapshot(|present| present.messages_after(&user.audiences(), 0));
    Json(lists::whales(messages.iter().filter_map(|publication| publication.published())))
}

/// `GET /api/system/health`: no token required.
async fn system_health(State(state): State<AppState>) -> Json<Value> {
    let healthy = state.readiness.reasons().is_empty();
    let database = if state.readiness.suffers(STORE) { "failing" } else { "connected" };
    let status = if healthy { "healthy" } else { "degraded" };
    Json(json!({ "status": status, "timestamp": iso((state.clock)()), "database": database }))
}

/// `GET /api/prices/live`: prices by symbol. Public, as all prices are.
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
