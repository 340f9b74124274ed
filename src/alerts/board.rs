//! The active alerts: each is raised once, repeated at an interval, and resolved once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::ActiveConditions;
use crate::domain::iso;

/// How long a condition must be gone before its alert is resolved, so that a flapping condition is one alert. A lost
/// source looks healthy during every reconnect.
const SETTLE_TIME: Duration = Duration::from_secs(30);

/// The identity of an alert: its name and its subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// For example `source_mute`.
    pub alert: &'static str,
    /// For example the source's name; empty for an alert without a subject.
    pub subject: String,
}

/// A change of an alert's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlertChange {
    Raised,
    Repeated,
    Resolved,
}

/// A notification about an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertNotice {
    pub(super) step: AlertChange,
    pub(super) key: Key,
    pub(super) message: String,
    pub(super) since: DateTime<Utc>,
    pub(super) at: DateTime<Utc>,
}

impl AlertNotice {
    /// Returns the webhook body in the form that Standard Webhooks recommends: type, timestamp, data.
    pub(super) fn body(&self) -> String {
        let kind = match self.step {
            AlertChange::Raised => "alert.raised",
            AlertChange::Repeated => "alert.repeated",
            AlertChange::Resolved => "alert.resolved",
        };
        let Key { alert, subject } = &self.key;
        json!({
            "type": kind,
            "timestamp": iso(self.at),
            "data": {
                "alert": alert, "subject": subject, "message": self.message, "since": iso(self.since),
                "server": "orion-server", "version": env!("CARGO_PKG_VERSION"),
            },
        })
        .to_string()
    }
}

#[derive(Debug)]
struct AlertEntry {
    message: String,
    since: (Instant, DateTime<Utc>),
    /// Time of the last notification; `None` until the alert is raised.
    notified: Option<Instant>,
    /// Since when the condition is gone.
    gone: Option<Instant>,
}

/// All raised alerts, and the conditions that may soon raise one.
#[derive(Debug)]
pub(super) struct Board {
    /// An alert is raised when its condition has held for this long.
    pub(super) pending_for: Duration,
    /// An alert is repeated at this interval; zero for never.
    pub(super) repeat_every: Duration,
    entries: BTreeMap<Key, AlertEntry>,
    names: BTreeSet<&'static str>,
}

impl Board {
    /// Creates an empty board.
    pub(super) fn new(pending_for: Duration, repeat_every: Duration) -> Self {
        Self { pending_for, repeat_every, entries: BTreeMap::new(), names: BTreeSet::new() }
    }

    /// Applies the current conditions and returns the notifications to send.
    pub(super) fn update(&mut self, now: Instant, wall: DateTime<Utc>, wrong: &ActiveConditions) -> Vec<AlertNotice> {
        for (key, message) in wrong {
            self.names.insert(key.alert);
            let entry = self.entries.entry(key.clone()).or_insert_with(|| AlertEntry {
                message: String::new(),
                since: (now, wall),
                notified: None,
                gone: None,
            });
            entry.message.clone_from(message);
            entry.gone = None;
        }
        let mut notices = Vec::new();
        self.entries.retain(|key, entry| {
            let is_wrong = wrong.contains_key(key);
            let step = match (is_wrong, entry.notified) {
                (true, None) if now.duration_since(entry.since.0) >= self.pending_for => Some(AlertChange::Raised),
                (true, Some(notified))
                    if !self.repeat_every.is_zero() && now.duration_since(notified) >= self.repeat_every =>
                {
                    Some(AlertChange::Repeated)
                }
                (true, _) => None,
                (false, notified) => {
                    let gone = *entry.gone.get_or_insert(now);
                    if now.duration_since(gone) < SETTLE_TIME {
                        None
                    } else if notified.is_some() {
                        Some(AlertChange::Resolved)
                    } else {
                        // The condition ended before the alert was raised.
                        return false;
                    }
                }
            };
            if let Some(step) = step {
                entry.notified = Some(now);
                let (key, message) = (key.clone(), entry.message.clone());
                notices.push(AlertNotice { step, key, message, since: entry.since.1, at: wall });
            }
            step != Some(AlertChange::Resolved)
        });
        notices
    }

    /// Returns the number of raised alerts by name, including names that were raised before.
    pub(super) fn raised(&self) -> impl Iterator<Item = (&'static str, i64)> {
        self.names.iter().map(|name| {
            let raised = self.entries.iter().filter(|(key, entry)| key.alert == *name && entry.notified.is_some());
            (*name, raised.count() as i64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wrong(subjects: &[&str]) -> ActiveConditions {
        let key = |subject: &&str| Key { alert: "source_mute", subject: (*subject).to_owned() };
        subjects.iter().map(|subject| (key(subject), format!("{subject} is mute"))).collect()
    }

    /// Runs the board second by second, and returns the second of each notification.
    fn notifications(board: &mut Board, script: &[(u32, &[&str])]) -> Vec<(u32, AlertChange, String)> {
        let (start, wall) = (Instant::now(), DateTime::UNIX_EPOCH);
        let (mut second, mut sent) = (0, Vec::new());
        for (until, subjects) in script {
            while second < *until {
                let notices = board.update(start + second * SECOND, wall + second * SECOND, &wrong(subjects));
                sent.extend(notices.into_iter().map(|notice| (second, notice.step, notice.key.subject)));
                second += 1;
            }
        }
        sent
    }

    #[test]
    fn an_alert_is_raised_once_and_resolved_once() {
        let mut board = Board::new(10 * SECOND, Duration::ZERO);
        let steps = notifications(&mut board, &[(5, &[]), (100, &["a"]), (1000, &[])]);
        assert_eq!(steps, [(15, AlertChange::Raised, "a".into()), (130, AlertChange::Resolved, "a".into())]);
        assert_eq!(board.raised().collect::<Vec<_>>(), [("source_mute", 0)]);
        assert!(board.entries.is_empty());
    }

    #[test]
    fn short_problems_are_silent_and_flapping_alerts_once() {
        let mut board = Board::new(10 * SECOND, Duration::ZERO);
        assert_eq!(notifications(&mut board, &[(9, &["a"]), (40, &[]), (49, &["a"]), (90, &[])]), []);
        assert!(board.entries.is_empty());
        let mut board = Board::new(Duration::ZERO, Duration::ZERO);
        let steps = notifications(&mut board, &[(10, &["a"]), (39, &[]), (40, &["a"]), (69, &[]), (100, &["a"])]);
        assert_eq!(steps, [(0, AlertChange::Raised, "a".into())]);
        assert_eq!(board.raised().collect::<Vec<_>>(), [("source_mute", 1)]);
    }

    #[test]
    fn reconnecting_in_vain_raises_an_alert() {
        let mut board = Board::new(60 * SECOND, Duration::ZERO);
        let attempts: Vec<(u32, &[&str])> =
            (0..10).flat_map(|attempt| [(attempt * 30 + 5, &["a"][..]), (attempt * 30 + 30, &[][..])]).collect();
        assert_eq!(notifications(&mut board, &attempts), [(60, AlertChange::Raised, "a".into())]);
    }

    #[test]
    fn an_alert_repeats_for_each_subject() {
        let mut board = Board::new(Duration::ZERO, 60 * SECOND);
        let steps = notifications(&mut board, &[(30, &["a"]), (130, &["a", "b"]), (200, &["b"])]);
        let expected = [
            (0, AlertChange::Raised, "a"),
            (30, AlertChange::Raised, "b"),
            (60, AlertChange::Repeated, "a"),
            (90, AlertChange::Repeated, "b"),
            (120, AlertChange::Repeated, "a"),
            (150, AlertChange::Repeated, "b"),
            (160, AlertChange::Resolved, "a"),
        ];
        assert_eq!(steps, expected.map(|(second, step, subject)| (second, step, subject.to_owned())));
    }

    #[test]
    fn the_body_has_the_problem_and_its_start() {
        let mut board = Board::new(Duration::ZERO, Duration::ZERO);
        let notices = board.update(Instant::now(), DateTime::UNIX_EPOCH, &wrong(&["a"]));
        let body: serde_json::Value = serde_json::from_str(&notices[0].body()).unwrap();
        let data = json!({
            "alert": "source_mute", "subject": "a", "message": "a is mute", "since": "1970-01-01T00:00:00.000Z",
            "server": "orion-server", "version": env!("CARGO_PKG_VERSION"),
        });
        assert_eq!(body, json!({"type": "alert.raised", "timestamp": "1970-01-01T00:00:00.000Z", "data": data}));
    }
}
