//! Streaming indicators, with the smoothing and seeding of TA-Lib (`TA_ATR`, `TA_RSI`, `TA_EMA`, `TA_MACD`).

use crate::domain::Candle;

/// The mean of the first `period` values, the seed of an average.
#[derive(Debug, Clone)]
struct Seed {
    sum: f64,
    left: usize,
    period: usize,
}

impl Seed {
    fn new(period: usize) -> Self {
        let period = period.max(1);
        Self { sum: 0.0, left: period, period }
    }

    /// Adds a value. Returns the mean when it is complete.
    fn push(&mut self, value: f64) -> Option<f64> {
        self.sum += value;
        self.left -= 1;
        (self.left == 0).then(|| self.sum / self.period as f64)
    }
}

/// Wilder's average: `a ← (a·(period − 1) + value) / period`, seeded with the mean of the first `period` values.
#[derive(Debug, Clone)]
struct Wilder {
    seed: Seed,
    value: Option<f64>,
}

impl Wilder {
    fn new(period: usize) -> Self {
        Self { seed: Seed::new(period), value: None }
    }

    fn push(&mut self, value: f64) -> Option<f64> {
        let period = self.seed.period as f64;
        self.value = match self.value {
            Some(average) => Some((average * (period - 1.0) + value) / period),
            None => self.seed.push(value),
        };
        self.value
    }
}

/// The average true range (Wilder). The first bar has no true range, so the first value comes with bar `period`.
#[derive(Debug, Clone)]
pub struct Atr {
    average: Wilder,
    last_close: Option<f64>,
}

impl Atr {
    /// `period` is usually 14; 0 counts as 1.
    pub fn new(period: usize) -> Self {
        Self { average: Wilder::new(period), last_close: None }
    }

    /// Adds the next bar. Returns the new value in units of price.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let Candle { high, low, close, .. } = *candle;
        let last = self.last_close.replace(close)?;
        self.average.push((high - low).max((high - last).abs()).max((low - last).abs()))
    }

    /// Returns the value after the last bar.
    pub fn value(&self) -> Option<f64> {
        self.average.value
    }
}

/// The relative strength index (Wilder), 0–100; 0 when nothing moved. The first value comes with bar `period`.
#[derive(Debug, Clone)]
pub struct Rsi {
    gains: Wilder,
    losses: Wilder,
    last: Option<f64>,
}

impl Rsi {
    /// `period` is usually 14; 0 counts as 1.
    pub fn new(period: usize) -> Self {
        Self { gains: Wilder::new(period), losses: Wilder::new(period), last: None }
    }

    /// Adds the next close. Returns the new value.
    pub fn push(&mut self, close: f64) -> Option<f64> {
        let change = close - self.last.replace(close)?;
        let (gain, loss) = (self.gains.push(change.max(0.0)), self.losses.push((-change).max(0.0)));
        let (gain, loss) = (gain?, loss?);
        Some(if gain + loss > 0.0 { 100.0 * gain / (gain + loss) } else { 0.0 })
    }
}

/// The exponential moving average, `k = 2 / (period + 1)`, seeded with the mean of the first `period` values.
#[derive(Debug, Clone)]
pub struct Ema {
    seed: Seed,
    value: Option<f64>,
}

impl Ema {
    /// A `period` of 0 counts as 1.
    pub fn new(period: usize) -> Self {
        Self { seed: Seed::new(period), value: None }
    }

    /// Adds the next value. Returns the new average.
    pub fn push(&mut self, value: f64) -> Option<f64> {
        let k = 2.0 / (self.seed.period as f64 + 1.0);
        self.value = match self.value {
            Some(average) => Some((value - average) * k + average),
            None => self.seed.push(value),
        };
        self.value
    }

    /// Returns the average after the last value.
    pub fn value(&self) -> Option<f64> {
        self.value
    }
}

/// A value of the MACD in units of price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MacdValue {
    /// The fast average minus the slow one.
    pub macd: f64,
    /// The average of `macd`.
    pub signal: f64,
    /// The difference `macd − signal`.
    pub histogram: f64,
}

/// The moving average convergence/divergence. As in TA-Lib both averages start at the same bar: the fast one is seeded
/// with the last `fast` of the first `slow` values.
#[derive(Debug, Clone)]
pub struct Macd {
    fast: Ema,
    slow: Ema,
    signal: Ema,
    /// The number of values to skip before the fast average's seed.
    skip: usize,
}

impl Macd {
    /// Usually 12, 26, 9. The shorter of the first two is the fast one.
    pub fn new(fast: usize, slow: usize, signal: usize) -> Self {
        let (fast, slow) = (fast.min(slow).max(1), fast.max(slow).max(1));
        Self { fast: Ema::new(fast), slow: Ema::new(slow), signal: Ema::new(signal), skip: slow - fast }
    }

    /// Adds the next close. Returns the new value, for the first time with bar `slow + signal − 2`.
    pub fn push(&mut self, close: f64) -> Option<MacdValue> {
        let slow = self.slow.push(close);
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        let macd = self.fast.push(close)? - slow?;
        let signal = self.signal.push(macd)?;
        Some(MacdValue { macd, signal, histogram: macd - signal })
    }
}
