//! The nodes of a cluster, for its operator.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::AppState;
use super::admin::AdminAccess;
use crate::cluster::ClusterHandle;

/// A cluster; without `nodes` and `stream` while the log cannot be asked, and outside of a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cluster)]
struct ClusterObject {
    /// What this node knows: its state, term, writer, and how far it is behind; null outside of a cluster.
    #[schema(required, value_type = Option<Object>)]
    node: Option<Value>,
    /// The nodes that have answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>)]
    nodes: Option<Value>,
    /// The stream that has the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    stream: Option<Value>,
    /// Why the log could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// Returns all nodes of the cluster that answer, and the state of its stream; `node` is null outside of a cluster.
#[utoipa::path(
    get,
    path = "/api/admin/cluster",
    operation_id = "get_cluster",
    security(("admin" = [])),
    responses((status = 200, body = ClusterObject, description = "The nodes and the stream")),
)]
pub(super) async fn cluster(_: AdminAccess, State(state): State<AppState>) -> Response {
    let mut body =
        ClusterObject { node: state.cluster.as_ref().map(this_node), nodes: None, stream: None, error: None };
    if let Some(cluster) = &state.cluster {
        match cluster.status().await {
            Ok(status) => (body.nodes, body.stream) = (Some(json!(status.nodes)), Some(json!(status.stream))),
            Err(error) => body.error = Some(error.to_string()),
        }
    }
    Json(body).into_response()
}

/// Returns what this node knows of its cluster.
pub(super) fn this_node(cluster: &ClusterHandle) -> Value {
    let view = cluster.view();
    let mut node = json!(view);
    node["node"] = json!(cluster.node());
    node["lag"] = json!(view.lag());
    node["unready"] = json!(cluster.unready());
    node
}
