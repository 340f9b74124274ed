//! Bars (candles): open, high, low and close of an interval.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Symbol;

/// The prices of a bar, without symbol and time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candle {
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
}

impl Candle {
    /// A bar that has seen one price.
    pub fn opening(price: f64) -> Self {
        Self { open: price, high: price, low: price, close: price }
    }

    /// Adds a price.
    pub fn update(&mut self, price: f64) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
    }

    /// Merges the next bar of the same longer interval.
    pub fn extend(&mut self, next: &Self) {
        self.high = self.high.max(next.high);
        self.low = self.low.min(next.low);
        self.close = next.close;
    }
}

/// One bar of one instrument; prices are mids on the instrument's grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The instrument.
    pub symbol: Symbol,
    /// When the bar begins; a multiple of its interval since the Unix epoch.
    pub opened_at: DateTime<Utc>,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// The sum of the volumes of its prices; 0 when the source has no volumes.
    pub volume: f64,
    /// Whether any of its prices was simulated.
    pub simulated: bool,
}

impl Bar {
    /// Returns the prices.
    pub fn candle(&self) -> Candle {
        Candle { open: self.open, high: self.high, low: self.low, close: self.close }
    }

    /// A bar that has seen one price.
    pub fn opening(symbol: Symbol, opened_at: DateTime<Utc>, price: f64, volume: f64) -> Self {
        Self { symbol, opened_at, open: price, high: price, low: price, close: price, volume, simulated: false }
    }

    /// Adds a price and its volume.
    pub fn update(&mut self, price: f64, volume: f64) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.volume += volume;
    }

    /// Merges the next bar of the same longer interval.
    pub fn extend(&mut self, next: &Self) {
        self.high = self.high.max(next.high);
        self.low = self.low.min(next.low);
        self.close = next.close;
        self.volume += next.volume;
        self.simulated |= next.simulated;
    }
}

/// The supported lengths of bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum BarInterval {
    /// `1m`
    #[serde(rename = "1m")]
    OneMinute,
    /// `5m`
    #[serde(rename = "5m")]
    FiveMinutes,
    /// `15m`
    #[serde(rename = "15m")]
    FifteenMinutes,
    /// `1h`
    #[serde(rename = "1h")]
    OneHour,
}

impl BarInterval {
    /// Parses `1m`, `5m`, `15m` or `1h`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "1m" => Some(Self::OneMinute),
            "5m" => Some(Self::FiveMinutes),
            "15m" => Some(Self::FifteenMinutes),
            "1h" => Some(Self::OneHour),
            _ => None,
        }
    }

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneMinute => "1m",
            Self::FiveMinutes => "5m",
            Self::FifteenMinutes => "15m",
            Self::OneHour => "1h",
        }
    }

    /// Returns the length of a bar.
    pub const fn length(self) -> Duration {
        Duration::from_secs(60 * self.minutes() as u64)
    }

    /// Returns the length in minutes.
    pub const fn minutes(self) -> u32 {
        match self {
            Self::OneMinute => 1,
            Self::FiveMinutes => 5,
            Self::FifteenMinutes => 15,
            Self::OneHour => 60,
        }
    }

    /// Returns the beginning of the bar that contains `at`.
    pub fn floor(self, at: DateTime<Utc>) -> DateTime<Utc> {
        let length = i64::from(self.minutes()) * 60;
        let seconds = at.timestamp().div_euclid(length) * length;
        DateTime::from_timestamp(seconds, 0).unwrap_or(at)
    }
}

/// Merges bars of one instrument, oldest first, to bars of a longer interval.
pub fn aggregate(bars: impl IntoIterator<Item = Bar>, interval: BarInterval) -> Vec<Bar> {
    let mut joined: Vec<Bar> = Vec::new();
    for bar in bars {
        let opened_at = interval.floor(bar.opened_at);
        match joined.last_mut() {
            Some(last) if last.opened_at == opened_at => last.extend(&bar),
            _ => joined.push(Bar { opened_at, ..bar }),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    fn bar(at: &str, [open, high, low, close]: [f64; 4], volume: f64) -> Bar {
        Bar {
            symbol: Symbol::new("EURUSD"),
            opened_at: parse_time(at).unwrap(),
            open,
            high,
            low,
            close,
            volume,
            simulated: false,
        }
    }

    #[test]
    fn minutes_join_to_longer_bars() {
        let minutes = [
            bar("2026-01-15T07:04:00Z", [1.0, 1.5, 0.9, 1.2], 3.0),
            bar("2026-01-15T07:05:00Z", [1.2, 1.3, 1.1, 1.3], 1.0),
            bar("2026-01-15T07:07:00Z", [1.3, 1.9, 1.2, 1.4], 2.0),
            bar("2026-01-15T07:09:00Z", [1.4, 1.4, 0.8, 0.9], 4.0),
        ];
        assert_eq!(
            aggregate(minutes, BarInterval::FiveMinutes),
            [
                bar("2026-01-15T07:00:00Z", [1.0, 1.5, 0.9, 1.2], 3.0),
                bar("2026-01-15T07:05:00Z", [1.2, 1.9, 0.8, 0.9], 7.0),
            ]
        );
    }

    #[test]
    fn a_bar_keeps_its_extremes() {
        let mut bar = Bar::opening(Symbol::new("EURUSD"), parse_time("2026-01-15T07:04:00Z").unwrap(), 1.1, 0.0);
        for price in [1.2, 1.0, 1.15] {
            bar.update(price, 1.0);
        }
        assert_eq!((bar.open, bar.high, bar.low, bar.close, bar.volume), (1.1, 1.2, 1.0, 1.15, 3.0));
    }
}
