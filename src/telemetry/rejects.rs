//! The latest rejects, for operators.

use std::collections::VecDeque;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// The number of rejects that are kept.
const MAX_REJECTS: usize = 50;

/// The latest rejects. They contain only our own words and nothing from the request, which may contain tokens.
#[derive(Debug, Default)]
pub struct Rejects(Mutex<VecDeque<Reject>>);

/// A rejected push, connection or request, with its repetitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// When it was last rejected.
    pub at: DateTime<Utc>,
    /// The kind, such as `signal`, `tick` or `connection`.
    pub kind: &'static str,
    /// The code of the reason, such as `validation_failed`.
    pub reason: &'static str,
    /// How often it was rejected.
    pub times: u64,
}

impl Rejects {
    /// Records a reject at the current time.
    pub fn record(&self, kind: &'static str, reason: &'static str) {
        self.record_at(SystemTime::now().into(), kind, reason);
    }

    /// Records a reject. Repetitions are counted in one entry, so that a flood does not hide other rejects.
    fn record_at(&self, at: DateTime<Utc>, kind: &'static str, reason: &'static str) {
        let mut rejects = self.0.lock();
        let same = rejects.iter().position(|reject| (reject.kind, reject.reason) == (kind, reason));
        let before = same.and_then(|index| rejects.remove(index)).map_or(0, |reject| reject.times);
        rejects.push_front(Reject { at, kind, reason, times: before + 1 });
        rejects.truncate(MAX_REJECTS);
    }

    /// Returns the rejects, latest first.
    pub fn list(&self) -> Vec<Reject> {
        self.0.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_does_not_hide_other_rejects() {
        let rejects = Rejects::default();
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        rejects.record_at(at(1), "signal", "validation_failed");
        for second in 2..1000 {
            rejects.record_at(at(second), "price", "unknown_symbol");
        }
        rejects.record_at(at(1000), "signal", "validation_failed");
        let list: Vec<_> = rejects.list().into_iter().map(|r| (r.at, r.kind, r.times)).collect();
        assert_eq!(list, [(at(1000), "signal", 2), (at(999), "price", 998)]);
    }
}
