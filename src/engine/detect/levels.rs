//! The highs and lows of the previous trading day and of the last killzones.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::{Candle, Killzone, trading_day};

/// The highest and the lowest price of a span of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
}

impl Range {
    fn of(candle: &Candle) -> Self {
        Self { high: candle.high, low: candle.low }
    }

    fn extend(&mut self, candle: &Candle) {
        self.high = self.high.max(candle.high);
        self.low = self.low.min(candle.low);
    }
}

/// The ranges of trading days, which begin at 17:00 New York time, and of killzones. A bar belongs to the day and the
/// killzone in which it opens.
#[derive(Debug, Clone, Default)]
pub struct MarketLevels {
    today: Option<(NaiveDate, Range)>,
    previous_day: Option<Range>,
    /// The killzone of the last bar, and the day on which it opened.
    killzone: Option<(Killzone, NaiveDate, Range)>,
    last_killzones: BTreeMap<Killzone, Range>,
}

impl MarketLevels {
    /// Adds the next bar.
    pub fn push(&mut self, opened_at: DateTime<Utc>, candle: &Candle) {
        let day = trading_day(opened_at);
        match &mut self.today {
            Some((today, range)) if *today == day => range.extend(candle),
            today => {
                let ended = today.replace((day, Range::of(candle)));
                self.previous_day = ended.map(|(_, range)| range).or(self.previous_day);
            }
        }
        let now = Killzone::active_at(opened_at).map(|zone| (zone, day));
        if let Some((zone, since, range)) = &mut self.killzone {
            if now == Some((*zone, *since)) {
                return range.extend(candle);
            }
            self.last_killzones.insert(*zone, *range);
        }
        self.killzone = now.map(|(zone, day)| (zone, day, Range::of(candle)));
    }

    /// Completes the day and the killzone of the last bar if they have ended at `now`, although no later bar says so.
    pub fn close(&mut self, now: DateTime<Utc>) {
        if let Some((_, range)) = self.today.take_if(|(day, _)| *day != trading_day(now)) {
            self.previous_day = Some(range);
        }
        let current = Killzone::active_at(now).map(|zone| (zone, trading_day(now)));
        if let Some((zone, _, range)) = self.killzone.take_if(|(zone, day, _)| current != Some((*zone, *day))) {
            self.last_killzones.insert(zone, range);
        }
    }

    /// Returns the range of the last completed trading day with bars (PDH and PDL).
    pub fn previous_day(&self) -> Option<Range> {
        self.previous_day
    }

    /// Returns the range of the last completed session of a killzone.
    pub fn last(&self, killzone: Killzone) -> Option<Range> {
        self.last_killzones.get(&killzone).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;
    use crate::engine::detect::tests::candle;

    #[test]
    fn days_and_killzones_roll_over() {
        let mut levels = MarketLevels::default();
        let mut push = |at: &str, low: f64, high: f64| {
            levels.push(parse_time(at).unwrap(), &candle(low, high, low, high));
            (levels.previous_day(), levels.last(Killzone::London))
        };
        // New York is UTC−5 in January.
        push("2026-01-14T21:59:00Z", 1.0, 9.0);
        let tuesday = Some(Range { high: 9.0, low: 1.0 });
        assert_eq!(push("2026-01-14T22:00:00Z", 2.0, 3.0), (tuesday, None), "17:00");
        assert_eq!(push("2026-01-15T07:00:00Z", 2.5, 4.0), (tuesday, None), "London opens");
        assert_eq!(push("2026-01-15T09:59:00Z", 2.2, 3.0), (tuesday, None));
        let london = Some(Range { high: 4.0, low: 2.2 });
        assert_eq!(push("2026-01-15T10:00:00Z", 2.9, 3.0), (tuesday, london), "London has ended");
        // A day without bars is skipped.
        let wednesday = Some(Range { high: 4.0, low: 2.0 });
        assert_eq!(push("2026-01-18T23:00:00Z", 5.0, 6.0), (wednesday, london));
    }

    #[test]
    fn a_day_ends_without_another_bar() {
        let mut levels = MarketLevels::default();
        levels.push(parse_time("2026-01-15T08:00:00Z").unwrap(), &candle(1.0, 2.0, 1.0, 2.0));
        let range = Some(Range { high: 2.0, low: 1.0 });
        for (now, london, day) in [
            ("2026-01-15T09:59:00Z", None, None),
            ("2026-01-15T10:00:00Z", range, None),
            ("2026-01-15T21:59:00Z", range, None),
            ("2026-01-15T22:00:00Z", range, range),
        ] {
            levels.close(parse_time(now).unwrap());
            assert_eq!((levels.last(Killzone::London), levels.previous_day()), (london, day), "{now}");
        }
    }

    #[test]
    fn a_killzone_of_another_day_is_separate() {
        let mut levels = MarketLevels::default();
        levels.push(parse_time("2026-01-14T08:00:00Z").unwrap(), &candle(1.0, 2.0, 1.0, 2.0));
        levels.push(parse_time("2026-01-15T08:00:00Z").unwrap(), &candle(3.0, 4.0, 3.0, 4.0));
        assert_eq!(levels.last(Killzone::London), Some(Range { high: 2.0, low: 1.0 }));
    }
}
