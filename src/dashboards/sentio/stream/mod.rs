//! Sentio's protocols: nothing is sent before the client's first frame, which registers it whatever its action is.

mod admin;
mod market;
mod personal;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value};

use super::wire;
use crate::dashboards::DeliveryTracker;
use crate::pipeline::clock;
use crate::transport::Gateway;
use crate::transport::command::{fault, short};
use crate::transport::ws::{Client, Handshake, Protocol};
use admin::Admin;
use market::MarketData;
use personal::{Earnings, Notifications, Panel, Personal, UserDashboard};
use signals::TradeSignals;

/// What the streams share.
#[derive(Debug, Clone)]
pub(super) struct StreamState {
    pub(super) gateway: Arc<Gateway>,
    /// Which notifications have reached each user.
    pub(super) notifications: Arc<DeliveryTracker>,
    /// Time between two lists of quotes.
    pub(super) update_interval: Duration,
}

/// Routes of the streams. A WebSocket on `/` reaches `/ws/market-data` too.
pub(super) fn routes(state: StreamState) -> Router {
    Router::new()
        .route("/ws/trade-signals", get(signals))
        .route("/ws/market-data", get(market))
        .route("/ws/admin", get(admin))
        .route("/ws/earnings", get(earnings))
        .route("/ws/notifications", get(notifications))
        .route("/ws/user/{id}", get(user))
        .with_state(state)
}

async fn signals(State(state): State<StreamState>, headers: HeaderMap, uri: Uri, handshake: Handshake) -> Response {
    public(state.gateway, &headers, &uri, handshake, TradeSignals::new)
}

async fn market(State(state): State<StreamState>, headers: HeaderMap, uri: Uri, handshake: Handshake) -> Response {
    let protocol = |gateway| MarketData::new(gateway, state.update_interval);
    public(state.gateway, &headers, &uri, handshake, protocol)
}

/// Serves `/ws/admin`. The handshake needs no token, because administrators present it in the first frame.
async fn admin(State(StreamState { gateway, .. }): State<StreamState>, handshake: Handshake) -> Response {
    let protocol = Admin::new(gateway.clone());
    handshake.serve(gateway, None, protocol)
}

async fn earnings(State(state): State<StreamState>, headers: HeaderMap, uri: Uri, handshake: Handshake) -> Response {
    personal::<Earnings>(state, &headers, &uri, handshake, None)
}

async fn notifications(
    State(state): State<StreamState>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    personal::<Notifications>(state, &headers, &uri, handshake, None)
}

async fn user(
    State(state): State<StreamState>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    match id {
        Ok(Path(id)) => personal::<UserDashboard>(state, &headers, &uri, handshake, Some(id)),
        Err(rejection) => (StatusCode::BAD_REQUEST, Json(fault("bad_request", rejection.body_text()))).into_response(),
    }
}

/// Serves a personal stream. The handshake need not identify the user: a frame may do so later.
fn personal<P: Panel + 'static>(
    state: StreamState,
    headers: &HeaderMap,
    uri: &Uri,
    handshake: Handshake,
    id: Option<String>,
) -> Response {
    let gateway = state.gateway.clone();
    let login = match gateway.admit_visitor(headers, uri) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let identity = login.as_ref().and_then(|login| login.user().cloned());
    let may_read = gateway.may_read(headers, uri);
    let protocol = Personal::<P>::new(state, identity, may_read, id);
    handshake.serve(gateway, login, protocol)
}

fn public<C: Protocol + 'static>(
    gateway: Arc<Gateway>,
    headers: &HeaderMap,
    uri: &Uri,
    handshake: Handshake,
    protocol: impl FnOnce(Arc<Gateway>) -> C,
) -> Response {
    let login = match gateway.admit_reader(headers, uri, None) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let protocol = protocol(gateway.clone());
    handshake.serve(gateway, login, protocol)
}

/// A frame sent by a client.
#[derive(Debug)]
struct ClientFrame(Map<String, Value>);

impl ClientFrame {
    /// Parses a frame. A frame that is not a JSON object is answered with an error.
    fn read(client: &Client, text: &str) -> Option<Self> {
        let frame = serde_json::from_str(text).ok().map(Self);
        if frame.is_none() {
            client.answer(wire::error("Invalid JSON: a frame is one JSON object", clock::wall()));
        }
        frame
    }

    fn action(&self) -> Option<&str> {
        self.text("action")
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Returns the user id that the frame names; some programs write it as a number. A value that is not an id becomes
    /// an empty id, which is rejected.
    fn user_id(&self) -> Option<String> {
        match self.0.get("user_id")? {
            Value::Null => None,
            Value::String(id) => Some(id.clone()).filter(|id| !id.is_empty()),
            Value::Number(id) => Some(id.to_string()),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Some(String::new()),
        }
    }

    /// Returns the symbols that the frame names: a list, or one text with commas.
    fn symbols(&self) -> Vec<&str> {
        match self.0.get("symbols") {
            Some(Value::Array(symbols)) => symbols.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(symbols)) => symbols.split(',').collect(),
            _ => Vec::new(),
        }
    }

    /// Answers a frame that needs no context: a ping, or an unknown action.
    fn answer(&self, client: &Client) {
        let now = clock::wall();
        let answer = match self.action() {
            Some("ping") => wire::pong(now),
            action => wire::error(&format!("Unknown action: {}", short(action.unwrap_or("none"))), now),
        };
        client.answer(answer);
    }

    /// Answers a ping that was the first frame.
    fn answer_ping(&self, client: &Client) {
        if self.action() == Some("ping") {
            self.answer(client);
        }
    }
}
