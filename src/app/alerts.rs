//! What is worth waking somebody for: the conditions that alerts are raised by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::sources::market_is_open;
use crate::alerts::{ActiveConditions, Key};
use crate::config;
use crate::domain::Instruments;
use crate::sources::SourceStates;
use crate::store::{Health, Store};
use crate::telemetry::{Disk, Metrics};

/// Failing requests are counted over this time.
const WINDOW: Duration = Duration::from_mins(5);
/// So few failing requests are no alert, whatever their share is.
const LEAST_ERRORS: f64 = 10.0;

/// All conditions of a process.
pub(super) struct Conditions {
    pub(super) settings: config::Alerts,
    pub(super) store: Arc<Store>,
    pub(super) disk: Arc<Disk>,
    pub(super) states: SourceStates,
    pub(super) instruments: Arc<Instruments>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) quiet: Quiet,
    pub(super) errors: Errors,
}

impl Conditions {
    /// What is wrong now, `passed` after the last look.
    pub(super) fn look(&mut self, passed: Duration) -> ActiveConditions {
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
        let open = market_is_open(&self.instruments);
        let quiet = self.quiet.look(passed, open, self.metrics.last_signal_seconds.get());
        let limit = self.settings.no_signal_after;
        if !limit.is_zero() && quiet >= limit {
            let hours = limit.as_secs_f64() / 3600.0;
            note("no_signal", "", format!("no signal for {hours:.1} h of open market"));
        }
        let percent = self.errors.look(passed, &self.metrics);
        if self.settings.error_rate > 0.0 && percent.is_some_and(|percent| percent > self.settings.error_rate) {
            let limit = self.settings.error_rate;
            note("error_rate", "", format!("more than {limit} % of the requests of the last five minutes failed"));
        }
        wrong
    }
}

/// How long there was no signal while markets were open.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    open: Duration,
    seen: f64,
}

impl Quiet {
    fn look(&mut self, passed: Duration, open: bool, last_signal: f64) -> Duration {
        if last_signal != self.seen {
            (self.seen, self.open) = (last_signal, Duration::ZERO);
        } else if open {
            self.open += passed;
        }
        self.open
    }
}

/// How many requests fail.
#[derive(Debug, Default)]
pub(super) struct Errors {
    /// Time that each reading covers, all requests by then, and those that failed.
    readings: VecDeque<(Duration, f64, f64)>,
}

impl Errors {
    /// The share that failed within the window, in percent; `None` when hardly any did.
    fn look(&mut self, passed: Duration, metrics: &Metrics) -> Option<f64> {
        let (mut all, mut failed) = (0.0, 0.0);
        for (labels, count) in Metrics::series(&metrics.http_requests_total) {
            // While the process starts or drains, /ready fails on purpose.
            if labels.iter().any(|label| label == "/ready") {
                continue;
            }
            all += count;
            if labels.iter().any(|label| label.len() == 3 && label.starts_with('5')) {
                failed += count;
            }
        }
        self.judge(passed, all, failed)
    }

    fn judge(&mut self, passed: Duration, all: f64, failed: f64) -> Option<f64> {
        self.readings.push_back((passed, all, failed));
        let mut covered: Duration = self.readings.iter().skip(1).map(|(passed, ..)| *passed).sum();
        while covered > WINDOW && self.readings.len() > 2 {
            self.readings.pop_front();
            covered -= self.readings[0].0;
        }
        let (_, all_before, failed_before) = *self.readings.front()?;
        let (all, failed) = (all - all_before, failed - failed_before);
        (failed >= LEAST_ERRORS).then(|| 100.0 * failed / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::clock;
    use crate::store::Options;

    const HOUR: Duration = Duration::from_hours(1);

    /// What the store, the disk and the sources complain of is tested where they do.
    #[tokio::test]
    async fn silence_and_failures_are_told_of_beyond_their_limits_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let options = Options {
            signal_retention: HOUR,
            bar_retention: HOUR,
            recent_since: clock::wall(),
            messages_per_user: 1,
            message_retention: HOUR,
            max_messages: 1,
            clock: clock::wall,
        };
        let store = Arc::new(Store::open(&dir.path().join("data"), options, metrics.clone()).unwrap().0);
        let mut conditions = Conditions {
            settings: config::Alerts { no_signal_after: 4 * HOUR, error_rate: 5.0, ..config::Alerts::default() },
            store: store.clone(),
            disk: Arc::new(Disk::new(dir.path().to_owned(), 0)),
            states: SourceStates::new(&metrics),
            instruments: Arc::new(Instruments::new(Instruments::documented()).unwrap()),
            metrics: metrics.clone(),
            quiet: Quiet { open: Duration::from_secs(4 * 3600 - 1), seen: 0.0 },
            errors: Errors::default(),
        };
        let mut told = |passed| conditions.look(passed).into_keys().map(|key| key.alert).collect::<Vec<_>>();
        assert_eq!(told(Duration::ZERO), [""; 0]);
        let requests =
            |status, count| metrics.http_requests_total.with_label_values(&["/x", "GET", status]).inc_by(count);
        requests("200", 190);
        requests("503", 10);
        assert_eq!(told(Duration::ZERO), [""; 0], "5 % is not more than 5 %");
        requests("500", 1);
        assert_eq!(told(Duration::ZERO), ["error_rate"]);
        conditions.quiet.open = 4 * HOUR;
        let wrong = conditions.look(Duration::ZERO);
        assert_eq!(wrong.keys().map(|key| key.alert).collect::<Vec<_>>(), ["error_rate", "no_signal"]);
        assert!(wrong.values().any(|message| message == "no signal for 4.0 h of open market"), "{wrong:?}");
        metrics.last_signal_seconds.set(1.0);
        assert_eq!(conditions.look(Duration::ZERO).len(), 1, "a signal ends the silence");
        store.close().await.unwrap();
    }

    #[test]
    fn only_open_hours_count_and_a_signal_begins_anew() {
        let mut quiet = Quiet::default();
        let looks = [(true, 0.0), (true, 0.0), (false, 0.0), (true, 0.0), (true, 7.0), (true, 7.0), (false, 7.0)];
        let hours = looks.map(|(open, signal)| quiet.look(HOUR, open, signal).as_secs() / 3600);
        assert_eq!(hours, [1, 2, 2, 3, 0, 1, 1]);
    }

    #[test]
    fn errors_are_a_share_of_the_last_minutes() {
        let minute = Duration::from_mins(1);
        let mut errors = Errors::default();
        assert_eq!(errors.judge(minute, 1000.0, 500.0), None, "of the time before nothing is known");
        assert_eq!(errors.judge(minute, 1010.0, 509.0), None, "too few to tell");
        assert_eq!(errors.judge(minute, 1100.0, 510.0), Some(10.0));
        for _ in 0..5 {
            errors.judge(minute, 1200.0, 510.0);
        }
        assert_eq!(errors.judge(minute, 1300.0, 510.0), None, "it is over");
        assert!(errors.readings.len() < 8, "{}", errors.readings.len());
    }

    #[test]
    fn statuses_are_told_from_routes_and_methods() {
        let metrics = Metrics::new().unwrap();
        let mut errors = Errors::default();
        errors.look(Duration::ZERO, &metrics);
        for (route, status, count) in [("/api/signals", "503", 10), ("/api/signals", "200", 30), ("/ready", "503", 99)]
        {
            metrics.http_requests_total.with_label_values(&[route, "POST", status]).inc_by(count);
        }
        assert_eq!(errors.look(Duration::from_secs(1), &metrics), Some(25.0));
    }
}
