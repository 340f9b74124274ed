//! All metrics with their help texts. A process has one [`Metrics`], which is passed explicitly; there is no global registry.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    proto,
};

use super::register::{counter, counters, float, gauge, gauges, histogram};
use super::{LogLimit, Process, Rejects};

/// A metric that cannot be registered or printed.
pub type MetricsError = prometheus::Error;

/// All metrics of a process.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the help texts below say it")]
pub struct Metrics {
    registry: Registry,
    pub connections: IntGaugeVec,
    pub connections_total: IntCounterVec,
    pub disconnects_total: IntCounterVec,
    pub refused_total: IntCounterVec,
    pub polling_sessions: IntGauge,
    pub polling_waiting_bytes: IntGauge,
    pub polling_evicted_total: IntCounterVec,
    pub events_in_total: IntCounterVec,
    pub rejected_total: IntCounterVec,
    pub duplicates_total: IntCounterVec,
    pub events_published_total: IntCounterVec,
    pub deliveries_total: IntCounterVec,
    pub dropped_total: IntCounterVec,
    /// Clients that were disconnected because they do not read.
    pub slow_clients_total: IntCounterVec,
    pub slow_client_behind_seconds: Histogram,
    pub blocked_connections: IntGauge,
    pub blocked_seconds: Gauge,
    pub pongs_missing_total: IntCounter,
    pub pages_away: IntGauge,
    pub logins: IntGauge,
    pub logins_total: IntCounterVec,
    pub wrong_tokens_total: IntCounterVec,
    pub key_set_keys: IntGauge,
    pub key_set_fetches_total: IntCounterVec,
    pub revocations_total: IntCounter,
    pub rate_limited_total: IntCounterVec,
    pub queue_depth: IntGaugeVec,
    pub publish_seconds: Histogram,
    pub signals_pending: IntGauge,
    pub last_signal_seconds: Gauge,
    pub market_open: IntGauge,
    pub source_up: IntGaugeVec,
    pub source_last_tick_seconds: GaugeVec,
    pub source_reconnects_total: IntCounterVec,
    pub source_ticks_total: IntCounterVec,
    pub source_budget: IntGaugeVec,
    pub source_rejected_total: IntCounterVec,
    pub prices_rounded_total: IntCounterVec,
    pub source_switches_total: IntCounterVec,
    pub source_in_force: IntGaugeVec,
    pub source_divergence_ratio: GaugeVec,
    pub http_requests_total: IntCounterVec,
    pub http_request_seconds: Histogram,
    pub reads_refused_total: IntCounterVec,
    pub store_commit_seconds: Histogram,
    pub store_batch_size: Histogram,
    pub store_log_bytes: IntGauge,
    pub store_events: IntGauge,
    pub log_position: IntGauge,
    pub store_errors_total: IntCounter,
    pub store_bars_dropped_total: IntCounter,
    pub store_damaged_rows_total: IntCounterVec,
    pub disk_free_bytes: IntGauge,
    pub disk_size_bytes: IntGauge,
    pub degraded: IntGaugeVec,
    pub alerts_firing: IntGaugeVec,
    pub alert_deliveries_total: IntCounterVec,
    pub process_resident_bytes: IntGauge,
    pub process_cpu_ratio: Gauge,
    pub process_open_files: IntGauge,
    pub process_threads: IntGauge,
    pub build_info: IntGaugeVec,
    pub started_at: Gauge,
    pub process: Arc<Process>,
    pub rejects: Arc<Rejects>,
    damaged_rows_log: Arc<LogLimit>,
    probes: Probes,
}

/// Functions that set gauges when the metrics are read.
#[derive(Clone, Default)]
struct Probes(Arc<RwLock<Vec<Probe>>>);

type Probe = Box<dyn Fn(&Metrics) + Send + Sync>;

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} probes", self.0.read().len())
    }
}

/// Buckets for the latency of publishing and committing, in seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

impl Metrics {
    /// Declares all metrics.
    ///
    /// # Errors
    /// When two metrics have the same name.
    #[expect(clippy::too_many_lines, reason = "a list of all of them")]
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new_custom(Some("orion".into()), None)?;
        let r = &registry;
        Ok(Self {
            connections: gauges(r, "connections", "Open client connections", &["transport", "endpoint"])?,
            connections_total: counters(
                r,
                "connections_total",
                "Client connections so far",
                &["transport", "endpoint"],
            )?,
            disconnects_total: counters(r, "disconnects_total", "Ended client connections", &["endpoint", "reason"])?,
            refused_total: counters(r, "refused_total", "Connections and requests refused at the door", &["reason"])?,
            polling_sessions: gauge(r, "polling_sessions", "Open Socket.IO sessions over long polling")?,
            polling_waiting_bytes: gauge(
                r,
                "polling_waiting_bytes",
                "What waits for the next polls of all Socket.IO sessions over long polling, estimated",
            )?,
            polling_evicted_total: counters(
                r,
                "polling_evicted_total",
                "Sessions over long polling that were ended: left alone ('idle'), to free memory ('memory'), or because \
                 their upgrade failed ('upgrade')",
                &["reason"],
            )?,
            events_in_total: counters(r, "events_in_total", "Ticks and signals taken in", &["kind", "source"])?,
            rejected_total: counters(r, "rejected_total", "Pushes and ticks that were not taken", &["kind", "reason"])?,
            duplicates_total: counters(
                r,
                "duplicates_total",
                "Alerts and batches that came again and were not taken twice",
                &["kind", "source"],
            )?,
            events_published_total: counters(r, "events_published_total", "Events published", &["kind"])?,
            deliveries_total: counters(r, "deliveries_total", "Events queued for a client", &["kind", "transport"])?,
            slow_clients_total: counters(
                r,
                "slow_clients_total",
                "Clients cut because they did not take what they have to get, by transport; 'write': a blocked write",
                &["transport"],
            )?,
            slow_client_behind_seconds: histogram(
                r,
                "slow_client_behind_seconds",
                "How far behind a client was when it was cut: age of what waited for it, or time of its blocked write",
                &[0.1, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0],
            )?,
            blocked_connections: gauge(
                r,
                "blocked_connections",
                "Connections of any kind whose peer does not take what is being written",
            )?,
            blocked_seconds: float(r, "blocked_seconds", "The longest that a write has waited of those that wait now")?,
            dropped_total: counters(
                r,
                "dropped_total",
                "Deliveries replaced by newer ones or lost with a slow client",
                &["queue"],
            )?,
            pongs_missing_total: counter(
                r,
                "pongs_missing_total",
                "Pings of ours on the bot platform's stream that had no pong when the next was due",
            )?,
            pages_away: gauge(
                r,
                "pages_away",
                "Pages of the bot platform whose connection was cut, and which get the rest when they come back",
            )?,
            logins: gauge(r, "logins", "Open connections that rest on a user token")?,
            logins_total: counters(r, "logins_total", "Tokens judged when a connection is opened", &["outcome"])?,
            wrong_tokens_total: counters(
                r,
                "wrong_tokens_total",
                "Tokens that prove nothing, by what they were meant to be; 'throttled' were answered with 429",
                &["kind", "outcome"],
            )?,
            key_set_keys: gauge(r, "key_set_keys", "Keys of auth.jwks_url that can verify user tokens")?,
            key_set_fetches_total: counters(
                r,
                "key_set_fetches_total",
                "Times that auth.jwks_url was asked",
                &["outcome"],
            )?,
            revocations_total: counter(r, "revocations_total", "Times that an administrator revoked a user's tokens")?,
            rate_limited_total: counters(
                r,
                "rate_limited_total",
                "Clients told to slow down ('warned') or cut for not doing so ('cut'), and pushes refused ('push')",
                &["what"],
            )?,
            queue_depth: gauges(r, "queue_depth", "Entries waiting in a queue", &["queue"])?,
            publish_seconds: histogram(
                r,
                "publish_seconds",
                "Time from an event's birth to its last client's queue",
                &LATENCY_BUCKETS,
            )?,
            signals_pending: gauge(r, "signals_pending", "Signals that have not ended")?,
            last_signal_seconds: float(
                r,
                "last_signal_timestamp_seconds",
                "Unix time of the last change of a signal that was published; 0 before the first",
            )?,
            market_open: gauge(r, "market_open", "Whether a market that an instrument follows is open (1) or not (0)")?,
            source_up: gauges(r, "source_up", "Whether a source delivers (1) or is down (0)", &["source"])?,
            source_last_tick_seconds: {
                let help = "Time since the last tick of a source";
                let gauge = GaugeVec::new(Opts::new("source_last_tick_age_seconds", help), &["source"])?;
                r.register(Box::new(gauge.clone()))?;
                gauge
            },
            source_reconnects_total: counters(
                r,
                "source_reconnects_total",
                "Times a source had to connect again",
                &["source"],
            )?,
            source_ticks_total: counters(r, "source_ticks_total", "Ticks read from a source", &["source"])?,
            source_budget: gauges(r, "source_budget", "Requests that a source has left today", &["source"])?,
            source_rejected_total: counters(
                r,
                "source_rejected_total",
                "Ticks of a source that were not taken",
                &["source", "reason"],
            )?,
            prices_rounded_total: counters(
                r,
                "prices_rounded_total",
                "Prices that were finer than the instrument's grid and were rounded",
                &["symbol", "source"],
            )?,
            source_switches_total: counters(
                r,
                "source_switches_total",
                "Times a source took a symbol over from another one",
                &["symbol", "source"],
            )?,
            source_in_force: gauges(
                r,
                "source_in_force",
                "Whether a source's prices are the symbol's (1) or it stands by (0)",
                &["symbol", "source"],
            )?,
            source_divergence_ratio: {
                let help = "How far a source that stands by is from the one in force, as a share of the price";
                let gauge = GaugeVec::new(Opts::new("source_divergence_ratio", help), &["symbol", "source"])?;
                r.register(Box::new(gauge.clone()))?;
                gauge
            },
            http_requests_total: counters(
                r,
                "http_requests_total",
                "HTTP requests answered",
                &["route", "method", "status"],
            )?,
            reads_refused_total: counters(
                r,
                "reads_refused_total",
                "Requests of routes that read much that were refused because too many were worked on, by route",
                &["route"],
            )?,
            http_request_seconds: histogram(
                r,
                "http_request_seconds",
                "Time to answer an HTTP request",
                &LATENCY_BUCKETS,
            )?,
            store_commit_seconds: histogram(
                r,
                "store_commit_seconds",
                "Time to commit a batch to the signal log",
                &LATENCY_BUCKETS,
            )?,
            store_batch_size: histogram(
                r,
                "store_batch_size",
                "Signal events per commit",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0],
            )?,
            store_log_bytes: gauge(r, "store_log_bytes", "Size of the database and its write-ahead log")?,
            store_events: gauge(r, "store_events", "Signal events in the log")?,
            log_position: gauge(r, "log_position", "Number of the last signal event in the log, as in cursors")?,
            store_errors_total: counter(r, "store_errors_total", "Failed commits")?,
            store_bars_dropped_total: counter(r, "store_bars_dropped_total", "Bars that were not stored")?,
            store_damaged_rows_total: counters(
                r,
                "store_damaged_rows_total",
                "Stored rows that were read and are not what was written, by table; none was served",
                &["table"],
            )?,
            disk_free_bytes: gauge(r, "disk_free_bytes", "Room on the disk of the data directory")?,
            disk_size_bytes: gauge(r, "disk_size_bytes", "Size of the disk of the data directory")?,
            degraded: gauges(r, "degraded", "Whether a part suffers (1) or is well (0), as in /ready", &["part"])?,
            alerts_firing: gauges(r, "alerts_firing", "Whether an alert is raised (1) or not (0)", &["alert"])?,
            alert_deliveries_total: counters(
                r,
                "alert_deliveries_total",
                "Attempts to deliver an alert to the webhook",
                &["outcome"],
            )?,
            process_resident_bytes: gauge(r, "process_resident_bytes", "Memory in use by the process")?,
            process_cpu_ratio: float(
                r,
                "process_cpu_ratio",
                "Share of the processors that the process used since it was last asked",
            )?,
            process_open_files: gauge(r, "process_open_files", "Open files and connections of the process")?,
            process_threads: gauge(r, "process_threads", "Threads of the process")?,
            build_info: gauges(r, "build_info", "The version that runs, as a label", &["version"])?,
            started_at: float(r, "start_time_seconds", "Unix time at which the process started")?,
            process: Arc::default(),
            rejects: Arc::default(),
            damaged_rows_log: Arc::default(),
            probes: Probes::default(),
            registry,
        })
    }

    /// Adds a function that sets gauges whenever the metrics are read. It must not block, and must not own these metrics.
    pub fn probe(&self, probe: impl Fn(&Self) + Send + Sync + 'static) {
        self.probes.0.write().push(Box::new(probe));
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
        let usage = self.process.usage();
        let whole = |gauge: &IntGauge, value: Option<u64>| gauge.set(value.unwrap_or_default() as i64);
        whole(&self.process_resident_bytes, usage.resident_bytes);
        whole(&self.process_open_files, usage.open_files);
        whole(&self.process_threads, usage.threads);
        self.process_cpu_ratio.set(usage.cpu_percent.unwrap_or_default() / 100.0);
        for probe in self.probes.0.read().iter() {
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
