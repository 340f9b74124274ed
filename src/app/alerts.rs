//! The conditions that raise alerts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::run_forever;
use super::sources::market_is_open;
use crate::alerts::{ActiveConditions, Alerts, Key};
use crate::domain::Instruments;
use crate::notify::Notices;
use crate::store::{Health, Store};
use crate::telemetry::{Disk, Metrics, SourceStates};
use crate::transport::Gateway;

/// Failing requests are counted over this time.
const WINDOW: Duration = Duration::from_mins(5);
/// Fewer failing requests raise no alert, whatever their share is.
const MIN_ERRORS: f64 = 10.0;

/// Spawns the task that alerts the operator.
pub(super) fn spawn(
    alerts: &Alerts,
    gateway: &Arc<Gateway>,
    store: &Arc<Store>,
    (disk, notices): (Arc<Disk>, Notices),
    states: SourceStates,
) {
    let (tasks, metrics) = (&gateway.tasks, gateway.metrics.clone());
    let mut conditions = Conditions {
        alerts: alerts.clone(),
        store: store.clone(),
        disk,
        notices,
        states,
        instruments: gateway.instruments.clone(),
        metrics,
        quiet: SignalSilence::default(),
        errors: ErrorRate::default(),
    };
    let evaluate = move |passed| conditions.evaluate(passed);
    tasks.spawn("alerts", run_forever(alerts.clone().run(evaluate, tasks.stopping())));
}

/// All conditions of a process.
struct Conditions {
    alerts: Alerts,
    store: Arc<Store>,
    disk: Arc<Disk>,
    notices: Notices,
    states: SourceStates,
    instruments: Arc<Instruments>,
    metrics: Arc<Metrics>,
    quiet: SignalSilence,
    errors: ErrorRate,
}

impl Conditions {
    /// Returns the conditions that hold now; `passed` is the time since the previous call.
    fn evaluate(&mut self, passed: Duration) -> ActiveConditions {
        let mut wrong = ActiveConditions::new();
        let mut note = |alert, subject: &str, message: String| {
            wrong.insert(Key { alert, subject: subject.to_owned() }, message);
        };
        for source in self.states.list().into_iter().filter(|source| source.state.is_trouble()) {
            let message = format!("the source {} does not deliver ({})", source.name, source.state.name());
            note("source_mute", source.name.as_str(), message);
        }
        if let Health::Failing { error, .. } = self.store.health() {
            note("log_not_writable", "", format!("signals cannot be stored: {error}"));
        }
        if let Some(complaint) = self.disk.complaint() {
            note("disk_nearly_full", "", complaint);
        }
        if let Some(complaint) = self.notices.complaint() {
            note("notices_failing", "", complaint);
        }
        let open = market_is_open(&self.instruments);
        let quiet = self.quiet.evaluate(passed, open, self.metrics.last_signal_timestamp_seconds.get());
        let rules = self.alerts.rules();
        let limit = rules.settings.no_signal_after;
        if !limit.is_zero() && quiet >= limit {
            let hours = limit.as_secs_f64() / 3600.0;
            note("no_signal", "", format!("no signal for {hours:.1} h of open market"));
        }
        let percent = self.errors.evaluate(passed, &self.metrics);
        let limit = rules.settings.error_rate;
        if limit > 0.0 && percent.is_some_and(|percent| percent > limit) {
            note("error_rate", "", format!("more than {limit} % of the requests of the last five minutes failed"));
        }
        wrong
    }
}

/// Measures how long there was no signal while markets were open.
#[derive(Debug, Default)]
struct SignalSilence {
    open: Duration,
    last_signal: f64,
}

impl SignalSilence {
    fn evaluate(&mut self, passed: Duration, open: bool, last_signal: f64) -> Duration {
        if last_signal != self.last_signal {
            (self.last_signal, self.open) = (last_signal, Duration::ZERO);
        } else if open {
            self.open += passed;
        }
        self.open
    }
}

/// Measures the share of failing requests.
#[derive(Debug, Default)]
struct ErrorRate {
    /// Per reading: the time it covers, the count of all requests, and the count of failed ones.
    readings: VecDeque<(Duration, f64, f64)>,
}

impl ErrorRate {
    /// Returns the share that failed within the window, in percent; `None` when fewer than `MIN_ERRORS` failed.
    fn evaluate(&mut self, passed: Duration, metrics: &Metrics) -> Option<f64> {
        let (mut all, mut failed) = (0.0, 0.0);
        for (labels, count) in Metrics::series(&metrics.http_requests_total) {
            // /ready fails on purpose while the process starts or drains.
            if labels.iter().any(|label| label == "/ready") {
                continue;
            }
            all += count;
            if labels.iter().any(|label| label.len() == 3 && label.starts_with('5')) {
                failed += count;
            }
        }
        self.update(passed, all, failed)
    }

    fn update(&mut self, passed: Duration, all: f64, failed: f64) -> Option<f64> {
        self.readings.push_back((passed, all, failed));
        let mut covered: Duration = self.readings.iter().skip(1).map(|(passed, ..)| *passed).sum();
        while covered > WINDOW && self.readings.len() > 2 {
            self.readings.pop_front();
            covered -= self.readings[0].0;
        }
        let (_, all_before, failed_before) = *self.readings.front()?;
        let (all, failed) = (all - all_before, failed - failed_before);
        (failed >= MIN_ERRORS).then(|| 100.0 * failed / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::pipeline::clock;
    use crate::store::Options;

    const HOUR: Duration = Duration::from_hours(1);

    /// The complaints of the store, the disk and the sources are tested in their rooms.
    #[tokio::test]
    async fn conditions_are_raised_only_beyond_their_limits() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let options = Options {
            signal_retention: HOUR,
            bar_retention: HOUR,
            recent_since: clock::wall(),
            messages_per_user: 1,
            message_retention: HOUR,
            max_messages: 1,
            upgrade_backup: true,
            message_type: |_| None,
            clock: clock::wall,
        };
        let store = Arc::new(Store::open(&dir.path().join("data"), options, metrics.clone()).unwrap().0);
        let instruments = Arc::new(Instruments::new(Instruments::documented()).unwrap());
        let settings = config::Alerts { no_signal_after: 4 * HOUR, error_rate: 5.0, ..config::Alerts::default() };
        let alerts = Alerts::new(&settings, metrics.clone(), clock::wall).unwrap();
        let mut conditions = Conditions {
            alerts,
            store: store.clone(),
            disk: Arc::new(Disk::new(dir.path().to_owned(), 0)),
            notices: Notices::off(instruments.clone(), Arc::new(clock::wall)),
            states: SourceStates::new(&metrics),
            instruments,
            metrics: metrics.clone(),
            quiet: SignalSilence { open: Duration::from_secs(4 * 3600 - 1), last_signal: 0.0 },
            errors: ErrorRate::default(),
        };
        let mut raised = |passed| conditions.evaluate(passed).into_keys().map(|key| key.alert).collect::<Vec<_>>();
        assert_eq!(raised(Duration::ZERO), [""; 0]);
        let requests =
            |status, count| metrics.http_requests_total.with_label_values(&["/x", "GET", status]).inc_by(count);
        requests("200", 190);
        requests("503", 10);
        assert_eq!(raised(Duration::ZERO), [""; 0], "5 % is not more than 5 %");
        requests("500", 1);
        assert_eq!(raised(Duration::ZERO), ["error_rate"]);
        conditions.quiet.open = 4 * HOUR;
        let wrong = conditions.evaluate(Duration::ZERO);
        assert_eq!(wrong.keys().map(|key| key.alert).collect::<Vec<_>>(), ["error_rate", "no_signal"]);
        assert!(wrong.values().any(|message| message == "no signal for 4.0 h of open market"), "{wrong:?}");
        metrics.last_signal_timestamp_seconds.set(1.0);
        assert_eq!(conditions.evaluate(Duration::ZERO).len(), 1, "a signal ends the silence");
        store.close().await.unwrap();
    }

    #[test]
    fn only_open_hours_count_as_silence() {
        let mut quiet = SignalSilence::default();
        let looks = [(true, 0.0), (true, 0.0), (false, 0.0), (true, 0.0), (true, 7.0), (true, 7.0), (false, 7.0)];
        let hours = looks.map(|(open, signal)| quiet.evaluate(HOUR, open, signal).as_secs() / 3600);
        assert_eq!(hours, [1, 2, 2, 3, 0, 1, 1]);
    }

    #[test]
    fn the_error_rate_covers_the_last_minutes() {
        let minute = Duration::from_mins(1);
        let mut errors = ErrorRate::default();
        assert_eq!(errors.update(minute, 1000.0, 500.0), None, "the first reading has nothing to compare with");
        assert_eq!(errors.update(minute, 1010.0, 509.0), None, "too few to tell");
        assert_eq!(errors.update(minute, 1100.0, 510.0), Some(10.0));
        for _ in 0..5 {
            errors.update(minute, 1200.0, 510.0);
        }
        assert_eq!(errors.update(minute, 1300.0, 510.0), None, "it is over");
        assert!(errors.readings.len() < 8, "{}", errors.readings.len());
    }

    #[test]
    fn only_the_status_label_marks_an_error() {
        let metrics = Metrics::new().unwrap();
        let mut errors = ErrorRate::default();
        errors.evaluate(Duration::ZERO, &metrics);
        for (route, status, count) in [("/api/signals", "503", 10), ("/api/signals", "200", 30), ("/ready", "503", 99)]
        {
            metrics.http_requests_total.with_label_values(&[route, "POST", status]).inc_by(count);
        }
        assert_eq!(errors.evaluate(Duration::from_secs(1), &metrics), Some(25.0));
    }
}
