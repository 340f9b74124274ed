//! The nodes of a cluster, for its operator.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::AppState;
use super::admin::AdminAccess;
use super::error::ApiError;
use crate::cluster::ClusterHandle;

/// A cluster; without `nodes` and `stream` while the log cannot be asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cluster)]
struct ClusterObject {
    /// What this node knows: its state, term, writer, and how far it is behind.
    #[schema(value_type = Object)]
    node: Value,
    /// The nodes that have answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    nodes: Option<Value>,
    /// The stream that has the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    stream: Option<Value>,
    /// Why the log could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Returns all nodes of the cluster that answer, and the state of its stream; 404 outside of a cluster.
#[utoipa::path(
    get,
    path = "/api/admin/cluster",
    operation_id = "get_cluster",
    security(("admin" = [])),
    responses((status = 200, body = ClusterObject, description = "The nodes and the stream")),
)]
pub(super) async fn cluster(_: AdminAccess, State(state): State<AppState>) -> Result<Response, ApiError> {
    let cluster = state.cluster.as_ref().ok_or(ApiError::NotFound)?;
    let node = this_node(cluster);
    let body = match cluster.status().await {
        Ok(status) => {
            let (nodes, stream) = (Some(json!(status.nodes)), Some(json!(status.stream)));
            ClusterObject { node, nodes, stream, error: None }
        }
        Err(error) => ClusterObject { node, nodes: None, stream: None, error: Some(error.to_string()) },
    };
    Ok(Json(body).into_response())
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
