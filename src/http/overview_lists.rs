//! Describes the entries of the lists in the overview, which are read from metrics.

#![expect(dead_code, reason = "describes values")]

use utoipa::ToSchema;

/// Whether an alert is raised: 1, else 0.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewAlert)]
pub(super) struct AlertState {
    alert: String,
    raised: i64,
}

/// The open connections of a transport to an endpoint.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewConnections)]
pub(super) struct ConnectionCount {
    endpoint: String,
    /// The former name of `endpoint`.
    #[schema(deprecated)]
    namespace: String,
    transport: String,
    open: i64,
}

/// Repeated alerts or batches of a source, which were ignored.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewDuplicates)]
pub(super) struct DuplicateCount {
    kind: String,
    source: String,
    count: i64,
}

/// The log.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewLog)]
pub(super) struct LogState {
    /// The cursor of the last event.
    position: String,
    events: i64,
    bytes: i64,
    /// Pending signals.
    pending: i64,
    disk_free_bytes: i64,
}

/// The clients of a transport, and how many of them get what.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewPresence)]
pub(super) struct PresenceCount {
    transport: String,
    clients: usize,
    prices: usize,
    signals: usize,
    messages: usize,
    clock: usize,
    presence: usize,
}

/// What the process uses.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewProcess)]
pub(super) struct ProcessState {
    resident_bytes: u64,
    open_files: u64,
    /// Its share of all processors, 0 to 1.
    cpu_ratio: f64,
}

/// What waits in a queue.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewQueue)]
pub(super) struct QueueDepth {
    queue: String,
    depth: i64,
}

/// A receiver of notices.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewNotices)]
pub(super) struct NoticesEntry {
    /// Telegram, LINE, and so on.
    channel: String,
    /// How many times in a row it did not take a message.
    failures: u64,
    /// Why it does not take messages; null while it does.
    #[schema(required)]
    problem: Option<String>,
    /// Since when a step waits; null while none does.
    #[schema(required, format = DateTime)]
    waiting_since: Option<String>,
    /// When it took the last message; null before the first one.
    #[schema(required, format = DateTime)]
    sent_at: Option<String>,
}

/// Refused requests and connections.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewRefused)]
pub(super) struct RefusedCount {
    reason: String,
    count: i64,
}

/// A rejected push, connection or request, with its repetitions.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewReject)]
pub(super) struct RejectEntry {
    #[schema(format = DateTime)]
    at: String,
    kind: String,
    reason: String,
    times: u64,
}

/// Clients that were disconnected because they were too slow.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewCut)]
pub(super) struct CutCount {
    transport: String,
    count: i64,
}

/// A connection whose peer reads slowly. What is queued is null where nothing is: requests, and Socket.IO over long
/// polling, which keeps its queue inside its library.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewSlow)]
pub(super) struct SlowClient {
    endpoint: String,
    /// Id of the client's connection in the log; null when the connection only serves requests.
    #[schema(required)]
    connection: Option<String>,
    connected_ms: u64,
    #[schema(required)]
    blocked_ms: Option<u64>,
    longest_ms: u64,
    #[schema(required)]
    behind_ms: Option<u64>,
    #[schema(required)]
    ordered: Option<u64>,
    #[schema(required)]
    states: Option<u64>,
    /// Prices and other states that a newer one has replaced, since the connection was opened.
    #[schema(required)]
    conflated: Option<u64>,
}

/// What this node knows of its cluster.
#[derive(Debug, ToSchema)]
#[schema(as = OverviewNode)]
pub(super) struct NodeEntry {
    node: String,
    state: String,
    term: u64,
    /// The writer of the term; empty before the first one.
    writer: String,
    /// The last message of the stream that this node has applied and published.
    stream_seq: u64,
    /// The last message of the stream that this node has heard of.
    stream_end: u64,
    lag: u64,
    /// Why the node does not serve.
    #[schema(required)]
    unready: Option<String>,
}
