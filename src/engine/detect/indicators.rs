//! Indicators, smoothed and seeded as TA-Lib does it (`TA_ATR`, `TA_RSI`, `TA_EMA`, `TA_MACD`), one bar at a time.

use crate::domain::Candle;

/// The mean of the first values, after which somebody else goes on.
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

    /// The mean, with the value that completes it.
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

/// Average true range (Wilder). The first bar has no true range, so that the first value comes with bar `period`.
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

    /// Takes the next bar; the value with it, in units of price.
    pub fn push(&mut self, candle: &Candle) -> Option<f64> {
        let Candle { high, low, close, .. } = *candle;
        let last = self.last_close.replace(close)?;
        self.average.push((high - low).max((high - last).abs()).max((low - last).abs()))
    }

    /// The value with the last bar.
    pub fn value(&self) -> Option<f64> {
        self.average.value
    }
}

/// Relative strength index (Wilder), 0–100; 0 where nothing moved. The first value comes with bar `period`.
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

    /// Takes the next close; the value with it.
    pub fn push(&mut self, close: f64) -> Option<f64> {
        let change = close - self.last.replace(close)?;
        let (gain, loss) = (self.gains.push(change.max(0.0)), self.losses.push((-change).max(0.0)));
        let (gain, loss) = (gain?, loss?);
        Some(if gain + loss > 0.0 { 100.0 * gain / (gain + loss) } else { 0.0 })
    }
}

/// Exponential moving average, `k = 2 / (period + 1)`, seeded with the mean of the first `period` values.
#[derive(Debug, Clone)]
pub struct Ema {
    seed: Seed,
    value: Option<f64>,
}

impl Ema {
    /// 0 counts as 1.
    pub fn new(period: usize) -> Self {
        Self { seed: Seed::new(period), value: None }
    }

    /// Takes the next value; the average with it.
    pub fn push(&mut self, value: f64) -> Option<f64> {
        let k = 2.0 / (self.seed.period as f64 + 1.0);
        self.value = match self.value {
            Some(average) => Some((value - average) * k + average),
            None => self.seed.push(value),
        };
        self.value
    }

    /// The average with the last value.
    pub fn value(&self) -> Option<f64> {
        self.value
    }
}

/// A reading of the MACD, in units of price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MacdValue {
    /// Fast less slow average.
    pub macd: f64,
    /// Average of that.
    pub signal: f64,
    /// The two's difference.
    pub histogram: f64,
}

/// Moving average convergence/divergence. As in TA-Lib both averages begin with the same bar: the fast one is seeded with
/// the last `fast` of the `slow` first values.
#[derive(Debug, Clone)]
pub struct Macd {
    fast: Ema,
    slow: Ema,
    signal: Ema,
    /// Values that are left out of the fast average's seed.
    skip: usize,
}

impl Macd {
    /// Usually 12, 26, 9; the shorter of the first two is the fast one.
    pub fn new(fast: usize, slow: usize, signal: usize) -> Self {
        let (fast, slow) = (fast.min(slow).max(1), fast.max(slow).max(1));
        Self { fast: Ema::new(fast), slow: Ema::new(slow), signal: Ema::new(signal), skip: slow - fast }
    }

    /// Takes the next close; the value with it, first with bar `slow + signal − 2`.
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
