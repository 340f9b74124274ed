//! The data of the console's admin page: everything that an operator looks at first, in one answer.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use prometheus::core::Collector;
use serde_json::{Value, json};

use super::AppState;
use super::admin::AdminAccess;
use super::error::ApiError;
use super::ops::parts;
use super::sources;
use crate::cluster::ClusterHandle;
use crate::domain::iso;
use crate::hub::Channels;
use crate::listener::SlowConnection;
use crate::telemetry::{Metrics, Reject};

/// Largest number of slow clients in the answer.
const MOST_SLOW: usize = 20;

/// `GET /api/admin/overview`. Contains no user, address or token: clients are identified by
/// their endpoint, and by the id of their connection in the log.
pub(super) async fn overview(_: AdminAccess, State(state): State<AppState>) -> Response {
    let metrics = &state.metrics;
    metrics.read_probes();
    let usage = metrics.process.usage();
    let conditions = state.readiness.parts();
    let mut body = json!({
        "timestamp": iso((state.clock)()),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.started.elapsed().as_secs(),
        "parts": parts(&conditions),
        "alerts": series(&metrics.alerts_firing, ["alert"], "raised"),
        "connections": connections(metrics),
        "presence": state.hub.channels().iter().map(presence).collect::<Vec<_>>(),
        "slowest": state.connections.slowest(MOST_SLOW).iter().map(slow).collect::<Vec<_>>(),
        "slow_clients_cut": series(&metrics.slow_clients_total, ["transport"], "count"),
        "sources": sources::objects(state.states.list(), state.feeds.list()),
        "queues": series(&metrics.queue_depth, ["queue"], "depth"),
        "log": {
            "position": state.hub.position().to_string(),
            "events": metrics.store_events.get(),
            "bytes": metrics.store_log_bytes.get(),
            "pending": metrics.signals_pending.get(),
            "disk_free_bytes": metrics.disk_free_bytes.get(),
        },
        "process": {
            "resident_bytes": usage.resident_bytes.unwrap_or_default(),
            "open_files": usage.open_files.unwrap_or_default(),
            "cpu_ratio": usage.cpu_percent.unwrap_or_default() / 100.0,
        },
        "logins": metrics.logins.get(),
        "refused": series(&metrics.refused_total, ["reason"], "count"),
        "duplicates": series(&metrics.duplicates_total, ["kind", "source"], "count"),
        "rejects": metrics.rejects.list().iter().map(reject).collect::<Vec<_>>(),
    });
    if let Some(cluster) = &state.cluster {
        body["cluster"] = json!(this_node(cluster));
    }
    Json(body).into_response()
}

/// `GET /api/admin/cluster`: all nodes that answer, and the stream; 404 outside of a cluster.
pub(super) async fn cluster(_: AdminAccess, State(state): State<AppState>) -> Result<Response, ApiError> {
    let cluster = state.cluster.as_ref().ok_or(ApiError::NotFound)?;
    let status = cluster.status().await;
    let mut body = json!({ "node": this_node(cluster) });
    match status {
        Ok(status) => {
            body["nodes"] = json!(status.nodes);
            body["stream"] = json!(status.stream);
        }
        Err(error) => body["error"] = json!(error.to_string()),
    }
    Ok(Json(body).into_response())
}

fn this_node(cluster: &ClusterHandle) -> Value {
    let view = cluster.view();
    let mut node = json!(view);
    node["node"] = json!(cluster.node());
    node["lag"] = json!(view.lag());
    node["unready"] = json!(cluster.unready());
    node
}

/// Returns the series of a metric as objects. `labels` are in alphabetical order, as the library sorts them.
fn series<T: Collector, const N: usize>(family: &T, labels: [&str; N], value: &str) -> Vec<Value> {
    let object = |(values, number): (Vec<String>, f64)| {
        let labels = labels.iter().map(|label| (*label).to_owned()).zip(values.into_iter().map(Value::from));
        labels.chain([(value.to_owned(), (number as i64).into())]).collect()
    };
    Metrics::series(family).into_iter().map(object).collect()
}

/// Returns the open connections. The endpoint also has its former name, `namespace`, until the next release.
fn connections(metrics: &Metrics) -> Vec<Value> {
    let mut connections = series(&metrics.connections, ["endpoint", "transport"], "open");
    for connection in &mut connections {
        connection["namespace"] = connection["endpoint"].clone();
    }
    connections
}

fn presence(channels: &Channels) -> Value {
    let Channels { transport, clients, prices, signals, messages } = channels;
    json!({ "transport": transport, "clients": clients, "prices": prices, "signals": signals, "messages": messages })
}

/// Returns a slow client as JSON. The queue in front of the connection is `null` where it is not visible: Socket.IO
/// keeps it inside its library.
fn slow(slow: &SlowConnection) -> Value {
    let SlowConnection { endpoint, connection, connected, blocked, longest, behind } = slow;
    let ms = |span: Duration| span.as_millis() as u64;
    json!({
        "endpoint": endpoint, "connection": connection.map(|id| id.to_string()),
        "connected_ms": ms(*connected), "blocked_ms": blocked.map(ms), "longest_ms": ms(*longest),
        "behind_ms": behind.map(|behind| ms(behind.by)), "ordered": behind.map(|behind| behind.ordered),
        "states": behind.map(|behind| behind.states),
    })
}

fn reject(reject: &Reject) -> Value {
    json!({ "at": iso(reject.at), "kind": reject.kind, "reason": reject.reason, "times": reject.times })
}
