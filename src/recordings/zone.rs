//! Converts local times of a file to instants.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, Timelike, Utc};

use crate::domain::Timezone;

/// A timezone that caches the offset of the previous hour, since most rows share it.
#[derive(Debug)]
pub(super) struct Zone {
    zone: Timezone,
    known: Option<(NaiveDateTime, TimeDelta)>,
}

impl Zone {
    pub(super) fn new(zone: Timezone) -> Self {
        Self { zone, known: None }
    }

    /// Returns the instant of a local time; `None` in the hour that daylight saving skips. In the hour that it repeats,
    /// returns the first of the two instants that is not before `last`.
    pub(super) fn resolve(&mut self, local: NaiveDateTime, last: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let hour = local.date().and_hms_opt(local.hour(), local.minute() / 30 * 30, 0)?;
        if let Some((known, ahead)) = self.known
            && known == hour
        {
            return Some((local - ahead).and_utc());
        }
        match self.zone.resolve(local) {
            LocalResult::Single(at) => {
                self.known = Some((hour, local - at.naive_utc()));
                Some(at)
            }
            LocalResult::Ambiguous(first, second) => {
                Some(if last.is_some_and(|last| first < last) { second } else { first })
            }
            LocalResult::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::iso;

    #[test]
    fn a_repeated_hour_follows_the_order_of_rows() {
        let mut zone = Zone::new("America/New_York".parse().unwrap());
        let mut last = None;
        let mut times = Vec::new();
        for local in
            ["2026-11-01 00:30", "2026-11-01 01:30", "2026-11-01 01:45", "2026-11-01 01:30", "2026-11-01 02:30"]
        {
            last = zone.resolve(NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M").unwrap(), last);
            times.push(iso(last.unwrap())[11..16].to_owned());
        }
        assert_eq!(times, ["04:30", "05:30", "05:45", "06:30", "07:30"]);
        assert_eq!(
            zone.resolve(NaiveDateTime::parse_from_str("2026-03-08 02:30", "%Y-%m-%d %H:%M").unwrap(), None),
            None
        );
    }
}
