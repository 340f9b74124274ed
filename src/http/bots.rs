//! What the bot platform's pages ask over HTTP, by their user's token: on loading, and again and again where no stream
//! opens. All of it is made of what was published for the user and for everybody.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use axum::{Extension, Json};
use http::HeaderMap;
use http::request::Parts;
use serde_json::{Value, json};

use super::AppState;
use super::body::encoded;
use super::error::ApiError;
use super::params::{Params, RawQuery, Reader};
use crate::auth::{self, Principal, TokenKind};
use crate::domain::{Audience, MessageType, iso};
use crate::gateways::dialects::bots::{price_map, rest};
use crate::gateways::pages::Browser;
use crate::hub::{Audiences, Envelope, Snapshot};
use crate::listener::Peer;
use crate::telemetry::STORE;

/// Messages of one answer, unless the request names another number.
const DEFAULT_LIMIT: usize = 50;
/// Most messages of one answer.
const MAX_LIMIT: usize = 500;

/// Whose request it is, by his bearer token. One in the query does not count: URLs end up in logs.
#[derive(Debug)]
pub(super) struct User(Principal);

impl FromRequestParts<AppState> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let identity = state.tokens.user(auth::bearer(&parts.headers)?);
        Ok(Self(identity.map_err(|error| ApiError::Token(TokenKind::User, error))?))
    }
}

impl User {
    fn audiences(&self) -> Audiences {
        Audiences::of_user(self.0.user.clone(), self.0.admin)
    }
}

/// `GET /api/auth/me`: who the token names. The page goes to its login on 401. It asks when it is loaded, and only then.
pub(super) async fn me(
    User(identity): User,
    State(state): State<AppState>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Json<Value> {
    let address = peer.map(|Extension(peer)| peer.client);
    state.pages.loading(&identity.user, &Browser::of(&headers, address, false));
    let Principal { user, admin, expires_at, .. } = identity;
    let role = if admin { "admin" } else { "user" };
    Json(json!({ "id": user, "user_id": user, "role": role, "is_admin": admin, "expires_at": iso(expires_at) }))
}

/// `GET /api/trades/recent`
pub(super) async fn trades(user: User, State(state): State<AppState>, query: RawQuery) -> Result<Response, ApiError> {
    let newest_first = recent(&user, &state, MessageType::Trades, query)?;
    let bots = state.hub.with_snapshot(|present| states(present, &user.audiences(), MessageType::Bots));
    let bots = rest::bots_by_id(bots.iter().filter_map(|publication| publication.published()));
    Ok(encoded(rest::trades(newest_first.iter().filter_map(|publication| publication.published()), &bots)))
}

/// `GET /api/advanced/decisions/recent`
pub(super) async fn decisions(
    user: User,
    State(state): State<AppState>,
    query: RawQuery,
) -> Result<Response, ApiError> {
    let newest_first = recent(&user, &state, MessageType::Decisions, query)?;
    Ok(encoded(rest::decisions(newest_first.iter().filter_map(|publication| publication.published()))))
}

/// `GET /api/bots`: a bare list.
pub(super) async fn bots(user: User, State(state): State<AppState>) -> Response {
    let bots = state.hub.with_snapshot(|present| states(present, &user.audiences(), MessageType::Bots));
    encoded(rest::bots(bots.iter().filter_map(|publication| publication.published())))
}

/// `GET /api/wallet/balances`
pub(super) async fn wallet(user: User, State(state): State<AppState>) -> Json<Value> {
    let balances = state.hub.with_snapshot(|present| states(present, &user.audiences(), MessageType::Balances));
    Json(rest::wallet(&user.0.user, balances.iter().filter_map(|publication| publication.published()), (state.clock)()))
}

/// `GET /api/portfolio/summary`
pub(super) async fn portfolio(user: User, State(state): State<AppState>) -> Json<Value> {
    let audiences = user.audiences();
    let (balances, metrics, messages, whole) = state.hub.with_snapshot(|present| {
        let states = |kind| states(present, &audiences, kind);
        let (messages, _) = present.messages_after(&audiences, 0);
        let whole = audiences.each().all(|audience| has_all_trades(present, &audience));
        (states(MessageType::Balances), states(MessageType::Metrics), messages, whole)
    });
    let trades = messages
        .iter()
        .filter_map(|publication| publication.published())
        .filter(|message| message.kind == MessageType::Trades);
    let metrics = metrics.iter().filter_map(|publication| publication.published()).next_back();
    let balances = balances.iter().filter_map(|publication| publication.published());
    Json(rest::portfolio(balances, metrics, whole.then_some(trades), (state.clock)()))
}

/// `GET /api/advanced/whale/summary`
pub(super) async fn whales(user: User, State(state): State<AppState>) -> Json<Value> {
    let (messages, _) = state.hub.with_snapshot(|present| present.messages_after(&user.audiences(), 0));
    Json(rest::whales(messages.iter().filter_map(|publication| publication.published())))
}

/// `GET /api/system/health`: needs no token.
pub(super) async fn system_health(State(state): State<AppState>) -> Json<Value> {
    let healthy = state.readiness.reasons().is_empty();
    let database = if state.readiness.suffers(STORE) { "failing" } else { "connected" };
    let status = if healthy { "healthy" } else { "degraded" };
    Json(json!({ "status": status, "timestamp": iso((state.clock)()), "database": database }))
}

/// `GET /api/prices/live`: by symbol; public as all prices are.
pub(super) async fn prices(_: Reader, State(state): State<AppState>) -> Response {
    let prices = state.hub.prices();
    encoded(price_map(prices.iter().map(AsRef::as_ref), &state.instruments))
}

/// Ordered messages of one kind, newest first.
fn recent(user: &User, state: &AppState, kind: MessageType, query: RawQuery) -> Result<Vec<Arc<Envelope>>, ApiError> {
    let mut params = Params::new(query)?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT);
    params.finish()?;
    let (messages, _) = state.hub.with_snapshot(|present| present.messages_after(&user.audiences(), 0));
    let of_kind = |publication: &Arc<Envelope>| publication.published().is_some_and(|message| message.kind == kind);
    Ok(messages.into_iter().rev().filter(of_kind).take(limit).collect())
}

/// Whether the trades of an audience are all at hand. Where none is among many messages, none was among those before.
fn has_all_trades(present: &Snapshot, audience: &Audience) -> bool {
    let (messages, whole) = present.messages_after(&Audiences::only(audience), 0);
    whole
        || (*audience == Audience::All
            && !messages
                .iter()
                .filter_map(|publication| publication.published())
                .any(|it| it.kind == MessageType::Trades))
}

/// States of one kind: those for everybody, and after them the user's own.
fn states(present: &Snapshot, audiences: &Audiences, kind: MessageType) -> Vec<Arc<Envelope>> {
    audiences.each().flat_map(|audience| present.states_of(&audience, kind).cloned().collect::<Vec<_>>()).collect()
}
