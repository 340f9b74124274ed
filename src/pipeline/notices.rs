//! What the engine says about the sources, for the log, the metrics and whoever asks.

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

/// The same complaint about one source is logged at most this often.
const QUIET: Duration = Duration::from_mins(1);
/// How often [`Feeds`] is brought up to date.
const EVERY: Duration = Duration::from_secs(1);
/// The wall clock was set when it has left the other one by so much between two looks.
const SET_BY: TimeDelta = TimeDelta::seconds(2);

/// Every source of every symbol, as it was within the last second. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Arc<RwLock<Vec<LaneStatus>>>);

impl Feeds {
    /// All of them, by symbol and source.
    pub fn list(&self) -> Vec<LaneStatus> {
        self.0.read().clone()
    }

    /// The sources that have differed for too long from the one in force, in a sentence.
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

/// Tells what the engine says.
#[derive(Debug)]
pub(super) struct Reporter {
    metrics: Arc<Metrics>,
    feeds: Feeds,
    told: Option<Instant>,
    /// How far the wall clock is ahead of the monotonic one.
    ahead: Option<DateTime<Utc>>,
    /// When a complaint was last logged, and how often it was not since.
    complaints: BTreeMap<(SourceName, &'static str), (Instant, u64)>,
}

impl Reporter {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, feeds: Feeds::default(), told: None, ahead: None, complaints: BTreeMap::new() }
    }

    pub(super) fn feeds(&self) -> Feeds {
        self.feeds.clone()
    }

    /// Says so when the wall clock was set. Times before and after it are not in order then; the numbers of the log are.
    pub(super) fn watch_clocks(&mut self, now: Now) {
        let ahead = now.wall - now.mono;
        let by = ahead - self.ahead.replace(ahead).unwrap_or(ahead);
        if by.abs() >= SET_BY {
            let seconds = by.as_seconds_f64();
            warn!(
                seconds,
                "the wall clock was set, or the machine slept; deadlines and the age of prices go on as they were"
            );
        }
    }

    /// Whether the list of feeds is due.
    pub(super) fn is_due(&self) -> bool {
        self.told.is_none_or(|told| told.elapsed() >= EVERY)
    }

    pub(super) fn tell(&mut self, lanes: Vec<LaneStatus>) {
        self.told = Some(Instant::now());
        for lane in &lanes {
            let labels = [lane.symbol.as_str(), lane.source.as_str()];
            self.metrics.source_in_force.with_label_values(&labels).set(i64::from(lane.in_force));
            if let Some(apart) = lane.apart {
                self.metrics.source_divergence_ratio.with_label_values(&labels).set(apart);
            }
        }
        *self.feeds.0.write() = lanes;
    }

    /// Whether this complaint is to be logged, and how many like it were not since the last one.
    fn may_complain(&mut self, source: SourceName, reason: &'static str) -> Option<u64> {
        let now = Instant::now();
        match self.complaints.get_mut(&(source.clone(), reason)) {
            Some((at, unsaid)) if now - *at < QUIET => {
                *unsaid += 1;
                None
            }
            _ => self.complaints.insert((source, reason), (now, 0)).map_or(Some(0), |(_, unsaid)| Some(unsaid)),
        }
    }

    pub(super) fn report(&mut self, notice: EngineEvent) {
        match notice {
            EngineEvent::Refused { source, symbol, fault } => {
                self.metrics.source_rejected_total.with_label_values(&[source.as_str(), fault.name()]).inc();
                if let Some(unsaid) = self.may_complain(source.clone(), fault.name()) {
                    warn!(%source, %symbol, reason = fault.name(), unsaid, "a price is not believed");
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
                warn!(%symbol, %source, %from, percent = by * 100.0, "two sources differ");
            }
            EngineEvent::Rounded { symbol, source } => {
                self.metrics.prices_rounded_total.with_label_values(&[symbol.as_str(), source.as_str()]).inc();
                if let Some(unsaid) = self.may_complain(source.clone(), "rounded") {
                    info!(
                        %symbol, %source, unsaid,
                        "a price is finer than the instrument's grid and is rounded; to keep it, give the instrument more \
                         digits and a smaller tick_size in [[instruments]]"
                    );
                }
            }
            EngineEvent::Agrees { symbol, source } => {
                info!(%symbol, %source, "a source agrees again with the one in force")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Symbol, TickFault};

    #[tokio::test(start_paused = true)]
    async fn a_complaint_is_counted_always_and_said_once_a_minute() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut reporter = Reporter::new(metrics.clone());
        let source = || SourceName::new("mt5");
        assert_eq!(reporter.may_complain(source(), "jump"), Some(0));
        assert_eq!(reporter.may_complain(source(), "crossed"), Some(0));
        for _ in 0..5 {
            assert_eq!(reporter.may_complain(source(), "jump"), None);
        }
        tokio::time::advance(QUIET).await;
        assert_eq!(reporter.may_complain(source(), "jump"), Some(5));
        assert_eq!(reporter.may_complain(source(), "jump"), None);
        let (symbol, fault) = (Symbol::new("EURUSD"), TickFault::Jump);
        reporter.report(EngineEvent::Refused { source: source(), symbol, fault });
        assert_eq!(metrics.source_rejected_total.with_label_values(&["mt5", "jump"]).get(), 1);
    }

    #[test]
    fn what_differs_is_named() {
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
        let mut reporter = Reporter::new(Arc::new(Metrics::new().unwrap()));
        reporter.tell(vec![lane("mt5", None, false), lane("oanda", Some(0.0001), false)]);
        assert_eq!(reporter.feeds().complaint(), None);
        reporter.tell(vec![lane("mt5", None, false), lane("massive", Some(-0.0041), true)]);
        let said = "sources that differ from the one in force: US30 of massive (-0.41 %)";
        assert_eq!(reporter.feeds().complaint().as_deref(), Some(said));
    }
}
