//! Settings of the instruments.

use serde::{Deserialize, Serialize};

use super::{Settings, SourceSettings, value};
use crate::domain::{Instrument, InstrumentClass, Instruments, InstrumentsError, Session, Symbol};

/// A set of built-in instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstrumentSet {
    /// The seven of the documents.
    Default,
    /// MNQ NQ MES ES.
    Futures,
    /// Coins in dollars, euros, rand and Tether.
    Crypto,
}

/// An instrument of the operator's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstrumentEntry {
    /// Canonical name, upper case.
    #[serde(deserialize_with = "value::text")]
    pub symbol: String,
    /// Name for people. Default: the symbol.
    #[serde(default, deserialize_with = "value::unless_empty")]
    pub name: Option<String>,
    /// forex, metal, index, future, crypto or stock.
    #[serde(deserialize_with = "value::choice")]
    pub class: InstrumentClass,
    /// Decimals of a price, 0–8.
    #[serde(deserialize_with = "value::whole")]
    pub digits: u8,
    /// Smallest step. Default 10^-digits.
    #[serde(default)]
    pub tick_size: Option<f64>,
    /// Other spellings. Default none.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// forex, globex or always. Default by class: forex; globex for metal, index and future; always.
    #[serde(default, deserialize_with = "value::optional_choice")]
    pub session: Option<Session>,
}

impl From<&InstrumentEntry> for Instrument {
    fn from(entry: &InstrumentEntry) -> Self {
        Self {
            symbol: Symbol::new(&entry.symbol),
            name: entry.name.clone().unwrap_or_else(|| entry.symbol.clone()),
            class: entry.class,
            digits: entry.digits,
            // 1 / 10^5 is the double nearest to 0.00001; `powi(-5)` is not.
            tick_size: entry.tick_size.unwrap_or_else(|| 1.0 / 10f64.powi(i32::from(entry.digits))),
            aliases: entry.aliases.clone(),
            session: entry.session.unwrap_or(match entry.class {
                InstrumentClass::Forex => Session::Forex,
                InstrumentClass::Metal | InstrumentClass::Index | InstrumentClass::Future => Session::Globex,
                InstrumentClass::Crypto | InstrumentClass::Stock => Session::Always,
            }),
        }
    }
}

impl Settings {
    /// Builds the catalogue: the chosen sets, then the operator's own instruments, then the built-in crypto-currencies that the
    /// enabled providers are asked for, then those of the demo desk if it is enabled. An own instrument replaces a built-in one
    /// with the same symbol.
    ///
    /// # Errors
    /// When two instruments claim one symbol or spelling, or the grid of one is unusable.
    pub fn instruments(&self) -> Result<Instruments, InstrumentsError> {
        let mut list: Vec<Instrument> = self
            .instrument_sets
            .iter()
            .flat_map(|set| match set {
                InstrumentSet::Default => Instruments::documented(),
                InstrumentSet::Futures => Instruments::futures(),
                InstrumentSet::Crypto => Instruments::crypto(),
            })
            .collect();
        for (index, entry) in self.instruments.iter().enumerate() {
            let own = Instrument::from(entry);
            if self.instruments[..index].iter().any(|earlier| earlier.symbol == entry.symbol) {
                return Err(InstrumentsError::Invalid { symbol: own.symbol, reason: "is defined twice".into() });
            }
            match list.iter_mut().find(|built_in| built_in.symbol == own.symbol) {
                Some(built_in) => *built_in = own,
                None => list.push(own),
            }
        }
        let desk = if self.desk_runs() { Instruments::demo_desk() } else { Vec::new() };
        Instruments::new(list)?.with_missing(self.provided_coins()?)?.with_missing(desk)
    }

    /// Returns the built-in crypto-currencies that the enabled providers are asked for.
    fn provided_coins(&self) -> Result<Vec<Instrument>, InstrumentsError> {
        let coins = Instruments::new(Instruments::crypto())?;
        let named = self.providers.instruments(&self.sources).filter_map(|name| coins.resolve(name).ok());
        Ok(named.map(|coin| Instrument::clone(coin)).collect())
    }

    /// Whether the demo desk runs. It never runs while a recording is replayed.
    pub fn desk_runs(&self) -> bool {
        self.demo.desk && !self.sources.runs(SourceSettings::REPLAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DemoSettings;

    fn entry(symbol: &str, digits: u8) -> InstrumentEntry {
        InstrumentEntry {
            symbol: symbol.into(),
            name: None,
            class: InstrumentClass::Crypto,
            digits,
            tick_size: None,
            aliases: vec![format!("{symbol}.P")],
            session: None,
        }
    }

    #[test]
    fn own_instruments_extend_or_replace_built_in_ones() {
        let settings = Settings { instruments: vec![entry("BTCUSD", 2), entry("EURUSD", 4)], ..Settings::default() };
        let catalogue = settings.instruments().unwrap();
        let symbols: Vec<&str> = catalogue.iter().map(|instrument| instrument.symbol.as_str()).collect();
        assert_eq!(
            symbols,
            ["EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "US30", "NAS100", "SPX500", "MNQ", "NQ", "MES", "ES", "BTCUSD"]
        );
        let euro = catalogue.resolve("eurusd.p").unwrap();
        assert_eq!((euro.digits, euro.tick_size, euro.session), (4, 0.0001, Session::Always));
        assert_eq!(euro.name, "EURUSD");
    }

    #[test]
    fn the_desk_adds_instruments_and_replaces_none() {
        let demo = DemoSettings { desk: true, ..DemoSettings::default() };
        let settings = Settings { instruments: vec![entry("AAPL", 3)], demo, ..Settings::default() };
        let catalogue = settings.instruments().unwrap();
        for (spellings, symbol) in [
            (&["BTC-ZAR", "BTC/ZAR", "btczar", "XBTZAR"][..], "BTCZAR"),
            (&["GOOGL"], "GOOGL"),
            (&["AUD/USD", "audusd"], "AUDUSD"),
            (&["AAPL", "AAPL.P"], "AAPL"),
        ] {
            for spelling in spellings {
                assert_eq!(catalogue.resolve(spelling).unwrap().symbol.as_str(), symbol, "{spelling}");
            }
        }
        assert_eq!((catalogue.resolve("AAPL").unwrap().digits, catalogue.iter().count()), (3, 11 + 11));
        assert_eq!(catalogue.resolve("BTCZAR").unwrap().pair(), Some("BTC/ZAR"));
        assert_eq!(catalogue.resolve("EURUSD").unwrap().pair(), None);
        let sources = SourceSettings { enabled: vec![SourceSettings::REPLAY.to_owned()].into() };
        for off in [Settings { sources, ..settings.clone() }, Settings::default()] {
            assert!(off.instruments().unwrap().resolve("TSLA").is_err());
        }
        let own = InstrumentEntry { aliases: vec!["TSLA".into()], ..entry("TESLA", 2) };
        let settings = Settings { instruments: vec![own], ..settings };
        assert_eq!(settings.instruments().unwrap().resolve("TSLA").unwrap().symbol.as_str(), "TESLA");
    }

    #[test]
    fn a_symbol_is_defined_once() {
        let settings = Settings { instruments: vec![entry("BTCUSD", 2), entry("BTCUSD", 1)], ..Settings::default() };
        assert_eq!(settings.instruments().unwrap_err().to_string(), "BTCUSD: is defined twice");
    }
}
