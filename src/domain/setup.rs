//! The setups that the server detects, and their rules.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::America::New_York;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BarInterval, CalibrationMap, Killzone};

/// The kinds of setups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetupKind {
    /// A change of character with displacement that leaves a fair value gap, entered at the gap.
    MssFvg,
    /// The first return to an order block.
    OrderBlock,
    /// A wick through a level of the previous day or a killzone, and a close back.
    LiquiditySweep,
    /// A break of structure with displacement, entered at the broken level.
    Bos,
    /// A deep pullback in a trend.
    PremiumDiscount,
}

impl SetupKind {
    /// All kinds in the order of their priority.
    pub const ALL: [Self; 5] = [Self::MssFvg, Self::OrderBlock, Self::LiquiditySweep, Self::Bos, Self::PremiumDiscount];

    /// Returns the name on dashboards.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MssFvg => "MSS+FVG",
            Self::OrderBlock => "Order Block retest",
            Self::LiquiditySweep => "Liquidity sweep",
            Self::Bos => "BOS confirmation",
            Self::PremiumDiscount => "Premium/Discount entry",
        }
    }

    /// Returns the name in requests and records: `mss_fvg`, `order_block`, …
    pub const fn wire_name(self) -> &'static str {
        match self {
            Self::MssFvg => "mss_fvg",
            Self::OrderBlock => "order_block",
            Self::LiquiditySweep => "liquidity_sweep",
            Self::Bos => "bos",
            Self::PremiumDiscount => "premium_discount",
        }
    }

    /// Finds the setup that a signal's reason names; the first one of several.
    pub fn named_in(reason: &str) -> Option<Self> {
        let letters = |text: &str| -> String {
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
        };
        let reason = letters(reason);
        let place = |kind: Self| {
            let short = match kind {
                Self::MssFvg => "mssfvg",
                Self::OrderBlock => "orderblock",
                Self::LiquiditySweep => "liquiditysweep",
                Self::Bos => "bosconfirmation",
                Self::PremiumDiscount => "premiumdiscount",
            };
            reason.find(short).map(|place| (place, kind))
        };
        Self::ALL.into_iter().filter_map(place).min().map(|(_, kind)| kind)
    }
}

/// A window of the New York day in which no setup is published, such as around a release of economic figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlackoutWindow {
    /// The first minute of the window, counted from midnight.
    pub begins: u32,
    /// The first minute after the window.
    pub ends: u32,
}

impl BlackoutWindow {
    /// Parses `08:25-08:35`. A window across midnight has to be written as two.
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
            (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
        };
        let (begins, ends) = text.split_once('-')?;
        let window = Self { begins: minute(begins)?, ends: minute(ends)? };
        (window.begins < window.ends).then_some(window)
    }

    /// Whether `at` is in the window.
    pub fn contains(self, at: DateTime<Utc>) -> bool {
        let local = at.with_timezone(&New_York);
        (self.begins..self.ends).contains(&(local.hour() * 60 + local.minute()))
    }
}

impl TryFrom<String> for BlackoutWindow {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be a span of New York time within a day, such as 08:25-08:35")
    }
}

impl From<BlackoutWindow> for String {
    fn from(BlackoutWindow { begins, ends }: BlackoutWindow) -> Self {
        format!("{:02}:{:02}-{:02}:{:02}", begins / 60, begins % 60, ends / 60, ends % 60)
    }
}

/// A take profit: its distance, and the share of the position that it closes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// The distance from the entry in units of the risk.
    pub ratio: f64,
    /// The share of the position in percent.
    pub share: f64,
}

impl Target {
    /// Parses `2R 40%`.
    pub fn parse(text: &str) -> Option<Self> {
        let (ratio, share) = text.trim().split_once(' ')?;
        let ratio: f64 = ratio.strip_suffix(['R', 'r'])?.parse().ok()?;
        let share: f64 = share.trim().strip_suffix('%')?.parse().ok()?;
        let sound = (0.1..=100.0).contains(&ratio) && share > 0.0 && share <= 100.0;
        sound.then_some(Self { ratio, share })
    }
}

impl TryFrom<String> for Target {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be a distance of 0.1R to 100R and a share, such as 2R 40%")
    }
}

impl From<Target> for String {
    fn from(Target { ratio, share }: Target) -> Self {
        format!("{ratio}R {share}%")
    }
}

/// The rules for the server's own setups and their levels.
#[derive(Debug, Clone, PartialEq)]
pub struct SetupRules {
    /// The setups to look for.
    pub enabled: Vec<SetupKind>,
    /// Whether simulated prices count, too.
    pub in_simulated_prices: bool,
    /// The interval of the bars.
    pub interval: BarInterval,
    /// The number of bars on each side of a swing.
    pub swing: usize,
    /// The windows in which setups are published.
    pub killzones: Vec<Killzone>,
    /// The windows in which setups are not published.
    pub blackout_windows: Vec<BlackoutWindow>,
    /// The minimum time between two signals of one instrument.
    pub cool_down: Duration,
    /// The minimum risk in spreads.
    pub min_spreads: f64,
    /// The minimum risk in average true ranges.
    pub min_atr: f64,
    /// The maximum risk in average true ranges.
    pub max_atr: f64,
    /// The maximum distance of the price from the entry at publishing, in average true ranges.
    pub reach_atr: f64,
    /// The minimum model score, 0–1, before it is mapped.
    pub min_score: f64,
    /// The mapping from model scores to the confidence of signals, if one is applied.
    pub calibration: Option<Arc<CalibrationMap>>,
    /// The take profits, from near to far; the sum of their shares is 100 %.
    pub targets: Vec<Target>,
}

impl Default for SetupRules {
    fn default() -> Self {
        Self {
            enabled: SetupKind::ALL.to_vec(),
            in_simulated_prices: false,
            interval: BarInterval::FiveMinutes,
            swing: 5,
            killzones: vec![Killzone::London, Killzone::NyAm, Killzone::Pm],
            blackout_windows: Vec::new(),
            cool_down: Duration::from_hours(3),
            min_spreads: 5.0,
            min_atr: 1.0,
            max_atr: 4.0,
            reach_atr: 0.25,
            min_score: 0.0,
            calibration: None,
            targets: [(1.0, 30.0), (2.0, 40.0), (3.0, 30.0)].map(|(ratio, share)| Target { ratio, share }).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    #[test]
    fn a_reason_names_its_setup() {
        for (reason, kind) in [
            ("MSS+FVG setup", Some(SetupKind::MssFvg)),
            ("mss + fvg after a liquidity sweep", Some(SetupKind::MssFvg)),
            ("Liquidity sweep, then MSS+FVG", Some(SetupKind::LiquiditySweep)),
            ("Order Block retest", Some(SetupKind::OrderBlock)),
            ("BOS confirmation", Some(SetupKind::Bos)),
            ("Premium/Discount entry", Some(SetupKind::PremiumDiscount)),
            ("a feeling", None),
        ] {
            assert_eq!(SetupKind::named_in(reason), kind, "{reason}");
        }
        assert!(SetupKind::ALL.into_iter().all(|kind| SetupKind::named_in(kind.name()) == Some(kind)));
    }

    #[test]
    fn targets_survive_a_round_trip() {
        for text in ["1R 30%", "2.5R 33.3%", "100R 100%"] {
            assert_eq!(String::from(Target::parse(text).unwrap()), text);
        }
        for text in ["", "1R", "30%", "0R 30%", "1R 0%", "1R 101%", "1 30%", "NaNR 30%"] {
            assert_eq!(Target::parse(text), None, "{text}");
        }
    }

    #[test]
    fn blackout_windows_are_half_open() {
        let window = BlackoutWindow::parse("08:25-08:35").unwrap();
        for (at, inside) in [("12:24", false), ("12:25", true), ("12:34", true), ("12:35", false)] {
            assert_eq!(window.contains(parse_time(&format!("2026-07-15T{at}:00Z")).unwrap()), inside, "{at}");
        }
        for text in ["", "8", "08:25", "08:35-08:25", "08:25-24:01", "08:61-09:00", "a-b"] {
            assert_eq!(BlackoutWindow::parse(text), None, "{text}");
        }
        assert!(BlackoutWindow::parse("23:00-24:00").is_some());
    }
}
