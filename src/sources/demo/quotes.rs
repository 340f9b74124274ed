//! The prices that the desk knows: those that the server published last. It makes none of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::Candle;
use crate::domain::number::Number;

/// ARIA's eight pairs.
pub(super) const PAIRS: [&str; 8] = ["EURUSD", "GBPUSD", "USDJPY", "USDCHF", "AUDUSD", "USDCAD", "NZDUSD", "EURGBP"];
/// Sentio's stocks.
pub(super) const STOCKS: [&str; 4] = ["AAPL", "GOOGL", "MSFT", "TSLA"];
/// What the bots trade.
pub(super) const COINS: [&str; 2] = ["BTC-ZAR", "ETH-ZAR"];

/// One symbol's price as it was last published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quoted {
    /// One of [`Desk::symbols`](super::Desk::symbols), in this spelling.
    pub symbol: &'static str,
    /// What a seller gets.
    pub bid: f64,
    /// What a buyer pays.
    pub ask: f64,
    /// Decimals of a price.
    pub digits: u8,
}

/// The last price of each symbol.
#[derive(Debug, Default)]
pub(super) struct Quotes(BTreeMap<&'static str, Known>);

#[derive(Debug)]
struct Known {
    quote: Quoted,
    /// Whether it can be traded at.
    current: bool,
    /// The mids since the last bar.
    bar: Candle,
}

impl Quotes {
    /// Takes in what is quoted now. A symbol that is not among it cannot be traded until it is quoted again.
    pub(super) fn take(&mut self, quoted: &[Quoted]) {
        self.0.values_mut().for_each(|known| known.current = false);
        for quote in quoted {
            let bar = Candle::opening(quote.mid());
            let known = self.0.entry(quote.symbol).or_insert(Known { quote: *quote, current: true, bar });
            (known.quote, known.current) = (*quote, true);
            known.bar.update(quote.mid());
        }
    }

    /// The price that can be traded at.
    pub(super) fn current(&self, symbol: &str) -> Option<Quoted> {
        self.0.get(symbol).filter(|known| known.current).map(|known| known.quote)
    }

    /// The last price, however long ago.
    pub(super) fn last(&self, symbol: &str) -> Option<Quoted> {
        self.0.get(symbol).map(|known| known.quote)
    }

    /// What the mid was since the last call.
    pub(super) fn bar(&mut self, symbol: &str) -> Option<(Quoted, Candle)> {
        let known = self.0.get_mut(symbol).filter(|known| known.current)?;
        let next = Candle::opening(known.quote.mid());
        Some((known.quote, std::mem::replace(&mut known.bar, next)))
    }
}

impl Quoted {
    pub(super) fn mid(&self) -> f64 {
        f64::midpoint(self.bid, self.ask)
    }

    /// What one side pays or gets.
    pub(super) fn side(&self, side: &str) -> f64 {
        if side == "buy" { self.ask } else { self.bid }
    }

    /// The mid moved by a part of itself, on the grid.
    pub(super) fn away(&self, part: f64) -> Value {
        self.print(self.mid() * (1.0 + part))
    }

    /// A price with the symbol's digits.
    pub(super) fn print(&self, price: f64) -> Value {
        number(price, self.digits.into())
    }
}

pub(super) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale + 0.0
}

/// A number of so many digits, as JavaScript writes it.
pub(super) fn number(value: f64, digits: i32) -> Value {
    serde_json::to_value(Number(round(value, digits))).unwrap_or_default()
}
