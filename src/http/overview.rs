//! The data of the console's admin page: everything that an operator looks at first, in one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use prometheus::core::Collector;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::AppState;
use super::admin::AdminAccess;
use super::cluster::this_node;
use super::ops::{PartObject, parts};
use super::overview_lists::{
    AlertState, ConnectionCount, CutCount, DuplicateCount, LogState, NodeEntry, NoticesEntry, PresenceCount,
    ProcessState, QueueDepth, RefusedCount, RejectEntry, SlowClient,
};
use super::sources::{self, SourceObject};
use crate::domain::{Presence, iso};
use crate::hub::Channels;
use crate::listener::SlowConnection;
use crate::notify::ReceiverState;
use crate::telemetry::{Metrics, Reject};

/// Largest number of slow clients in the answer.
const MOST_SLOW: usize = 20;

/// The state of the server; the lists are those of the metrics with the same names.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Overview)]
struct OverviewObject {
    #[schema(value_type = Vec<AlertState>)]
    alerts: Vec<Value>,
    /// What this node knows of its cluster, if it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = NodeEntry)]
    cluster: Option<Value>,
    #[schema(value_type = Vec<ConnectionCount>)]
    connections: Vec<Value>,
    #[schema(value_type = Vec<DuplicateCount>)]
    duplicates: Vec<Value>,
    #[schema(value_type = LogState)]
    log: Value,
    logins: i64,
    /// The receivers of notices: whether they take messages, and since when a step waits.
    #[schema(value_type = Vec<NoticesEntry>)]
    notices: Vec<Value>,
    #[schema(value_type = BTreeMap<String, PartObject>)]
    parts: BTreeMap<&'static str, PartObject>,
    #[schema(value_type = Vec<PresenceCount>)]
    presence: Vec<Value>,
    #[schema(value_type = ProcessState)]
    process: Value,
    #[schema(value_type = Vec<QueueDepth>)]
    queues: Vec<Value>,
    #[schema(value_type = Vec<RefusedCount>)]
    refused: Vec<Value>,
    #[schema(value_type = Vec<RejectEntry>)]
    rejects: Vec<Value>,
    #[schema(value_type = Vec<CutCount>)]
    slow_clients_cut: Vec<Value>,
    #[schema(value_type = Vec<SlowClient>)]
    slowest: Vec<Value>,
    #[schema(value_type = Vec<SourceObject>)]
    sources: Value,
    #[schema(format = DateTime)]
    timestamp: String,
    uptime_seconds: u64,
    version: &'static str,
}

/// Returns the data of the admin page: parts, connections by transport, presence by channel, slowest clients, sources,
/// queues, log, recent rejects.
///
/// Contains no user, address or token: clients are identified by their endpoint, and by the id of their connection in
/// the log.
#[utoipa::path(
    get,
    path = "/api/admin/overview",
    operation_id = "get_overview",
    security(("admin" = [])),
    responses((status = 200, body = OverviewObject, description = "The state of the server")),
)]
pub(super) async fn overview(_: AdminAccess, State(state): State<AppState>) -> Response {
    let metrics = &state.metrics;
    metrics.read_probes();
    let usage = metrics.process.usage();
    let conditions = state.readiness.parts();
    let body = OverviewObject {
        alerts: series(&metrics.alerts_firing, ["alert"], "raised"),
        cluster: state.cluster.as_ref().map(this_node),
        connections: connections(metrics),
        duplicates: series(&metrics.duplicates_total, ["kind", "source"], "count"),
        log: json!({
            "position": state.hub.position().to_string(),
            "events": metrics.store_events.get(),
            "bytes": metrics.store_log_bytes.get(),
            "pending": metrics.signals_pending.get(),
            "disk_free_bytes": metrics.disk_free_bytes.get(),
        }),
        logins: metrics.logins.get(),
        notices: state.notices.states().iter().map(notice_lane).collect(),
        parts: parts(&conditions),
        presence: state.hub.channels().into_iter().map(presence).collect(),
        process: json!({
            "resident_bytes": usage.resident_bytes.unwrap_or_default(),
            "open_files": usage.open_files.unwrap_or_default(),
            "cpu_ratio": usage.cpu_percent.unwrap_or_default() / 100.0,
        }),
        queues: series(&metrics.queue_depth, ["queue"], "depth"),
        refused: series(&metrics.refused_total, ["reason"], "count"),
        rejects: metrics.rejects.list().iter().map(reject).collect(),
        slow_clients_cut: series(&metrics.slow_clients_total, ["transport"], "count"),
        slowest: state.connections.slowest(MOST_SLOW).iter().map(slow).collect(),
        sources: json!(sources::objects(state.states.list(), state.feeds.list())),
        timestamp: iso((state.clock)()),
        uptime_seconds: state.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Json(body).into_response()
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

fn notice_lane(lane: &ReceiverState) -> Value {
    json!({
        "channel": lane.label(), "failures": lane.failures, "problem": lane.problem,
        "waiting_since": lane.waiting_since.map(iso), "sent_at": lane.sent_at.map(iso),
    })
}

fn presence(channels: Channels) -> Value {
    let Channels { transport, counts } = channels;
    let Presence { clients, prices, signals, messages, clock, presence } = counts;
    json!({
        "transport": transport, "clients": clients, "prices": prices, "signals": signals, "messages": messages,
        "clock": clock, "presence": presence,
    })
}

/// Returns a slow client as JSON. The queue in front of the connection is `null` where there is none: requests, and
/// Socket.IO over long polling, which keeps its queue inside its library.
fn slow(slow: &SlowConnection) -> Value {
    let SlowConnection { endpoint, connection, connected, blocked, longest, behind } = slow;
    let ms = |span: Duration| span.as_millis() as u64;
    json!({
        "endpoint": endpoint, "connection": connection.map(|id| id.to_string()),
        "connected_ms": ms(*connected), "blocked_ms": blocked.map(ms), "longest_ms": ms(*longest),
        "behind_ms": behind.map(|behind| ms(behind.by)), "ordered": behind.map(|behind| behind.ordered),
        "states": behind.map(|behind| behind.states),
        "conflated": behind.map(|behind| behind.conflated),
    })
}

fn reject(reject: &Reject) -> Value {
    json!({ "at": iso(reject.at), "kind": reject.kind, "reason": reject.reason, "times": reject.times })
}
