//! Settings of the costs of positions in the records of signals.

use serde::{Deserialize, Serialize};

use super::{List, Problem, Settings, value};
use crate::domain::{Cost, CostTable, EntryOrder, Instruments, TradingCosts};

/// How the positions of records are entered, and what they cost beyond the spread.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CostSettings {
    /// `market`, at the first price after the confirmation, or `limit`, an order at the signal's entry. Default market.
    #[serde(deserialize_with = "value::choice")]
    pub entry: EntryOrder,
    /// How much worse than the price each fill at the market is. Default none.
    pub slippage: List<Cost>,
    /// The commission of a whole position, for entry and exit together. Default none.
    pub commission: List<Cost>,
}

impl Settings {
    /// Returns the costs for the engine.
    ///
    /// # Errors
    /// When a symbol is unknown, or an instrument has two costs of a kind.
    pub fn trading_costs(&self, instruments: &Instruments) -> Result<TradingCosts, Problem> {
        let table =
            |key: &str, costs: &[Cost]| CostTable::new(costs, instruments).map_err(|error| Problem::new(key, error));
        Ok(TradingCosts {
            entry: self.costs.entry,
            slippage: table("costs.slippage", &self.costs.slippage)?,
            commission: table("costs.commission", &self.costs.commission)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_of_unknown_instruments_are_refused() {
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        let mut settings = Settings::default();
        assert!(settings.trading_costs(&instruments).unwrap().is_free());
        settings.costs.commission = vec!["NOPE=1".parse().unwrap()].into();
        let problem = settings.trading_costs(&instruments).unwrap_err();
        assert_eq!(problem.key, "costs.commission");
        assert_eq!(settings.validate().unwrap_err().key, "costs.commission");
    }
}
