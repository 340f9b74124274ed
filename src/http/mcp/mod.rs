//! `POST /mcp`: the interface for agents, by the Model Context Protocol (Streamable HTTP, without sessions).
//!
//! A tool is a described route. Its schemas come from the description of the HTTP interface, and calling it is a request of
//! that route with the caller's token, so that an agent sees and changes exactly what it could over plain HTTP.

mod caller;
mod repair;
mod request;
mod schema;
mod server;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tower::ServiceExt;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;

use super::AppState;
use super::body::{JSON, RawBody, SMALL, json, mime};
use super::error::ApiError;
use crate::config::AllowedOrigins;
use crate::ingest::ErrorBody;
use crate::telemetry::Metrics;
use caller::{AgentCaller, INGEST_HEADER};
use server::AgentServer;

/// What the transport answers in, as every client of it has to accept.
const ACCEPTED: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
/// The headers that a page sends to `/mcp`, beside those of other routes.
pub(super) const PAGE_HEADERS: [&str; 4] = ["X-Ingest-Token", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name"];
/// Longest quote of what the transport says about a request that it does not understand, in bytes.
const MAX_QUOTED: usize = 512;

/// The interface for agents over the server's routes. Cheap to clone.
#[derive(Clone)]
pub(super) struct AgentInterface {
    service: StreamableHttpService<AgentServer, NeverSessionManager>,
    origins: AllowedOrigins,
}

impl AgentInterface {
    /// Creates the interface over these routes and their description. Pages of `origins` may use it.
    pub(super) fn new(routes: Router, api: &OpenApi, origins: AllowedOrigins, metrics: Arc<Metrics>) -> Self {
        let server = AgentServer::new(routes, api, metrics);
        // The host and the origin are checked around all routes, and by this one.
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(SMALL)
            .disable_allowed_hosts();
        let service = StreamableHttpService::new(move || Ok(server.clone()), Arc::default(), config);
        Self { service, origins }
    }

    /// Answers a message of a caller.
    async fn answer(&self, mut parts: Parts, body: Bytes, caller: AgentCaller) -> Result<Response, ApiError> {
        // No token gets into the library, which can log requests.
        for token in [AUTHORIZATION.as_str(), INGEST_HEADER] {
            parts.headers.remove(token);
        }
        parts.headers.insert(ACCEPT, ACCEPTED);
        parts.extensions.insert(caller);
        let request = Request::from_parts(parts, Body::from(body));
        let answer = self.service.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (head, body) = answer.into_parts();
        let is_plain = head.headers.get(CONTENT_TYPE).is_none_or(|kind| kind != JSON);
        if !(is_plain && (head.status.is_client_error() || head.status.is_server_error())) {
            return Ok(Response::from_parts(head, Body::new(body)));
        }
        let text = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..text.len().min(MAX_QUOTED)]).into_owned();
        Err(match head.status {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                ApiError::BadRequest(format!("The body is not a message of the Model Context Protocol: {text}"))
            }
            status if status.is_client_error() => ApiError::BadRequest(text),
            _ => ApiError::Internal,
        })
    }
}

/// Whether a page may use the interface: only one that is listed by name. Programs send no `Origin`; a page on a foreign
/// domain that resolves to this server does, and it passes for the server's own page.
fn page_allowed(origins: &AllowedOrigins, headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_none_or(|origin| origin.to_str().is_ok_and(|origin| origins.names(origin)))
}

/// A message of JSON-RPC 2.0.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}))]
#[expect(dead_code, reason = "only described")]
pub(super) struct RpcMessage {
    /// `2.0`.
    jsonrpc: String,
    /// A number or text, repeated in the answer; absent in a notification.
    id: Option<Value>,
    /// `initialize`, `tools/list`, `tools/call`, …
    method: String,
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
}

/// The answer of JSON-RPC 2.0: `result`, or `error`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct RpcAnswer {
    jsonrpc: String,
    id: Option<Value>,
    #[schema(value_type = Option<Object>, nullable = false)]
    result: Option<Value>,
    #[schema(value_type = Option<Object>, nullable = false)]
    error: Option<Value>,
}

/// An error of this server, or of JSON-RPC 2.0.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described")]
pub(super) enum RpcRefusal {
    Server(ErrorBody),
    Rpc(RpcAnswer),
}

/// Answers an agent by the Model Context Protocol.
///
/// Off unless `ORION_MCP=1`. Streamable HTTP without sessions: one message in, one answer out. docs/mcp.md has the tools.
/// The tools that write are there with the ingest token, as the bearer token or in `X-Ingest-Token`.
#[utoipa::path(
    post,
    path = "/mcp",
    operation_id = "mcp",
    security(("reader" = []), ("ingest" = [])),
    request_body(content = RpcMessage, description = "At most 64 KiB"),
    responses(
        (status = 200, body = RpcAnswer, description = "The answer to a request"),
        (status = 202, description = "A notification was accepted"),
        (status = 400, body = RpcRefusal, description = "The message is invalid"),
        (status = 403, body = ErrorBody, description = "A page whose origin is not listed by name in `ORION_ALLOWED_ORIGINS`"),
        (status = 404, body = RpcRefusal, description = "The interface is off, or the method does not exist"),
    ),
)]
pub(super) async fn mcp(
    State(state): State<AppState>,
    interface: Option<Extension<AgentInterface>>,
    request: Request,
) -> Result<Response, ApiError> {
    let Extension(interface) = interface.ok_or(ApiError::McpOff)?;
    if request.method() != Method::POST {
        // Without sessions there is nothing to stream and nothing to end.
        return Ok(([(ALLOW, "POST")], ApiError::MethodNotAllowed).into_response());
    }
    if !page_allowed(&interface.origins, request.headers()) {
        return Err(ApiError::Forbidden("Pages may use this only if their origin is listed in ORION_ALLOWED_ORIGINS"));
    }
    let caller = AgentCaller::identify(&state.tokens, request.headers(), request.extensions())?;
    if mime(request.headers()).as_deref() != Some(JSON) {
        return Err(ApiError::UnsupportedMediaType);
    }
    let (parts, body) = request.into_parts();
    let RawBody::<SMALL>(bytes) = RawBody::from_request(Request::new(body), &state).await?;
    json(&bytes)?;
    interface.answer(parts, bytes, caller).await
}
