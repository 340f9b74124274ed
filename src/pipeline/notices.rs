//! Reports the engine's events about sources to the log and the metrics, and publishes the status of all sources.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::domain::{Now, SourceName};
use crate::engine::EngineEvent;
pub use crate::engine::LaneStatus;
use crate::telemetry::Metrics;

/// The same problem of one source is logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_mins(1);
/// How often [`Feeds`] is updated.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// A change of this size between the wall clock and the monotonic clock means that the wall clock was set.
const CLOCK_JUMP: TimeDelta = TimeDelta::seconds(2);

/// The status of every source of every symbol, at most a second old. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Arc<RwLock<Vec<LaneStatus>>>);

impl Feeds {
    /// Returns all of them, ordered by symbol and source.
    pub fn list(&self) -> Vec<LaneStatus> {
        self.0.read().clone()
    }

    /// Names the sources that have differed from the active one for too long; `None` when every source agrees.
    pub fn complaint(&self) -> Option<String> {
        let lanes = self.0.read();
        let apart: Vec<_> = lanes
            .iter()
            .filter(|lane| lane.diverged)
            .map(|lane| {
                format!("{} of {} ({:+.2} %)", lane.symbol, lane.source, lane.apart.unwrap_or_default() * 100.0)
            })
            .collect();
        (!apart.is_empty()).then(|| format!("sources that differ from the one in force: {}", apart.join(", ")))
    }
}

/// Turns events of the engine into log lines and metrics.
#[derive(Debug)]
pub(super) struct Reporter {
    metrics: Arc<Metrics>,
    feeds: Feeds,
    updated_at: Option<Instant>,
    /// The wall-clock time at the zero of the monotonic clock.
    wall_offset: Option<DateTime<Utc>>,
    /// When each problem was last logged, and how many log lines were suppressed since.
    log_limits: BTreeMap<(SourceName, &'static str), (Instant, u64)>,
}

impl Reporter {
    pub(super) fn new(metrics: Arc<Metrics>, feeds: Feeds) -> Self {
        Self { metrics, feeds, updated_at: None, wall_offset: None, log_limits: BTreeMap::new() }
    }

    pub(super) fn feeds(&self) -> Feeds {
        self.feeds.clone()
    }

    /// Logs when the wall clock was set. Times before and after it are then out of order; sequence numbers are not.
    pub(super) fn watch_clocks(&mut self, now: Now) {
        let wall_offset = now.wall - now.mono;
        let by = wall_offset - self.wall_offset.replace(wall_offset).unwrap_or(wall_offset);
        if by.abs() >= CLOCK_JUMP {
            let seconds = by.as_seconds_f64();
            warn!(
                seconds,
                "the wall clock was set, or the machine slept; deadlines and ages of prices are not affected"
            );
        }
    }

    /// Whether the status is due for an update.
    pub(super) fn is_due(&self) -> bool {
        self.updated_at.is_none_or(|updated_at| updated_at.elapsed() >= STATUS_INTERVAL)
    }

    pub(super) fn update_status(&mut self, lanes: Vec<LaneStatus>) {
        self.updated_at = Some(Instant::now());
        for lane in &lanes {
            let labels = [lane.symbol.as_str(), lane.source.as_str()];
            self.metrics.source_in_force.with_label_values(&labels).set(i64::from(lane.in_force));
            if let Some(apart) = lane.apart {
                self.metrics.source_divergence_ratio.with_label_values(&labels).set(apart);
            }
        }
        *self.feeds.0.write() = lanes;
    }

    /// Decides whether a problem is logged now: returns how many log lines were suppressed since the last one, or
    /// `None`.
    fn admit_log_line(&mut self, source: SourceName, reason: &'static str) -> Option<u64> {
        let now = Instant::now();
        match self.log_limits.get_mut(&(source.clone(), reason)) {
            Some((at, suppressed)) if now - *at < LOG_INTERVAL => {
                *suppressed += 1;
                None
            }
            _ => self.log_limits.insert((source, reason), (now, 0)).map_or(Some(0), |(_, suppressed)| Some(suppressed)),
        }
    }

    pub(super) fn report(&mut self, notice: EngineEvent) {
        match notice {
            EngineEvent::Refused { source, symbol, fault } => {
                self.metrics.source_rejected_total.with_label_values(&[source.as_str(), fault.name()]).inc();
                if let Some(suppressed) = self.admit_log_line(source.clone(), fault.name()) {
                    warn!(%source, %symbol, reason = fault.name(), suppressed, "a price is not believed");
                }
            }
            EngineEvent::Switched { symbol, from, to, stalled } => {
                self.metrics.source_switches_total.with_label_values(&[symbol.as_str(), to.as_str()]).inc();
                if stalled {
                    warn!(%symbol, %from, %to, "another source takes over: the one in force is silent");
                } else {
                    info!(%symbol, %from, %to, "a better source takes over");
                }
            }
            EngineEvent::Diverged { symbol, source, from, by } => {
                warn!(%symbol, %source, %from, percent = by * 100.0, "a source differs from the active one");
            }
            EngineEvent::Rounded { symbol, source } => {
                self.metrics.prices_rounded_total.with_label_values(&[symbol.as_str(), source.as_str()]).inc();
                if let Some(suppressed) = self.admit_log_line(source.clone(), "rounded") {
                    info!(
                        %symbol, %source, suppressed,
                        "a price is finer than the instrument's grid and is rounded; to keep it, give the instrument more \
                         digits and a smaller tick_size in [[instruments]]"
                    );
                }
            }
            EngineEvent::Agrees { symbol, source } => {
                info!(%symbol, %source, "a source agrees with the active one again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Symbol, TickFault};

    #[tokio::test(start_paused = true)]
    async fn a_problem_is_logged_once_a_minute() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut reporter = Reporter::new(metrics.clone(), Feeds::default());
        let source = || SourceName::new("mt5");
        assert_eq!(reporter.admit_log_line(source(), "jump"), Some(0));
        assert_eq!(reporter.admit_log_line(source(), "crossed"), Some(0));
        for _ in 0..5 {
            assert_eq!(reporter.admit_log_line(source(), "jump"), None);
        }
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(reporter.admit_log_line(source(), "jump"), Some(5));
        assert_eq!(reporter.admit_log_line(source(), "jump"), None);
        let (symbol, fault) = (Symbol::new("EURUSD"), TickFault::Jump);
        reporter.report(EngineEvent::Refused { source: source(), symbol, fault });
        assert_eq!(metrics.source_rejected_total.with_label_values(&["mt5", "jump"]).get(), 1);
    }

    #[test]
    fn the_summary_names_diverging_sources() {
        let lane = |source: &str, apart: Option<f64>, diverged| LaneStatus {
            symbol: Symbol::new("US30"),
            source: SourceName::new(source),
            in_force: apart.is_none(),
            age: Duration::ZERO,
            ticks: 1,
            refused: 0,
            apart,
            diverged,
        };
        let mut reporter = Reporter::new(Arc::new(Metrics::new().unwrap()), Feeds::default());
        reporter.update_status(vec![lane("mt5", None, false), lane("oanda", Some(0.0001), false)]);
        assert_eq!(reporter.feeds().complaint(), None);
        reporter.update_status(vec![lane("mt5", None, false), lane("massive", Some(-0.0041), true)]);
        let expected = "sources that differ from the one in force: US30 of massive (-0.41 %)";
        assert_eq!(reporter.feeds().complaint().as_deref(), Some(expected));
    }
}
