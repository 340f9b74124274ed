//! The prices that the desk trades at: small random walks around where people expect them.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::domain::number::Number;

/// ARIA's eight pairs.
pub(super) const PAIRS: [&str; 8] = ["EURUSD", "GBPUSD", "USDJPY", "USDCHF", "AUDUSD", "USDCAD", "NZDUSD", "EURGBP"];
/// Sentio's stocks.
pub(super) const STOCKS: [&str; 3] = ["AAPL", "GOOGL", "MSFT"];
/// What the bots trade.
pub(super) const COIN: &str = "BTC-ZAR";

/// Symbol, where its price starts, digits. Invented.
const START: [(&str, f64, i32); 12] = [
    ("EURUSD", 1.085, 5),
    ("GBPUSD", 1.27, 5),
    ("USDJPY", 150.0, 3),
    ("USDCHF", 0.88, 5),
    ("AUDUSD", 0.66, 5),
    ("USDCAD", 1.36, 5),
    ("NZDUSD", 0.6, 5),
    ("EURGBP", 0.85, 5),
    ("AAPL", 185.0, 2),
    ("GOOGL", 140.0, 2),
    ("MSFT", 410.0, 2),
    ("BTC-ZAR", 850_000.0, 0),
];
/// Most that a price moves in a beat, as a part of itself.
const STEP: f64 = 0.000_3;
/// Part of the way back to the start that a price goes in a beat.
const PULL: f64 = 0.001;

#[derive(Debug)]
pub(super) struct Market {
    prices: [f64; START.len()],
}

/// One symbol now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted {
    pub(super) symbol: &'static str,
    pub(super) price: f64,
    digits: i32,
}

impl Market {
    pub(super) fn new() -> Self {
        Self { prices: START.map(|(_, price, _)| price) }
    }

    pub(super) fn step(&mut self, rng: &mut StdRng) {
        for (price, (_, start, _)) in self.prices.iter_mut().zip(START) {
            *price += (start - *price) * PULL + *price * rng.random_range(-STEP..STEP);
        }
    }

    /// The price of one of the symbols above, on its grid.
    pub(super) fn of(&self, symbol: &'static str) -> Quoted {
        let index = START.iter().position(|(known, ..)| *known == symbol).unwrap_or_default();
        let (symbol, _, digits) = START[index];
        Quoted { symbol, price: round(self.prices[index], digits), digits }
    }
}

impl Quoted {
    /// The price moved by a part of itself, on the grid.
    pub(super) fn away(&self, part: f64) -> Value {
        number(self.price * (1.0 + part), self.digits)
    }

    /// The price moved by so many of its last digits.
    pub(super) fn beside(&self, steps: f64) -> Value {
        number(self.price + steps / 10f64.powi(self.digits), self.digits)
    }

    /// So many of its last digits.
    pub(super) fn steps(&self, steps: f64) -> Value {
        number(steps / 10f64.powi(self.digits), self.digits)
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// A number of so many digits, as JavaScript writes it.
pub(super) fn number(value: f64, digits: i32) -> Value {
    serde_json::to_value(Number(round(value, digits))).unwrap_or_default()
}
