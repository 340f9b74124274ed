//! What was lately not taken, for the operator's eyes.

use std::collections::VecDeque;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// Rejects that are remembered.
const MOST: usize = 50;

/// The last rejects. They hold our own words only, and nothing of what was sent: tokens may be in there.
#[derive(Debug, Default)]
pub struct Rejects(Mutex<VecDeque<Reject>>);

/// Something that was refused, once or several times in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// When, the last time.
    pub at: DateTime<Utc>,
    /// What it was, such as `signal`, `tick` or `connection`.
    pub kind: &'static str,
    /// The code of the reason, such as `validation_failed`.
    pub reason: &'static str,
    /// How often in a row.
    pub times: u64,
}

impl Rejects {
    /// Remembers one of now.
    pub fn note(&self, kind: &'static str, reason: &'static str) {
        self.note_at(SystemTime::now().into(), kind, reason);
    }

    /// Repetitions of the last ones of its sort are counted, so that a flood does not hide the others.
    fn note_at(&self, at: DateTime<Utc>, kind: &'static str, reason: &'static str) {
        let mut rejects = self.0.lock();
        let same = rejects.iter().position(|reject| (reject.kind, reject.reason) == (kind, reason));
        let before = same.and_then(|index| rejects.remove(index)).map_or(0, |reject| reject.times);
        rejects.push_front(Reject { at, kind, reason, times: before + 1 });
        rejects.truncate(MOST);
    }

    /// The last ones, latest first.
    pub fn list(&self) -> Vec<Reject> {
        self.0.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_come_first_and_a_flood_hides_nothing() {
        let rejects = Rejects::default();
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        rejects.note_at(at(1), "signal", "validation_failed");
        for second in 2..1000 {
            rejects.note_at(at(second), "price", "unknown_symbol");
        }
        rejects.note_at(at(1000), "signal", "validation_failed");
        let list: Vec<_> = rejects.list().into_iter().map(|r| (r.at, r.kind, r.times)).collect();
        assert_eq!(list, [(at(1000), "signal", 2), (at(999), "price", 998)]);
    }
}
