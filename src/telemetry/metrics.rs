//! All metrics with their help texts. A process has one [`Metrics`], which is passed explicitly; there is no global registry.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::{
    Counter, Encoder, Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder, proto,
};

use super::declare::{declare, metrics};
use super::{FirstSteps, LogLimit, Process, Rejects};

/// A metric that cannot be registered or printed.
pub type MetricsError = prometheus::Error;

/// Functions that set gauges when the metrics are read.
#[derive(Clone, Default)]
struct Probes(Arc<Mutex<Vec<Probe>>>);

type Probe = Box<dyn Fn(&Metrics) + Send + Sync>;

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} probes", self.0.lock().len())
    }
}

/// Buckets for the latency of publishing, committing and answering, in seconds.
const LATENCY: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
/// Buckets for how far behind slow clients are, in seconds.
const DELAYS: &[f64] = &[0.1, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0];
/// Buckets for the size of a commit, in events.
const BATCHES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0];

metrics! {
    /// All metrics of a process.
    #[derive(Debug, Clone)]
    pub struct Metrics {
        registry: Registry,
        /// The resources of the process.
        pub process: Arc<Process>,
        /// The last rejected pushes and connections.
        pub rejects: Arc<Rejects>,
        /// What the start page waits for.
        pub first_steps: Arc<FirstSteps>,
        damaged_rows_log: Arc<LogLimit>,
        probes: Probes,
    }

    /// Open client connections
    connections: IntGaugeVec["transport", "endpoint"],
    /// Client connections so far
    connections_total: IntCounterVec["transport", "endpoint"],
    /// Ended client connections
    disconnects_total: IntCounterVec["endpoint", "reason"],
    /// Connections and requests rejected by the listener
    refused_total: IntCounterVec["reason"],
    /// Open Socket.IO sessions over long polling
    polling_sessions: IntGauge,
    /// What waits for the next polls of all Socket.IO sessions over long polling, estimated
    polling_waiting_bytes: IntGauge,
    /// Sessions over long polling that were ended: not polled ('idle'), to free memory ('memory'), or because their upgrade
    /// failed ('upgrade')
    polling_evicted_total: IntCounterVec["reason"],
    /// Ticks and signals accepted
    events_in_total: IntCounterVec["kind", "source"],
    /// Pushes and ticks that were rejected
    rejected_total: IntCounterVec["kind", "reason"],
    /// Alerts and batches that came again and were not accepted twice
    duplicates_total: IntCounterVec["kind", "source"],
    /// Events published
    events_published_total: IntCounterVec["kind"],
    /// Events written to a client, or waiting for it
    deliveries_total: IntCounterVec["kind", "transport"],
    /// Deliveries replaced by newer ones or lost with a slow client
    dropped_total: IntCounterVec["queue"],
    /// Clients disconnected because they did not read what they have to get, by transport; 'write': a blocked write
    slow_clients_total: IntCounterVec["transport"],
    /// How far behind a client was when it was disconnected: age of what waited for it, or time of its blocked write
    slow_client_behind_seconds: Histogram[DELAYS],
    /// Connections of any kind whose peer does not read what is being written
    blocked_connections: IntGauge,
    /// The longest that a write has waited of those that wait now
    blocked_seconds: Gauge,
    /// Pings on the bot platform's stream that had no pong when the next was due
    pongs_missing_total: IntCounter,
    /// Disconnected pages of the bot platform, which get the rest when they come back
    pages_away: IntGauge,
    /// Open connections with a user token
    logins: IntGauge,
    /// Tokens checked when a connection is opened
    logins_total: IntCounterVec["outcome"],
    /// Invalid tokens, by what they were meant to be; 'throttled' were answered with 429
    wrong_tokens_total: IntCounterVec["kind", "outcome"],
    /// Keys of `auth.jwks_url` that can verify user tokens
    key_set_keys: IntGauge,
    /// Requests to `auth.jwks_url`
    key_set_fetches_total: IntCounterVec["outcome"],
    /// Reloads of the settings: 'applied', 'unchanged', or 'rejected' because they cannot be used
    reloads_total: IntCounterVec["outcome"],
    /// Times that an administrator revoked a user's tokens
    revocations_total: IntCounter,
    /// Clients told to slow down ('warned') or disconnected for not doing so ('cut'), and pushes rejected ('push')
    rate_limited_total: IntCounterVec["what"],
    /// Entries waiting in a queue
    queue_depth: IntGaugeVec["queue"],
    /// Time from an event's creation until a fan-out task has written it to its share of the clients, or left it waiting for them
    publish_seconds: Histogram[LATENCY],
    /// Signals that have not ended
    signals_pending: IntGauge,
    /// Unix time of the last change of a signal that was published; 0 before the first
    last_signal_timestamp_seconds: Gauge,
    /// Whether a market that an instrument follows is open (1) or not (0)
    market_open: IntGauge,
    /// Whether a source delivers (1) or is down (0)
    source_up: IntGaugeVec["source"],
    /// Time since the last tick of a source
    source_last_tick_age_seconds: GaugeVec["source"],
    /// Times a source had to connect again
    source_reconnects_total: IntCounterVec["source"],
    /// Ticks read from a source
    source_ticks_total: IntCounterVec["source"],
    /// Requests that a source has left today
    source_budget: IntGaugeVec["source"],
    /// Ticks of a source that were rejected
    source_rejected_total: IntCounterVec["source", "reason"],
    /// Prices that were finer than the instrument's grid and were rounded
    prices_rounded_total: IntCounterVec["symbol", "source"],
    /// Times a source took a symbol over from another one
    source_switches_total: IntCounterVec["symbol", "source"],
    /// Whether a source is the active one of a symbol (1) or on standby (0)
    source_in_force: IntGaugeVec["symbol", "source"],
    /// How far a source on standby is from the active one, as a share of the price
    source_divergence_ratio: GaugeVec["symbol", "source"],
    /// HTTP requests answered
    http_requests_total: IntCounterVec["route", "method", "status"],
    /// Time to answer an HTTP request
    http_request_seconds: Histogram[LATENCY],
    /// Requests of expensive routes that were rejected because too many were running, by route
    reads_refused_total: IntCounterVec["route"],
    /// Tools that agents called over /mcp, by tool and outcome (ok, error)
    mcp_calls_total: IntCounterVec["tool", "outcome"],
    /// Time to commit a batch to the signal log
    store_commit_seconds: Histogram[LATENCY],
    /// Signal events per commit
    store_batch_size: Histogram[BATCHES],
    /// Size of the database and its write-ahead log
    store_log_bytes: IntGauge,
    /// Signal events in the log
    store_events: IntGauge,
    /// Number of the last signal event in the log, as in cursors
    log_position: IntGauge,
    /// Failed commits
    store_errors_total: IntCounter,
    /// Bars that were not stored
    store_bars_dropped_total: IntCounter,
    /// Stored rows that were read and are not what was written, by table; none was served
    store_damaged_rows_total: IntCounterVec["table"],
    /// Ticks that were written to the kept ticks
    ticks_kept_total: IntCounter,
    /// Ticks that made bars and could not be kept, by reason: 'queue' (too many at once) or 'disk'
    ticks_lost_total: IntCounterVec["reason"],
    /// Size of the kept ticks on disk
    ticks_bytes: IntGauge,
    /// Signals of the last recomputed day that a backtest over its kept ticks has otherwise, by reason
    recompute_differences: IntGaugeVec["reason"],
    /// Free space on the disk of the data directory
    disk_free_bytes: IntGauge,
    /// Size of the disk of the data directory
    disk_size_bytes: IntGauge,
    /// Whether a part is degraded (1) or not (0), as in /ready
    degraded: IntGaugeVec["part"],
    /// The current term of the cluster
    cluster_term: IntGauge,
    /// Whether this node writes the cluster's log (1) or follows (0)
    cluster_writer: IntGauge,
    /// Messages of the cluster's log that this node has not applied yet
    cluster_lag: IntGauge,
    /// Whether the cluster's log keeps this node from being ready (1) or not (0)
    cluster_unready: IntGauge,
    /// Times this node became the writer
    cluster_takeovers_total: IntCounter,
    /// Times this node was replaced while it wrote
    cluster_fenced_total: IntCounter,
    /// Messages of replaced writers that did not count
    cluster_void_batches_total: IntCounter,
    /// Times the cluster's log was read anew from this node's place
    cluster_rereads_total: IntCounter,
    /// Time from sending a message to the cluster's log to its acknowledgement
    cluster_append_seconds: Histogram[LATENCY],
    /// Pushes that this node forwarded to the writer, by outcome
    cluster_forwarded_total: IntCounterVec["outcome"],
    /// Whether an alert is raised (1) or not (0)
    alerts_firing: IntGaugeVec["alert"],
    /// Attempts to deliver an alert to the webhook
    alert_deliveries_total: IntCounterVec["outcome"],
    /// Notices that a service has taken as new messages
    notify_sent_total: IntCounterVec["channel"],
    /// Notices that were edited into an earlier message
    notify_edited_total: IntCounterVec["channel"],
    /// Attempts that a service has refused, and notices that it will never take
    notify_failed_total: IntCounterVec["channel"],
    /// Attempts that failed and are repeated
    notify_retried_total: IntCounterVec["channel"],
    /// Steps of signals that no message was sent for: 'rules', 'quiet' hours, 'old'
    notify_skipped_total: IntCounterVec["channel", "reason"],
    /// Age of the oldest step that waits to be sent; 0 when none waits
    notify_lag_seconds: GaugeVec["channel"],
    /// Receivers that do not take notices now
    notify_failing: IntGaugeVec["channel"],
    /// The running version, as a label
    build_info: IntGaugeVec["version"],
    /// Total user and system CPU time spent in seconds
    process_cpu_seconds_total: Counter,
    /// Resident memory size in bytes
    process_resident_memory_bytes: IntGauge,
    /// Virtual memory size in bytes
    process_virtual_memory_bytes: IntGauge,
    /// Number of open file descriptors
    process_open_fds: IntGauge,
    /// Maximum number of open file descriptors
    process_max_fds: IntGauge,
    /// Number of OS threads in the process
    process_threads: IntGauge,
    /// Start time of the process since unix epoch in seconds
    process_start_time_seconds: Gauge,
}

impl Metrics {
    /// Adds a function that sets gauges whenever the metrics are read. It must not block, and must not own these metrics.
    pub fn probe(&self, probe: impl Fn(&Self) + Send + Sync + 'static) {
        self.probes.0.lock().push(Box::new(probe));
    }

    /// Counts damaged rows that were read from the store, and logs at most once a minute.
    pub fn count_damaged_rows(&self, table: &str, rows: u64) {
        if rows == 0 {
            return;
        }
        self.store_damaged_rows_total.with_label_values(&[table]).inc_by(rows);
        if let Some(suppressed) = self.damaged_rows_log.admit() {
            tracing::error!(
                table,
                rows,
                suppressed,
                "stored rows are damaged and are not served; stop the server and run `orion-server verify`"
            );
        }
    }

    /// Counts and records a rejected push.
    pub fn reject(&self, kind: &'static str, reason: &'static str) {
        self.rejected_total.with_label_values(&[kind, reason]).inc();
        self.rejects.record(kind, reason);
    }

    /// Counts and records a push that exceeds the rate limit of its token.
    pub fn reject_too_fast(&self) {
        self.rate_limited_total.with_label_values(&["push"]).inc();
        self.reject("push", "rate_limited");
    }

    /// Counts and records a refused connection or request.
    pub fn refuse(&self, reason: &'static str) {
        self.refused_total.with_label_values(&[reason]).inc();
        self.rejects.record("connection", reason);
    }

    /// Counts a slow client that is disconnected, and how far behind it was.
    pub fn cut_slow(&self, transport: &'static str, behind: Duration) {
        self.slow_clients_total.with_label_values(&[transport]).inc();
        self.slow_client_behind_seconds.observe(behind.as_secs_f64());
    }

    /// Returns every series of a family with the values of its labels, in the order of the labels' names.
    pub fn series<T: Collector>(family: &T) -> Vec<(Vec<String>, f64)> {
        let series = |metric: &proto::Metric| {
            let labels = metric.get_label().iter().map(|label| label.value().to_owned()).collect();
            // A series is a gauge or a counter; the other value is 0.
            (labels, metric.get_gauge().get_value() + metric.get_counter().get_value())
        };
        family.collect().iter().flat_map(|family| family.get_metric().iter().map(series).collect::<Vec<_>>()).collect()
    }

    /// Updates the gauges that are read on demand; [`render`](Self::render) does so too.
    pub fn read_probes(&self) {
        // One at a time: the counter below is read and then increased.
        let probes = self.probes.0.lock();
        let usage = self.process.usage();
        let cpu = &self.process_cpu_seconds_total;
        cpu.inc_by((usage.cpu_seconds.unwrap_or_default() - cpu.get()).max(0.0));
        for (gauge, value) in [
            (&self.process_resident_memory_bytes, usage.resident_bytes),
            (&self.process_virtual_memory_bytes, usage.virtual_bytes),
            (&self.process_open_fds, usage.open_files),
            (&self.process_max_fds, usage.max_files),
            (&self.process_threads, usage.threads),
        ] {
            gauge.set(value.unwrap_or_default() as i64);
        }
        for probe in probes.iter() {
            probe(self);
        }
    }

    /// Renders all metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// When a metric cannot be rendered, which would be a defect.
    pub fn render(&self) -> Result<String, MetricsError> {
        self.read_probes();
        let mut buffer = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered_with_their_help() {
        let metrics = Metrics::new().unwrap();
        metrics.connections.with_label_values(&["websocket", "/"]).inc();
        let text = metrics.render().unwrap();
        assert!(text.contains("# HELP orion_connections Open client connections"), "{text}");
        assert!(text.contains("orion_connections{endpoint=\"/\",transport=\"websocket\"} 1"), "{text}");
    }

    /// As every client library of Prometheus names them: common dashboards find them.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_has_the_standard_metrics() {
        let metrics = Metrics::new().unwrap();
        let text = metrics.render().unwrap();
        for (name, kind) in [
            ("process_cpu_seconds_total", "counter"),
            ("process_resident_memory_bytes", "gauge"),
            ("process_virtual_memory_bytes", "gauge"),
            ("process_open_fds", "gauge"),
            ("process_max_fds", "gauge"),
            ("process_threads", "gauge"),
            ("process_start_time_seconds", "gauge"),
        ] {
            assert!(text.contains(&format!("# TYPE {name} {kind}\n{name} ")), "{name}: {text}");
        }
        assert!(metrics.process_resident_memory_bytes.get() > 100_000 && metrics.process_open_fds.get() > 0);
    }

    #[test]
    fn every_metric_is_described_before_its_first_series() {
        let metrics = Metrics::new().unwrap();
        let descriptions = metrics.descriptions();
        let of = |name: &str| descriptions.iter().find(|metric| metric.fq_name == name).unwrap();
        assert_eq!(of("orion_refused_total").variable_labels, ["reason"]);
        assert!(descriptions.iter().all(|metric| metric.help.len() > 10 && metric.help.trim() == metric.help));
        let long = "Sessions over long polling that were ended: not polled ('idle'), to free memory ('memory'), or because \
                    their upgrade failed ('upgrade')";
        assert_eq!(of("orion_polling_evicted_total").help, long);
    }

    #[test]
    fn probes_run_when_the_metrics_are_rendered() {
        let metrics = Metrics::new().unwrap();
        metrics.probe(|metrics| metrics.logins.set(metrics.logins.get() + 1));
        for asked in 1..3 {
            assert!(metrics.render().unwrap().contains(&format!("\norion_logins {asked}\n")));
        }
    }

    #[test]
    fn a_family_is_read_series_by_series() {
        let metrics = Metrics::new().unwrap();
        metrics.reject("signal", "validation_failed");
        metrics.refuse("full");
        metrics.refuse("full");
        metrics.connections.with_label_values(&["native", "/ws"]).set(3);
        assert_eq!(Metrics::series(&metrics.connections), [(vec!["/ws".to_owned(), "native".to_owned()], 3.0)]);
        assert_eq!(Metrics::series(&metrics.refused_total), [(vec!["full".to_owned()], 2.0)]);
        let remembered: Vec<_> = metrics.rejects.list().iter().map(|r| (r.kind, r.reason, r.times)).collect();
        assert_eq!(remembered, [("connection", "full", 2), ("signal", "validation_failed", 1)]);
    }
}
