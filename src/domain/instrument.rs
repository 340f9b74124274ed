//! Instruments, and the price grid of each.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Quote, Session};

/// The tolerance of the grid as a share of a step, for the noise of floating-point sums.
const NOISE: f64 = 1e-6;

/// The canonical name of an instrument, such as `EURUSD`. Cheap to clone.
///
/// Only [`Instruments::resolve`](super::Instruments::resolve) converts a spelling from outside into one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// Wraps `name` unchanged. It has to be canonical, as those of the catalogue and the log are.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Returns the name, such as `EURUSD`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The market of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstrumentClass {
    /// A currency pair.
    Forex,
    /// A spot metal.
    Metal,
    /// A stock index or a contract for difference on one.
    Index,
    /// An exchange-traded future.
    Future,
    /// A crypto-currency pair.
    Crypto,
    /// A share.
    Stock,
}

/// One instrument and the grid of its prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instrument {
    /// Canonical name.
    pub symbol: Symbol,
    /// The name for display.
    pub name: String,
    /// The market.
    pub class: InstrumentClass,
    /// The number of decimals of a price, 0–8.
    pub digits: u8,
    /// The smallest price step, a multiple of 10^-digits.
    pub tick_size: f64,
    /// Other spellings, compared without case and separators.
    pub aliases: Vec<String>,
    /// Trading hours.
    pub session: Session,
}

impl Instrument {
    /// Returns the symbol in the form of a pair (`BTC/ZAR`), if an alias has that form.
    pub fn pair(&self) -> Option<&str> {
        self.aliases
            .iter()
            .map(String::as_str)
            .find(|alias| alias.matches('/').count() == 1 && alias.replace('/', "") == self.symbol.as_str())
    }

    /// Rounds a price to the instrument's grid, half away from zero, so that it prints with at most `digits` decimals.
    pub fn round(&self, price: f64) -> f64 {
        let on_grid = if (self.tick_size * self.scale() - 1.0).abs() < 1e-6 {
            price
        } else {
            (price / self.tick_size).round() * self.tick_size
        };
        self.round_digits(on_grid)
    }

    /// Rounds a difference or a mean of prices to the instrument's digits, whatever the tick size.
    pub fn round_digits(&self, value: f64) -> f64 {
        // `+ 0.0` turns −0.0 into 0.0.
        (value * self.scale()).round() / self.scale() + 0.0
    }

    /// Rounds a price from outside, but keeps the digits of a source that is finer than the instrument's grid, as some
    /// sources of indices are. A price with more than the finest digits is [rounded](Self::round).
    pub fn round_from_source(&self, price: f64) -> f64 {
        let scale = power(self.finest_digits());
        let fine = (price * scale).round() / scale + 0.0;
        let is_finer = self.finest_digits() > self.digits && (fine - price).abs() * scale <= NOISE;
        if is_finer { fine } else { self.round(price) }
    }

    /// Returns bid and ask, each [rounded](Self::round_from_source); both are the last price when there is only that.
    pub fn sides(&self, quote: Quote) -> (f64, f64) {
        match quote {
            Quote::BidAsk { bid, ask } => (self.round_from_source(bid), self.round_from_source(ask)),
            Quote::Last(price) => (self.round_from_source(price), self.round_from_source(price)),
        }
    }

    /// Returns the mid of bid and ask, or the last price, on the instrument's grid or the finer one of the source.
    pub fn mid(&self, quote: Quote) -> f64 {
        let Quote::BidAsk { .. } = quote else { return self.round_from_source(quote.mid()) };
        let (bid, ask) = self.sides(quote);
        if self.round(bid) == bid && self.round(ask) == ask {
            return self.round(quote.mid());
        }
        let scale = power(self.finest_digits());
        (f64::midpoint(bid, ask) * scale).round() / scale
    }

    /// Whether rounding would change the quote: it has too many digits, or lies between two ticks.
    pub fn is_coarser_than(&self, quote: Quote) -> bool {
        let changes = |price: f64| {
            (self.round_from_source(price) - price).abs() > self.tick_size * NOISE + price.abs() * f64::EPSILON
        };
        match quote {
            Quote::BidAsk { bid, ask } => changes(bid) || changes(ask),
            Quote::Last(price) => changes(price),
        }
    }

    /// The maximum number of digits of a price from outside. Brokers send indices with up to two.
    fn finest_digits(&self) -> u8 {
        match self.class {
            InstrumentClass::Index => self.digits.max(2),
            _ => self.digits,
        }
    }

    pub(super) fn scale(&self) -> f64 {
        power(self.digits)
    }
}

fn power(digits: u8) -> f64 {
    10f64.powi(i32::from(digits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::domain::{Instruments, Quote};

    fn all() -> Instruments {
        Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap()
    }

    #[test]
    fn prices_round_to_ticks_and_print_clean() {
        let all = all();
        for (symbol, price, rounded) in [
            ("EURUSD", 1.08 + 0.0012, "1.0812"),
            ("EURUSD", 1.0850 + 2.0 * (1.0850 - 1.0841), "1.0868"),
            ("USDJPY", 149.123_49, "149.123"),
            ("ES", 5000.13, "5000.25"),
            ("ES", 5000.12, "5000.0"),
            ("XAUUSD", 2000.005, "2000.01"),
            ("US30", -0.04, "0.0"),
        ] {
            let instrument = all.resolve(symbol).unwrap();
            assert_eq!(serde_json::to_string(&instrument.round(price)).unwrap(), rounded, "{symbol} {price}");
        }
    }

    #[test]
    fn a_finer_source_keeps_its_digits() {
        let all = all();
        let printed = |price: f64| serde_json::to_string(&price).unwrap();
        for (symbol, price, kept, is_coarser) in [
            ("SPX500", 6901.25, "6901.25", false),
            ("SPX500", 6901.3, "6901.3", false),
            ("SPX500", 6901.0 + 0.25, "6901.25", false),
            ("SPX500", 6901.0 + 0.1 + 0.2, "6901.3", false),
            ("SPX500", 6901.254, "6901.3", true),
            ("US30", 42_150.123_45, "42150.1", true),
            ("XAUUSD", 2650.24, "2650.24", false),
            ("XAUUSD", 2650.123, "2650.12", true),
            ("EURUSD", 1.08 + 0.0012, "1.0812", false),
            ("EURUSD", 1.123_456, "1.12346", true),
            ("ES", 6901.25, "6901.25", false),
            ("ES", 6901.3, "6901.25", true),
        ] {
            let instrument = all.resolve(symbol).unwrap();
            assert_eq!(printed(instrument.round_from_source(price)), kept, "{symbol} {price}");
            assert_eq!(instrument.is_coarser_than(Quote::Last(price)), is_coarser, "{symbol} {price}");
        }
    }

    #[test]
    fn a_mid_keeps_the_grid_of_its_sides() {
        let all = all();
        for (symbol, bid, ask, mid) in [
            ("SPX500", 6901.2, 6901.7, 6901.5),
            ("SPX500", 6901.25, 6901.3, 6901.28),
            ("SPX500", 6901.25, 6901.75, 6901.5),
            ("XAUUSD", 2650.24, 2650.48, 2650.36),
            ("EURUSD", 1.0851, 1.085_11, 1.085_11),
        ] {
            let instrument = all.resolve(symbol).unwrap();
            assert_eq!(instrument.mid(Quote::BidAsk { bid, ask }), mid, "{symbol} {bid} {ask}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_prints_clean(which in 0usize..11, price in 0.0001f64..500_000.0, digits in 0i32..9) {
            let all = all();
            let instrument = all.iter().nth(which).unwrap();
            let scale = 10f64.powi(digits);
            let kept = instrument.round_from_source((price * scale).round() / scale);
            prop_assert_eq!(instrument.round_from_source(kept), kept);
            prop_assert!((kept - price).abs() <= instrument.tick_size * 0.500_001 + 0.5 / scale);
            let printed = serde_json::to_string(&kept).unwrap();
            let decimals = printed.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            prop_assert!(decimals <= usize::from(instrument.digits + 1), "{}", printed);
        }

        #[test]
        fn rounding_is_idempotent_and_never_prints_more_digits(which in 0usize..11, price in 0.0001f64..500_000.0) {
            let all = all();
            let instrument = all.iter().nth(which).unwrap();
            let rounded = instrument.round(price);
            prop_assert_eq!(instrument.round(rounded), rounded);
            prop_assert!((rounded - price).abs() <= instrument.tick_size * 0.500_001);
            let printed = serde_json::to_string(&rounded).unwrap();
            let decimals = printed.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            prop_assert!(decimals <= usize::from(instrument.digits).max(1), "{}", printed);
        }
    }
}
