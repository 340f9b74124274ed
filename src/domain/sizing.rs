//! Computes the size of a position from the risk of an account.
//!
//! Contract sizes and pips are those of retail brokers (MetaTrader's standard lots) and of the CME's futures.
//! Definitions of a pip of gold and of an index differ; risk and units do not depend on them.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Instrument, InstrumentClass};

/// The contract specification of an instrument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contract<'a> {
    /// Units in a lot.
    pub lot: f64,
    /// The smallest step of a position in lots.
    pub step: f64,
    /// The size of a pip (or a point) in price.
    pub pip: f64,
    /// The quote currency.
    pub quote: &'a str,
    /// The base currency of a currency pair.
    pub base: Option<&'a str>,
}

impl<'a> Contract<'a> {
    /// Returns the contract of an instrument.
    pub fn of(instrument: &'a Instrument) -> Self {
        let symbol = instrument.symbol.as_str();
        let pair = symbol.len() == 6 && symbol.bytes().all(|b| b.is_ascii_uppercase());
        let (base, quote) = if pair { (Some(&symbol[..3]), &symbol[3..]) } else { (None, "USD") };
        let (lot, step, pip) = match instrument.class {
            // A pip is the last but one decimal: the fourth, or the second of a yen pair.
            InstrumentClass::Forex => (100_000.0, 0.01, 1.0 / 10f64.powi(i32::from(instrument.digits.max(1)) - 1)),
            InstrumentClass::Metal if base == Some("XAG") => (5_000.0, 0.01, 0.01),
            InstrumentClass::Metal => (100.0, 0.01, 0.1),
            InstrumentClass::Index => (1.0, 0.01, 1.0),
            InstrumentClass::Future => (futures_multiplier(symbol), 1.0, 1.0),
            InstrumentClass::Crypto => (1.0, 0.01, instrument.tick_size),
            InstrumentClass::Stock => (1.0, 1.0, 0.01),
        };
        Self { lot, step, pip, quote, base }
    }
}

/// Returns the dollars per point of a contract.
fn futures_multiplier(symbol: &str) -> f64 {
    match symbol {
        "ES" => 50.0,
        "NQ" => 20.0,
        "MES" | "YM" => 5.0,
        "MNQ" => 2.0,
        "MYM" => 0.5,
        _ => 1.0,
    }
}

/// The size of a position that loses a given amount at its stop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct PositionSize {
    /// The distance from entry to stop in pips.
    pub stop_pips: f64,
    /// The value of a pip of one lot in the account's currency.
    pub pip_value_per_lot: f64,
    /// The exact size in units of the instrument.
    pub units: f64,
    /// The size in lots, rounded down to a tradable step.
    pub lots: f64,
    /// The loss of `lots` at the stop in the account's currency, without costs.
    pub risk: f64,
}

impl PositionSize {
    /// Returns the position that loses `risk` between `entry` and `stop`. `rate` is the value of one unit of the quote
    /// currency in the account's currency. Returns `None` when a number is not positive.
    pub fn for_risk(contract: &Contract<'_>, entry: f64, stop: f64, risk: f64, rate: f64) -> Option<Self> {
        let distance = (entry - stop).abs();
        let units = risk / (distance * rate);
        if !(units.is_finite() && units > 0.0) {
            return None;
        }
        // A small addition keeps 0.3 from becoming 0.29.
        let lots = (units / contract.lot / contract.step + 1e-9).floor() * contract.step;
        let lots = (lots * 100.0).round() / 100.0;
        Some(Self {
            stop_pips: distance / contract.pip,
            pip_value_per_lot: contract.pip * contract.lot * rate,
            units,
            lots,
            risk: lots * contract.lot * distance * rate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Instruments;

    fn size(symbol: &str, entry: f64, stop: f64, rate: f64) -> [f64; 5] {
        let list = Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap();
        let contract = Contract::of(list.resolve(symbol).unwrap());
        let PositionSize { stop_pips, pip_value_per_lot, units, lots, risk } =
            PositionSize::for_risk(&contract, entry, stop, 100.0, rate).unwrap();
        [stop_pips, pip_value_per_lot, units, lots, risk].map(|number| (number * 1e4).round() / 1e4)
    }

    #[test]
    fn a_hundred_dollars_at_risk() {
        assert_eq!(size("EURUSD", 1.085, 1.082, 1.0), [30.0, 10.0, 33_333.333_3, 0.33, 99.0]);
        assert_eq!(size("USDJPY", 150.0, 150.5, 1.0 / 150.0), [50.0, 6.6667, 30_000.0, 0.3, 100.0]);
        assert_eq!(size("XAUUSD", 2650.0, 2645.0, 1.0), [50.0, 10.0, 20.0, 0.2, 100.0]);
        assert_eq!(size("US30", 40_000.0, 39_960.0, 1.0), [40.0, 1.0, 2.5, 2.5, 100.0]);
        assert_eq!(size("MNQ", 20_000.0, 19_980.0, 1.0), [20.0, 2.0, 5.0, 2.0, 80.0]);
    }

    #[test]
    fn without_risk_there_is_no_size() {
        let list = Instruments::documented();
        let contract = Contract::of(&list[0]);
        for (entry, stop, risk, rate) in [(1.0, 1.0, 100.0, 1.0), (1.0, 0.9, 0.0, 1.0), (1.0, 0.9, 1.0, f64::NAN)] {
            assert_eq!(PositionSize::for_risk(&contract, entry, stop, risk, rate), None);
        }
    }
}
