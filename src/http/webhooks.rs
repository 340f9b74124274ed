//! Webhooks: whose secret is a part of the path, because the sender can set no header.
//!
//! To anybody without the secret nothing is there: the answer is that of a path that does not exist, whatever was asked.

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
use super::error::ApiError;
use crate::auth::{TokenKind, WrongToken};
use crate::config::{Secret, TradingviewSettings};
use crate::listener::Peer;
use crate::sources::tradingview::{Answer, TradingView};

/// The webhook of TradingView, and who may call it.
#[derive(Debug, Clone)]
pub struct Webhook {
    token: Option<Secret>,
    addresses: Arc<[IpAddr]>,
    alerts: TradingView,
}

impl Webhook {
    /// The webhook with what the settings say about it.
    pub fn new(settings: &TradingviewSettings, alerts: TradingView) -> Self {
        Self { token: settings.webhook_token.clone(), addresses: settings.addresses.to_vec().into(), alerts }
    }

    fn is_token(&self, token: &str) -> bool {
        self.token.as_ref().is_some_and(|secret| secret.matches(token))
    }

    /// Why a request is not from TradingView, for the metrics.
    fn refusal(&self, method: &Method, token: &str, client: Option<IpAddr>) -> Option<&'static str> {
        if method != Method::POST || !self.is_token(token) {
            return Some("webhook_token");
        }
        let listed = |client| self.addresses.contains(&client);
        (!self.addresses.is_empty() && !client.is_some_and(listed)).then_some("webhook_address")
    }
}

/// Proof that the request is from TradingView. Comes before the body, so that a stranger's body is not even read.
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
                tracing::debug!(reason, "a call of the webhook was refused");
                let mut response = ApiError::NotFound.into_response();
                // Also where there is no webhook: how often one may ask must not tell that there is one.
                if !state.tradingview.is_token(&token) {
                    response.extensions_mut().insert(WrongToken(TokenKind::Webhook));
                }
                Err(response)
            }
        }
    }
}

/// `POST /api/webhooks/tradingview/{token}`
pub(super) async fn tradingview(
    _: Sender,
    State(state): State<AppState>,
    RawBody(body): RawBody<SMALL>,
) -> Result<Response, ApiError> {
    state.tokens.count_alert().inspect_err(|_| state.metrics.reject_too_fast())?;
    let answer = state.tradingview.alerts.take(&body).await?;
    let status = if matches!(answer, Answer::Queued { .. }) { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(answer)).into_response())
}
