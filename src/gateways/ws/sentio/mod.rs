//! Sentio's conversations: nothing is sent before the client's first frame, which registers it whatever its action is.

mod admin;
mod market;
mod personal;
mod signals;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value};

use super::{Client, Handshake, Protocol};
use crate::gateways::Gateway;
use crate::gateways::command::{fault, short};
use crate::gateways::dialects::sentio;
use crate::pipeline::clock;
use admin::Admin;
use market::Market;
use personal::{Dashboard, Earnings, Notifications, Panel, Personal};
use signals::Signals;

/// Sentio's endpoints. A WebSocket on `/` reaches `/ws/market-data` too.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/ws/trade-signals", get(signals))
        .route("/ws/market-data", get(market))
        .route("/ws/admin", get(admin))
        .route("/ws/earnings", get(earnings))
        .route("/ws/notifications", get(notifications))
        .route("/ws/user/{id}", get(user))
}

async fn signals(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, uri: Uri, handshake: Handshake) -> Response {
    public(gateway, &headers, &uri, handshake, Signals::new)
}

async fn market(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, uri: Uri, handshake: Handshake) -> Response {
    public(gateway, &headers, &uri, handshake, Market::new)
}

/// Administrators present their token in the first frame, so the handshake needs none.
async fn admin(State(gateway): State<Arc<Gateway>>, handshake: Handshake) -> Response {
    let protocol = Admin::new(gateway.clone());
    handshake.serve(gateway, None, protocol)
}

async fn earnings(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, uri: Uri, handshake: Handshake) -> Response {
    personal::<Earnings>(gateway, &headers, &uri, handshake, None)
}

async fn notifications(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    personal::<Notifications>(gateway, &headers, &uri, handshake, None)
}

async fn user(
    State(gateway): State<Arc<Gateway>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    match id {
        Ok(Path(id)) => personal::<Dashboard>(gateway, &headers, &uri, handshake, Some(id)),
        Err(rejection) => (StatusCode::BAD_REQUEST, Json(fault("bad_request", rejection.body_text()))).into_response(),
    }
}

/// The handshake need not say who it is: a frame may.
fn personal<P: Panel + 'static>(
    gateway: Arc<Gateway>,
    headers: &HeaderMap,
    uri: &Uri,
    handshake: Handshake,
    id: Option<String>,
) -> Response {
    let login = match gateway.admit_visitor(headers, uri) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let identity = login.as_ref().map(|login| login.identity().clone());
    let may_read = gateway.may_read(headers, uri);
    let protocol = Personal::<P>::new(gateway.clone(), identity, may_read, id);
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

/// A frame of a client.
#[derive(Debug)]
struct Said(Map<String, Value>);

impl Said {
    /// Reads a frame; one that is no JSON object is answered.
    fn read(client: &Client, text: &str) -> Option<Self> {
        let said = serde_json::from_str(text).ok().map(Self);
        if said.is_none() {
            client.outbox.answer(sentio::error("Invalid JSON: a frame is one JSON object", clock::wall()));
        }
        said
    }

    fn action(&self) -> Option<&str> {
        self.text("action")
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Whom it names; some programs write an id as a number. What cannot be one is kept, to be refused.
    fn user_id(&self) -> Option<String> {
        match self.0.get("user_id")? {
            Value::Null => None,
            Value::String(id) => Some(id.clone()).filter(|id| !id.is_empty()),
            Value::Number(id) => Some(id.to_string()),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Some(String::new()),
        }
    }

    /// The symbols that it names: a list, or one text with commas.
    fn symbols(&self) -> Vec<&str> {
        match self.0.get("symbols") {
            Some(Value::Array(symbols)) => symbols.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(symbols)) => symbols.split(',').collect(),
            _ => Vec::new(),
        }
    }

    /// Answers what needs no more than the frame: a ping, and anything unknown.
    fn answer(&self, client: &Client) {
        let now = clock::wall();
        let answer = match self.action() {
            Some("ping") => sentio::pong(now),
            action => sentio::error(&format!("Unknown action: {}", short(action.unwrap_or("none"))), now),
        };
        client.outbox.answer(answer);
    }

    /// Answers a ping that was the first frame.
    fn answer_ping(&self, client: &Client) {
        if self.action() == Some("ping") {
            self.answer(client);
        }
    }
}
