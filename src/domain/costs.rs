//! The costs of a position, and how it is entered: one model for the records of a server and for backtests.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Instruments, Spread, Symbol};

/// How a position is entered after the confirmation of its signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryOrder {
    /// At the market: filled at the first price after the confirmation.
    #[default]
    Market,
    /// A limit order at the signal's entry, for a day at most: filled at its price, or at the first price of a minute that opens
    /// beyond it. It is withdrawn when the first target comes before.
    Limit,
}

impl EntryOrder {
    /// Whether it is at the market.
    pub fn is_market(&self) -> bool {
        *self == Self::Market
    }
}

impl FromStr for EntryOrder {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "market" => Ok(Self::Market),
            "limit" => Ok(Self::Limit),
            _ => Err("must be market or limit"),
        }
    }
}

/// An amount that a trade costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CostAmount {
    /// Points, which are units of the instrument's last digit.
    Points(f64),
    /// A difference of prices.
    Price(f64),
    /// Percent of the price at which the position was entered.
    Percent(f64),
}

/// A cost, of one instrument or of all that have none of their own: `1.5points`, `0.00002`, `XAUUSD=0.05`, `BTCUSD=0.1%`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cost {
    /// The instrument, in any spelling.
    pub symbol: Option<String>,
    /// How much.
    pub amount: CostAmount,
}

const COST_FORMS: &str = "must be points (13 or 1.5points, not pips), a difference of prices with a decimal point (0.00013) or a \
                          percentage of the price up to 10 (0.01%); for one instrument with its symbol (XAUUSD=0.05)";
/// The highest cost in percent of the price.
const MAX_PERCENT: f64 = 10.0;

impl FromStr for Cost {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (symbol, amount) = match text.split_once('=') {
            Some((symbol, _)) if symbol.trim().is_empty() => return Err(COST_FORMS),
            Some((symbol, amount)) => (Some(symbol.trim().to_owned()), amount),
            None => (None, text),
        };
        let amount = match amount.trim().strip_suffix('%') {
            Some(percent) => {
                let percent = percent.trim().parse().map_err(|_| COST_FORMS)?;
                if !(0.0..=MAX_PERCENT).contains(&percent) {
                    return Err(COST_FORMS);
                }
                CostAmount::Percent(percent)
            }
            None => match amount.parse().map_err(|_| COST_FORMS)? {
                Spread::Points(points) => CostAmount::Points(points),
                Spread::Price(price) => CostAmount::Price(price),
                Spread::Column => return Err(COST_FORMS),
            },
        };
        Ok(Self { symbol, amount })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(symbol) = &self.symbol {
            write!(f, "{symbol}=")?;
        }
        match self.amount {
            CostAmount::Points(points) => Spread::Points(points).fmt(f),
            CostAmount::Price(price) => Spread::Price(price).fmt(f),
            CostAmount::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl TryFrom<String> for Cost {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cost> for String {
    fn from(cost: Cost) -> Self {
        cost.to_string()
    }
}

/// One kind of costs, for each instrument that has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CostTable {
    /// As it was set.
    text: String,
    /// By instrument, without points.
    amounts: BTreeMap<Symbol, CostAmount>,
}

impl CostTable {
    /// Reads costs for the instruments of a catalogue.
    ///
    /// # Errors
    /// When a symbol is unknown, or an instrument has two costs.
    pub fn new(costs: &[Cost], instruments: &Instruments) -> Result<Self, String> {
        let mut table =
            Self { text: costs.iter().map(Cost::to_string).collect::<Vec<_>>().join(", "), ..Self::default() };
        let (own, common): (Vec<_>, Vec<_>) = costs.iter().partition(|cost| cost.symbol.is_some());
        if common.len() > 1 {
            return Err(format!("has {} amounts without a symbol: at most one is for all instruments", common.len()));
        }
        for cost in own {
            let symbol = cost.symbol.as_deref().unwrap_or_default();
            let instrument = instruments.resolve(symbol).map_err(|error| error.to_string())?;
            let amount = in_prices(cost.amount, instrument.digits);
            if table.amounts.insert(instrument.symbol.clone(), amount).is_some() {
                return Err(format!("has two amounts for {}", instrument.symbol));
            }
        }
        for (cost, instrument) in common.iter().flat_map(|cost| instruments.iter().map(move |it| (cost, it))) {
            let amount = in_prices(cost.amount, instrument.digits);
            table.amounts.entry(instrument.symbol.clone()).or_insert(amount);
        }
        table.amounts.retain(|_, amount| {
            let (CostAmount::Points(value) | CostAmount::Price(value) | CostAmount::Percent(value)) = *amount;
            value > 0.0
        });
        Ok(table)
    }

    /// Returns the cost of a position that was entered at `fill`, as a difference of prices.
    pub fn at(&self, symbol: &Symbol, fill: f64) -> f64 {
        match self.amounts.get(symbol) {
            Some(CostAmount::Percent(percent)) => fill.abs() * percent / 100.0,
            Some(CostAmount::Points(value) | CostAmount::Price(value)) => *value,
            None => 0.0,
        }
    }
}

fn in_prices(amount: CostAmount, digits: u8) -> CostAmount {
    match amount {
        CostAmount::Points(points) => CostAmount::Price(points / 10f64.powi(i32::from(digits))),
        other => other,
    }
}

/// How positions are entered, and what they cost beyond the spread, which is that of each price.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TradingCosts {
    /// How positions are entered.
    pub entry: EntryOrder,
    /// How much worse than the price each fill at the market is: the entry unless by a limit order, the stop, and the end of the day.
    pub slippage: CostTable,
    /// The commission of a whole position, for entry and exit together.
    pub commission: CostTable,
}

impl TradingCosts {
    /// Whether nothing costs more than the spread.
    pub fn is_free(&self) -> bool {
        self.slippage.amounts.is_empty() && self.commission.amounts.is_empty()
    }

    /// Describes what is assumed of fills and costs, in sentences.
    pub fn assumptions(&self) -> Vec<String> {
        let entry = match self.entry {
            EntryOrder::Market => {
                "Entry: at the market, at the first price after the confirmation: the ask for a long, the bid for a short."
            }
            EntryOrder::Limit => {
                "Entry: by a limit order at the signal's entry, for a day: at its price, or at the first price of a minute that opens \
                 beyond it. It is withdrawn when the first target comes before."
            }
        };
        let cost = |table: &CostTable, what: &str| {
            if table.amounts.is_empty() { "none".to_owned() } else { format!("{} {what}", table.text) }
        };
        vec![
            entry.to_owned(),
            "Spread: that of each price; a long leaves at the bid, a short at the ask. A source with one price has none.".to_owned(),
            format!("Slippage: {}.", cost(&self.slippage, "on each fill at the market, none on limit orders and targets")),
            format!("Commission: {}.", cost(&self.commission, "for a whole position, entry and exit together")),
            "Gaps (weekends, holidays, missing prices): a minute that opens beyond the stop leaves at its first price; a target never \
             fills better than its level."
                .to_owned(),
            "A minute with the stop and a target counts as the stop. After a day a position leaves at the last price of its minute, or \
             of the next one with a price."
                .to_owned(),
            "Swaps and financing are in no result.".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(costs: &[&str]) -> Result<CostTable, String> {
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        let costs: Vec<Cost> = costs.iter().map(|cost| cost.parse().unwrap()).collect();
        CostTable::new(&costs, &instruments)
    }

    #[test]
    fn costs_survive_a_round_trip() {
        for text in ["13points", "1.5points", "0.00013", "2.0", "0.01%", "XAUUSD=0.05", "EUR/USD=2points"] {
            assert_eq!(text.parse::<Cost>().unwrap().to_string(), text);
        }
        for text in ["", "=2", "x", "-1", "column", "column%", "11%", "1pip", "XAUUSD=", "NaN", "NaN%", "5points%"] {
            assert_eq!(text.parse::<Cost>(), Err(COST_FORMS), "{text}");
        }
    }

    #[test]
    fn an_instruments_own_cost_goes_first() {
        let table = table(&["2", "gold=0.05", "US30=0.01%", "USDJPY=0"]).unwrap();
        let at = |symbol: &str, fill| table.at(&Symbol::new(symbol), fill);
        assert!((at("EURUSD", 1.1) - 0.000_02).abs() < 1e-15);
        assert_eq!((at("XAUUSD", 2_000.0), at("USDJPY", 150.0)), (0.05, 0.0));
        assert!((at("US30", 40_000.0) - 4.0).abs() < 1e-9);
        assert_eq!(at("BTCUSD", 1.0), 0.0, "not in the catalogue");
    }

    #[test]
    fn contradicting_costs_are_refused() {
        for (costs, word) in [
            (["1", "2"], "without a symbol"),
            (["XAUUSD=1", "gold=2"], "two amounts for XAUUSD"),
            (["1", "NOPE=2"], "NOPE"),
        ] {
            let error = table(&costs).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
