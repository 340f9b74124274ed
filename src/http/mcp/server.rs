//! The server of the Model Context Protocol: lists the tools that the caller may use, and calls them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::request::Parts;
use http::{Request, StatusCode};
use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;

use super::caller::AgentCaller;
use super::repair::RepairHint;
use super::request::request;
use super::tools::{AgentTool, tools};
use crate::auth::AuthError;
use crate::http::error::ApiError;
use crate::ingest::PushError;
use crate::telemetry::Metrics;

/// Time limit of a call; a route that waits for something takes up to a minute.
const CALL_TIMEOUT: Duration = Duration::from_secs(90);
/// Largest answer of a route, in bytes; the largest page of signals is far below.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// What a model is told about the server.
const INSTRUCTIONS: &str = "orion-server has live prices and trading signals of forex, metals, indices and futures. A signal \
    is pending for a few minutes, then confirmed or invalidated for good. Times are UTC. Symbols are read in any spelling. \
    Say so to the user when a price is not `live`.";

/// Serves the tools. Cheap to clone.
#[derive(Clone)]
pub(super) struct AgentServer {
    tools: Arc<[AgentTool]>,
    /// The routes that the tools are.
    routes: Router,
    metrics: Arc<Metrics>,
}

impl AgentServer {
    pub(super) fn new(routes: Router, api: &OpenApi, metrics: Arc<Metrics>) -> Self {
        // The description has string keys only, so encoding cannot fail.
        let api = serde_json::to_value(api).unwrap_or_default();
        Self { tools: tools(&api).into(), routes, metrics }
    }

    /// Calls a tool. `Err` is the error for the model.
    async fn call(&self, tool: &AgentTool, caller: &AgentCaller, arguments: &JsonObject) -> Result<Value, Value> {
        let refused = |error: ApiError| {
            let body = serde_json::to_value(error.body()).unwrap_or_default();
            json!(RepairHint::new(tool, error.status(), &body, None))
        };
        if !caller.may(tool.writes) {
            return Err(refused(ApiError::Auth(AuthError::Missing)));
        }
        let mut request = request(tool, arguments).map_err(|faults| refused(PushError::Invalid(faults).into()))?;
        if let Some(token) = caller.authorization(tool.writes) {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        if let Some(peer) = caller.peer {
            request.extensions_mut().insert(peer);
        }
        let answered = timeout(CALL_TIMEOUT, self.answer(request)).await;
        let (status, retry_after, body) = answered.map_err(|_| refused(ApiError::Overloaded))?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(json!(RepairHint::new(tool, status, &body, retry_after.as_deref())))
        }
    }

    /// Sends a request to its route.
    async fn answer(&self, request: Request<Body>) -> (StatusCode, Option<String>, Value) {
        let response = self.routes.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (head, body) = response.into_parts();
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = to_bytes(body, MAX_ANSWER).await.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        (head.status, retry_after, body.unwrap_or_default())
    }
}

/// Returns who calls, as the route has found out.
fn caller(context: &RequestContext<RoleServer>) -> Result<&AgentCaller, ErrorData> {
    let caller = context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<AgentCaller>());
    caller.ok_or_else(|| ErrorData::internal_error("the caller is not known", None))
}

impl ServerHandler for AgentServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("orion-server", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caller = caller(&context)?;
        let usable = self.tools.iter().filter(|tool| caller.may(tool.writes));
        Ok(ListToolsResult::with_all_items(usable.map(|tool| tool.tool.clone()).collect()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = caller(&context)?;
        let Some(tool) = self.tools.iter().find(|tool| tool.tool.name == call.name) else {
            let names: Vec<_> = self.tools.iter().map(|tool| &*tool.tool.name).collect();
            return Err(ErrorData::invalid_params(format!("unknown tool; there are {}", names.join(", ")), None));
        };
        let result = self.call(tool, caller, &call.arguments.unwrap_or_default()).await;
        let outcome = if result.is_ok() { "ok" } else { "error" };
        self.metrics.mcp_calls_total.with_label_values(&[&*tool.tool.name, outcome]).inc();
        Ok(match result {
            Ok(answer) => CallToolResult::structured(answer),
            // Without structured content: clients check it against the schema of the answer.
            Err(hint) => CallToolResult::error(vec![ContentBlock::text(hint.to_string())]),
        }
        .into())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.tool.name == name).map(|tool| tool.tool.clone())
    }
}
