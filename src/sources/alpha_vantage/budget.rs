//! The daily call budget: a hard limit, spread over the day, and saved across restarts.
//!
//! A call is saved before it is made: after `kill -9` it counts as made.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::telemetry::Budget;

const DAY: Duration = Duration::from_hours(24);

/// The saved state of the budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CallLog {
    /// The day, in UTC.
    day: NaiveDate,
    /// Calls made on this day.
    calls: u32,
    /// When all calls so far would have been due at an even rate: the theoretical arrival time of the generic cell rate
    /// algorithm (ITU-T I.371).
    due: DateTime<Utc>,
}

/// Returns the beginning of the next day, in UTC.
fn midnight_after(day: NaiveDate) -> DateTime<Utc> {
    day.succ_opt().unwrap_or(day).and_time(NaiveTime::MIN).and_utc()
}

/// The daily call budget.
#[derive(Debug)]
pub(super) struct CallBudget {
    file: PathBuf,
    daily: u32,
    /// How many calls may be made at once, to get every instrument's price soon.
    burst: u32,
    spent: CallLog,
}

impl CallBudget {
    /// Opens the budget; empty if the file does not exist yet.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub(super) fn open(file: PathBuf, daily: u32, burst: u32, now: DateTime<Utc>) -> io::Result<Self> {
        let new = CallLog { day: now.date_naive(), calls: 0, due: now };
        let spent = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|_| {
                tracing::warn!(file = %file.display(), "the file is damaged; the calls of this day are counted from zero");
                new
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => new,
            Err(error) => return Err(error),
        };
        Ok(Self { file, daily, burst, spent })
    }

    /// Returns the time between two calls at an even rate.
    fn step(&self) -> TimeDelta {
        TimeDelta::from_std(DAY / self.daily.max(1)).unwrap_or(TimeDelta::MAX)
    }

    /// Returns the wait before the next call; zero when it may be made now.
    pub(super) fn wait(&mut self, now: DateTime<Utc>) -> Duration {
        self.start_new_day(now);
        let at = if self.left() == 0 {
            midnight_after(now.date_naive())
        } else {
            self.spent.due - self.step() * i32::try_from(self.burst.saturating_sub(1)).unwrap_or(i32::MAX)
        };
        (at - now).to_std().unwrap_or_default()
    }

    /// Returns the used part of the budget.
    pub(super) fn report(&self) -> Budget {
        Budget { used: self.spent.calls, limit: self.daily, resets_at: midnight_after(self.spent.day) }
    }

    /// Returns the remaining calls of this day.
    pub(super) fn left(&self) -> u32 {
        self.daily.saturating_sub(self.spent.calls)
    }

    /// Saves a call before it is made.
    ///
    /// # Errors
    /// When it cannot be saved. The call must not be made then.
    pub(super) fn spend(&mut self, now: DateTime<Utc>) -> io::Result<()> {
        self.start_new_day(now);
        let mut spent = self.spent.clone();
        spent.calls = spent.calls.saturating_add(1);
        spent.due = spent.due.max(now) + self.step();
        self.write(spent)
    }

    /// Marks the whole budget of this day as used, because the provider says so.
    ///
    /// # Errors
    /// When it cannot be saved.
    pub(super) fn exhaust(&mut self, now: DateTime<Utc>) -> io::Result<()> {
        self.start_new_day(now);
        self.write(CallLog { calls: self.daily, ..self.spent.clone() })
    }

    /// Resets the budget on a new day. A clock that was set back by less than a day does not reset it again.
    fn start_new_day(&mut self, now: DateTime<Utc>) {
        let today = now.date_naive();
        let ahead = self.spent.day.signed_duration_since(today);
        if ahead < TimeDelta::zero() || ahead > TimeDelta::days(1) {
            (self.spent.day, self.spent.calls) = (today, 0);
        }
        // Bounds the due time, which a wrong clock may have set far into the future.
        let farthest = now + self.step() * i32::try_from(self.burst).unwrap_or(i32::MAX);
        self.spent.due = self.spent.due.min(farthest);
    }

    /// Writes the file atomically: a temporary file replaces it.
    fn write(&mut self, spent: CallLog) -> io::Result<()> {
        let beside = self.file.with_extension("json.new");
        std::fs::write(&beside, serde_json::to_vec(&spent)?)?;
        std::fs::rename(&beside, &self.file)?;
        self.spent = spent;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::parse_time;

    fn at(text: &str) -> DateTime<Utc> {
        parse_time(text).unwrap()
    }

    fn open(folder: &tempfile::TempDir, daily: u32, now: DateTime<Utc>) -> CallBudget {
        CallBudget::open(folder.path().join("calls.json"), daily, 4, now).unwrap()
    }

    #[test]
    fn calls_are_spread_after_the_first_few() {
        let folder = tempfile::tempdir().unwrap();
        let start = at("2026-01-15T00:00:00Z");
        let mut budget = open(&folder, 24, start);
        for _ in 0..4 {
            assert_eq!(budget.wait(start), Duration::ZERO);
            budget.spend(start).unwrap();
        }
        assert_eq!(budget.wait(start), Duration::from_hours(1));
        assert_eq!(budget.wait(start + TimeDelta::minutes(59)), Duration::from_mins(1));
    }

    #[test]
    fn a_restart_does_not_refund_calls() {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2026-01-15T12:00:00Z");
        for left in (0..3).rev() {
            let mut budget = open(&folder, 3, now);
            assert_eq!(budget.wait(now), Duration::ZERO);
            budget.spend(now).unwrap();
            assert_eq!(budget.left(), left);
        }
        let mut budget = open(&folder, 3, now);
        assert_eq!(budget.wait(now), Duration::from_hours(12), "until midnight, UTC");
        assert_eq!(budget.wait(at("2026-01-14T23:00:00Z")), Duration::from_hours(1), "a clock that was set back");
        assert_eq!(budget.wait(at("2026-01-16T12:00:00Z")), Duration::ZERO, "another day");
    }

    #[test]
    fn the_providers_count_wins() {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2026-01-15T12:00:00Z");
        let mut budget = open(&folder, 25, now);
        budget.exhaust(now).unwrap();
        assert_eq!((budget.left(), open(&folder, 25, now).wait(now)), (0, Duration::from_hours(12)));
    }

    #[test]
    fn an_unsaved_call_is_not_counted() {
        let now = at("2026-01-15T12:00:00Z");
        let mut budget = CallBudget::open("/nowhere/calls.json".into(), 25, 4, now).unwrap();
        assert!(budget.spend(now).is_err() && budget.left() == 25);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("calls.json"), "{").unwrap();
        assert_eq!(open(&folder, 25, now).left(), 25, "a damaged file");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// With any clock and any number of restarts, a day never has more calls than its budget.
        #[test]
        fn no_day_exceeds_its_calls(daily in 1u32..40, steps in proptest::collection::vec((0i64..7200, any::<bool>()), 1..200)) {
            let folder = tempfile::tempdir().unwrap();
            let mut now = at("2026-01-15T00:00:00Z");
            let mut budget = open(&folder, daily, now);
            let mut made = std::collections::BTreeMap::<NaiveDate, u32>::new();
            for (seconds, restart) in steps {
                now += TimeDelta::seconds(seconds);
                if restart {
                    budget = open(&folder, daily, now);
                }
                if budget.wait(now).is_zero() {
                    budget.spend(now).unwrap();
                    *made.entry(now.date_naive()).or_default() += 1;
                }
            }
            prop_assert!(made.values().all(|calls| *calls <= daily), "{made:?}");
        }
    }
}
