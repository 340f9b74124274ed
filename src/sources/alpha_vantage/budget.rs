//! The calls of a day: so many and no more, spread over the day, and remembered over restarts.
//!
//! A call is written down before it is made: after `kill -9` it counts as made.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::sources::Budget as Report;

const DAY: Duration = Duration::from_hours(24);

/// What is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Spent {
    /// The day, in UTC.
    day: NaiveDate,
    /// Calls made on it.
    calls: u32,
    /// When all calls made so far would have been due, evenly spread: the theoretical arrival time of the generic cell
    /// rate algorithm (ITU-T I.371).
    due: DateTime<Utc>,
}

/// The beginning of the next day, in UTC.
fn midnight_after(day: NaiveDate) -> DateTime<Utc> {
    day.succ_opt().unwrap_or(day).and_time(NaiveTime::MIN).and_utc()
}

/// The calls of a day.
#[derive(Debug)]
pub(super) struct Budget {
    file: PathBuf,
    daily: u32,
    /// So many calls may be made at once, to know every instrument's price soon.
    burst: u32,
    spent: Spent,
}

impl Budget {
    /// Reads what was spent so far; nothing if there is no such file yet.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub(super) fn open(file: PathBuf, daily: u32, burst: u32, now: DateTime<Utc>) -> io::Result<Self> {
        let new = Spent { day: now.date_naive(), calls: 0, due: now };
        let spent = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|_| {
                tracing::warn!(file = %file.display(), "is damaged; the calls of this day are counted anew");
                new
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => new,
            Err(error) => return Err(error),
        };
        Ok(Self { file, daily, burst, spent })
    }

    /// The time between two calls that are evenly spread.
    fn step(&self) -> TimeDelta {
        TimeDelta::from_std(DAY / self.daily.max(1)).unwrap_or(TimeDelta::MAX)
    }

    /// How long to wait before the next call; zero when it may be made now.
    pub(super) fn wait(&mut self, now: DateTime<Utc>) -> Duration {
        self.turn(now);
        let at = if self.left() == 0 {
            midnight_after(now.date_naive())
        } else {
            self.spent.due - self.step() * i32::try_from(self.burst.saturating_sub(1)).unwrap_or(i32::MAX)
        };
        (at - now).to_std().unwrap_or_default()
    }

    /// How much of this day's calls is used.
    pub(super) fn report(&self) -> Report {
        Report { used: self.spent.calls, limit: self.daily, resets_at: midnight_after(self.spent.day) }
    }

    /// Calls that are left of this day.
    pub(super) fn left(&self) -> u32 {
        self.daily.saturating_sub(self.spent.calls)
    }

    /// Notes a call that is about to be made.
    ///
    /// # Errors
    /// When it cannot be written down; it must not be made then.
    pub(super) fn spend(&mut self, now: DateTime<Utc>) -> io::Result<()> {
        self.turn(now);
        let mut spent = self.spent.clone();
        spent.calls = spent.calls.saturating_add(1);
        spent.due = spent.due.max(now) + self.step();
        self.write(spent)
    }

    /// Notes that the provider counts otherwise: nothing is left of this day.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(super) fn exhaust(&mut self, now: DateTime<Utc>) -> io::Result<()> {
        self.turn(now);
        self.write(Spent { calls: self.daily, ..self.spent.clone() })
    }

    /// A new day has its own calls; a clock that was set back by less than a day gives none twice.
    fn turn(&mut self, now: DateTime<Utc>) {
        let today = now.date_naive();
        let ahead = self.spent.day.signed_duration_since(today);
        if ahead < TimeDelta::zero() || ahead > TimeDelta::days(1) {
            (self.spent.day, self.spent.calls) = (today, 0);
        }
        // However far in the future a wrong clock has put it.
        let farthest = now + self.step() * i32::try_from(self.burst).unwrap_or(i32::MAX);
        self.spent.due = self.spent.due.min(farthest);
    }

    /// Whole or not at all: a file beside it takes its place.
    fn write(&mut self, spent: Spent) -> io::Result<()> {
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

    fn open(folder: &tempfile::TempDir, daily: u32, now: DateTime<Utc>) -> Budget {
        Budget::open(folder.path().join("calls.json"), daily, 4, now).unwrap()
    }

    #[test]
    fn calls_are_spread_over_the_day_after_the_first_few() {
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
    fn a_restart_gives_no_call_twice() {
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
    fn what_the_provider_counts_wins() {
        let folder = tempfile::tempdir().unwrap();
        let now = at("2026-01-15T12:00:00Z");
        let mut budget = open(&folder, 25, now);
        budget.exhaust(now).unwrap();
        assert_eq!((budget.left(), open(&folder, 25, now).wait(now)), (0, Duration::from_hours(12)));
    }

    #[test]
    fn a_call_that_cannot_be_written_down_is_not_counted() {
        let now = at("2026-01-15T12:00:00Z");
        let mut budget = Budget::open("/nowhere/calls.json".into(), 25, 4, now).unwrap();
        assert!(budget.spend(now).is_err() && budget.left() == 25);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("calls.json"), "{").unwrap();
        assert_eq!(open(&folder, 25, now).left(), 25, "a damaged file");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// However the clock runs and how often the process restarts: never more than the day has.
        #[test]
        fn no_day_has_more_calls_than_it_may(daily in 1u32..40, steps in proptest::collection::vec((0i64..7200, any::<bool>()), 1..200)) {
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
