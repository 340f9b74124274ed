//! Webhooks. The secret is part of the path, because the sender cannot set headers.
//!
//! Without the secret, every request gets the answer of a path that does not exist.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode};

use super::AppState;
use super::body::{RawBody, SMALL};
use super::describe::Refuses;
use super::error::ApiError;
use crate::auth::{TokenKind, WrongToken};
use crate::config::{Secret, TradingviewSettings};
use crate::ingest::tradingview::{AlertAnswer, TradingView};
use crate::listener::Peer;

/// The webhook for TradingView, with its secret and its allowed addresses.
#[derive(Debug, Clone)]
pub struct Webhook {
    token: Option<Secret>,
    addresses: Arc<[IpAddr]>,
    alerts: TradingView,
}

impl Webhook {
    /// Creates the webhook from its settings.
    pub fn new(settings: &TradingviewSettings, alerts: TradingView) -> Self {
        let alerts = alerts.with_repeat_window(settings.repeat_window);
        Self { token: settings.webhook_token.clone(), addresses: settings.addresses.to_vec().into(), alerts }
    }

    fn is_token(&self, token: &str) -> bool {
        self.token.as_ref().is_some_and(|secret| secret.matches(token))
    }

    /// Returns why a request does not come from TradingView, as a metric label.
    fn refusal(&self, method: &Method, token: &str, client: Option<IpAddr>) -> Option<&'static str> {
        if method != Method::POST || !self.is_token(token) {
            return Some("webhook_token");
        }
        let listed = |client| self.addresses.contains(&client);
        (!self.addresses.is_empty() && !client.is_some_and(listed)).then_some("webhook_address")
    }
}

/// Proof that the request comes from TradingView. It comes before the body, so that the body of an unauthorized request
/// is not read.
#[derive(Debug)]
pub(super) struct Sender;

impl FromRequestParts<AppState> for Sender {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let token: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let token = token.map_err(|_| ApiError::NotFound.into_response())?;
        let client = parts.extensions.get::<Peer>().map(|peer| peer.client);
        match state.tradingview.refusal(&parts.method, &token, client) {
            None => Ok(Self),
            Some(reason) => {
                state.metrics.refuse(reason);
                tracing::debug!(reason, "a webhook request was rejected");
                let mut response = ApiError::NotFound.into_response();
                // Also counted where no webhook is configured: the rate limit must not reveal whether one exists.
                if !state.tradingview.is_token(&token) {
                    response.extensions_mut().insert(WrongToken(TokenKind::Webhook));
                }
                Err(response)
            }
        }
    }
}

/// Receives an alert of TradingView.
///
/// The secret is part of the path, because TradingView cannot set headers; with a wrong one, or without
/// `ORION_TRADINGVIEW_TOKEN`, the answer is that of a route that does not exist. JSON or text in the forms of
/// docs/pushing.md, with any content type.
#[utoipa::path(
    post,
    path = "/api/webhooks/tradingview/{token}",
    operation_id = "receive_tradingview_alert",
    params(
        ("token" = String, Path, description = "`ORION_TRADINGVIEW_TOKEN`", example = "alerts"),
    ),
    request_body(content(("application/json"), (String = "text/plain", example = "BUY EURUSD @ 1.16 SL 1.157 TP 1.165")), description = "At most 64 KiB"),
    responses((status = 200, body = AlertAnswer, description = "The alert was accepted"), (status = 202, body = AlertAnswer, description = "The alert is valid and will be stored as soon as possible"), Refuses<404>, Refuses<409>, Refuses<422>, Refuses<429>, Refuses<503>),
)]
pub(super) async fn tradingview(
    _: Sender,
    State(state): State<AppState>,
    RawBody(body): RawBody<SMALL>,
) -> Result<Response, ApiError> {
    state.tokens.count_alert().inspect_err(|_| state.metrics.reject_too_fast())?;
    let answer = state.tradingview.alerts.receive(&body).await?;
    let status = if matches!(answer, AlertAnswer::Queued { .. }) { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(answer)).into_response())
}
