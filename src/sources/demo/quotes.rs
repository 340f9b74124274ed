//! The prices that the desk trades at: those that the server published last.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::Candle;
use crate::domain::number::Number;

/// ARIA's eight pairs.
pub(super) const PAIRS: [&str; 8] = ["EURUSD", "GBPUSD", "USDJPY", "USDCHF", "AUDUSD", "USDCAD", "NZDUSD", "EURGBP"];
/// Sentio's stocks.
pub(super) const STOCKS: [&str; 4] = ["AAPL", "GOOGL", "MSFT", "TSLA"];
/// The coins that the bots trade.
pub(super) const COINS: [&str; 2] = ["BTC-ZAR", "ETH-ZAR"];

/// The last published price of a symbol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quoted {
    /// One of [`Desk::symbols`](super::Desk::symbols), in this spelling.
    pub symbol: &'static str,
    /// The price for a sale.
    pub bid: f64,
    /// The price for a purchase.
    pub ask: f64,
    /// Decimals of a price.
    pub digits: u8,
}

/// The last price of each symbol.
#[derive(Debug, Default)]
pub(super) struct Quotes(BTreeMap<&'static str, LastQuote>);

#[derive(Debug)]
struct LastQuote {
    quote: Quoted,
    /// Whether the symbol can be traded now.
    current: bool,
    /// The bar of mid prices since the last published bar.
    bar: Candle,
}

impl Quotes {
    /// Applies the current prices. A symbol without one cannot be traded until it has one again.
    pub(super) fn update(&mut self, quoted: &[Quoted]) {
        self.0.values_mut().for_each(|known| known.current = false);
        for quote in quoted {
            let bar = Candle::opening(quote.mid());
            let known = self.0.entry(quote.symbol).or_insert(LastQuote { quote: *quote, current: true, bar });
            (known.quote, known.current) = (*quote, true);
            known.bar.update(quote.mid());
        }
    }

    /// Returns the price if the symbol can be traded now.
    pub(super) fn current(&self, symbol: &str) -> Option<Quoted> {
        self.0.get(symbol).filter(|known| known.current).map(|known| known.quote)
    }

    /// Returns the last price, of any age.
    pub(super) fn last(&self, symbol: &str) -> Option<Quoted> {
        self.0.get(symbol).map(|known| known.quote)
    }

    /// Returns the bar of mid prices since the previous call, and starts a new one.
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

    /// Returns the price for one side.
    pub(super) fn side(&self, side: &str) -> f64 {
        if side == "buy" { self.ask } else { self.bid }
    }

    /// Returns the mid price changed by a share of itself, rounded to the symbol's decimals.
    pub(super) fn away(&self, part: f64) -> Value {
        self.print(self.mid() * (1.0 + part))
    }

    /// Returns a price with the symbol's decimals.
    pub(super) fn print(&self, price: f64) -> Value {
        number(price, self.digits.into())
    }
}

pub(super) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale + 0.0
}

/// Returns a number with `digits` decimals, as JavaScript prints it.
pub(super) fn number(value: f64, digits: i32) -> Value {
    serde_json::to_value(Number(round(value, digits))).unwrap_or_default()
}
