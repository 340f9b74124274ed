//! Which steps a lane tells.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::lane::age;
use super::text::{SignalNotice, TextStyle};
use crate::config::NoticeRules;
use crate::domain::{Instruments, NoticeStep, SetupKind, Signal, Symbol};

/// The rules of a channel, with the catalogue's names of its instruments.
#[derive(Debug, Clone)]
pub(super) struct LaneRules {
    symbols: Vec<Symbol>,
    rules: NoticeRules,
    pub(super) style: TextStyle,
}

impl LaneRules {
    /// Resolves the names of the settings, which were checked.
    pub(super) fn new(rules: NoticeRules, instruments: &Arc<Instruments>) -> Self {
        let resolve = |name: &String| instruments.resolve(name).ok().map(|instrument| instrument.symbol.clone());
        let symbols = rules.symbols.iter().filter_map(resolve).collect();
        let style = TextStyle::new(rules.language, rules.time_zone, rules.template.clone(), instruments.clone());
        Self { symbols, rules, style }
    }

    /// Whether messages are sent for a step.
    pub(super) fn tells(&self, step: NoticeStep) -> bool {
        self.rules.steps.contains(&step)
    }

    /// Returns why no message is sent for a step, as a metric label; `None` when it is to be sent.
    pub(super) fn skips(&self, notice: &SignalNotice, now: DateTime<Utc>) -> Option<&'static str> {
        if !self.tells(notice.step) || !self.takes_signal(&notice.signal) {
            Some("rules")
        } else if age(now, notice.at) > self.rules.max_age {
            Some("old")
        } else {
            // What happens in the quiet hours is not sent after them either.
            (self.is_quiet(notice.at) || self.is_quiet(now)).then_some("quiet")
        }
    }

    fn takes_signal(&self, signal: &Signal) -> bool {
        let setup = || SetupKind::named_in(&signal.reason);
        (self.symbols.is_empty() || self.symbols.contains(&signal.symbol))
            && (self.rules.setups.is_empty() || setup().is_some_and(|setup| self.rules.setups.contains(&setup)))
            && signal.confidence >= self.rules.min_score
    }

    fn is_quiet(&self, at: DateTime<Utc>) -> bool {
        self.rules.quiet_hours.iter().any(|hours| hours.contains(at, self.rules.time_zone))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::TelegramSettings;
    use crate::domain::QuietHours;
    use crate::notify::text::tests::signal;

    #[test]
    fn every_rule_can_keep_a_signal_back() {
        let notice = |step| {
            let signal = signal("a");
            SignalNotice { step, at: signal.updated_at, signal, targets_hit: 0, outcome: None }
        };
        let instruments = Arc::new(Instruments::new(Instruments::documented()).unwrap());
        let skipped = |change: fn(&mut NoticeRules), step, late: Duration| {
            let mut rules = TelegramSettings::default().rules();
            change(&mut rules);
            let notice = notice(step);
            LaneRules::new(rules, &instruments).skips(&notice, notice.at + late)
        };
        let (pending, at_once) = (NoticeStep::Pending, Duration::ZERO);
        assert_eq!(skipped(|_| {}, pending, at_once), None);
        assert_eq!(skipped(|_| {}, NoticeStep::Closed, at_once), Some("rules"));
        assert_eq!(skipped(|rules| rules.symbols = vec!["eur/usd".to_owned()], pending, at_once), None);
        assert_eq!(skipped(|rules| rules.symbols = vec!["gold".to_owned()], pending, at_once), Some("rules"));
        assert_eq!(skipped(|rules| rules.setups = vec![SetupKind::MssFvg], pending, at_once), None);
        assert_eq!(skipped(|rules| rules.setups = vec![SetupKind::Bos], pending, at_once), Some("rules"));
        assert_eq!(skipped(|rules| rules.min_score = 0.85, pending, at_once), None);
        assert_eq!(skipped(|rules| rules.min_score = 0.86, pending, at_once), Some("rules"));
        assert_eq!(skipped(|_| {}, pending, Duration::from_mins(15)), None);
        assert_eq!(skipped(|_| {}, pending, Duration::from_secs(901)), Some("old"));
        let quiet = |rules: &mut NoticeRules| rules.quiet_hours = vec![QuietHours::parse("07:00-08:00").unwrap()];
        assert_eq!(skipped(quiet, pending, at_once), Some("quiet"));
    }
}
