//! Instruments: what can be traded, how it is spelled, and the grid its prices live on.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Session;

/// The canonical name of an instrument, such as `EURUSD`. Cheap to clone.
///
/// Only [`Instruments::resolve`] turns an outside spelling into one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// Takes `name` as it is. For names that are canonical already: the catalogue's and the log's.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name, such as `EURUSD`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of market an instrument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Name for people.
    pub name: String,
    /// Kind of market.
    pub class: InstrumentClass,
    /// Decimals of a price, 0–8.
    pub digits: u8,
    /// Smallest price step, a multiple of 10^-digits.
    pub tick_size: f64,
    /// Other spellings, compared without case and separators.
    pub aliases: Vec<String>,
    /// Trading hours.
    pub session: Session,
}

impl Instrument {
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

    fn scale(&self) -> f64 {
        10f64.powi(i32::from(self.digits))
    }
}

/// A spelling that no instrument answers to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown symbol '{0}'")]
pub struct UnknownSymbol(pub String);

/// A catalogue that contradicts itself.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InstrumentsError {
    /// Two instruments answer to one spelling.
    #[error("'{spelling}' is claimed by both {first} and {second}")]
    Ambiguous {
        /// The spelling after normalization.
        spelling: String,
        /// The instrument that had it first.
        first: Symbol,
        /// The instrument that claims it too.
        second: Symbol,
    },
    /// Digits, tick size or symbol outside of what can be served.
    #[error("{symbol}: {reason}")]
    Invalid {
        /// The instrument.
        symbol: Symbol,
        /// What is wrong with it.
        reason: String,
    },
}

/// The catalogue: every instrument, and every spelling that leads to one.
#[derive(Debug, Clone, Default)]
pub struct Instruments {
    list: Vec<Arc<Instrument>>,
    by_spelling: HashMap<String, Arc<Instrument>>,
}

/// What brokers append to a symbol; at most one is stripped, the longest that fits.
const SUFFIXES: [&str; 36] = [
    ".MICRO", ".MINI", ".CASH", "MICRO", "CASH", "MINI", ".PRO", ".RAW", ".ECN", ".STD", ".STP", ".SML", ".FIX", "PRO",
    "ECN", ".M", ".C", ".R", ".I", ".A", ".B", ".E", ".S", ".X", "+", "#", "!", ".", "M", "C", "R", "Z", "I", "A", "B",
    "E",
];
/// Roots whose contracts (`MNQZ2026`, `ESH6`, `NQ1!`, `ES.C.0`) lead to the continuous instrument.
const FUTURES_ROOTS: [&str; 6] = ["MNQ", "MES", "MYM", "NQ", "ES", "YM"];
/// Longest spelling that is looked at, in bytes.
const MAX_SPELLING: usize = 64;

impl Instruments {
    /// Builds the catalogue.
    ///
    /// # Errors
    /// When an instrument's grid is unusable or two instruments claim one spelling.
    pub fn new(list: impl IntoIterator<Item = Instrument>) -> Result<Self, InstrumentsError> {
        let mut catalogue = Self::default();
        for instrument in list {
            catalogue.add(instrument)?;
        }
        Ok(catalogue)
    }

    /// The seven instruments of the ORION documents (`default` in the settings).
    pub fn documented() -> Vec<Instrument> {
        documented()
    }

    /// The four futures of ORION's own price ticker: MNQ NQ MES ES (`futures` in the settings).
    pub fn futures() -> Vec<Instrument> {
        futures()
    }

    fn add(&mut self, instrument: Instrument) -> Result<(), InstrumentsError> {
        check_grid(&instrument)?;
        let instrument = Arc::new(instrument);
        let spellings =
            std::iter::once(instrument.symbol.as_str()).chain(instrument.aliases.iter().map(String::as_str));
        for spelling in spellings {
            let spelling = normalize(spelling);
            if let Some(other) = self.by_spelling.get(&spelling)
                && other.symbol != instrument.symbol
            {
                return Err(InstrumentsError::Ambiguous {
                    spelling,
                    first: other.symbol.clone(),
                    second: instrument.symbol.clone(),
                });
            }
            self.by_spelling.insert(spelling, instrument.clone());
        }
        self.list.push(instrument);
        Ok(())
    }

    /// Finds the instrument behind a broker's or provider's spelling: an exact alias, else one suffix stripped, else the
    /// pattern of a futures contract. Never by prefix: `US300` is not `US30`.
    ///
    /// # Errors
    /// [`UnknownSymbol`] when none of these lead to an instrument.
    pub fn resolve(&self, spelling: &str) -> Result<&Arc<Instrument>, UnknownSymbol> {
        let unknown = || UnknownSymbol(spelling.trim().chars().take(MAX_SPELLING).collect());
        if spelling.len() > MAX_SPELLING {
            return Err(unknown());
        }
        let whole = normalize(spelling);
        let bare = whole.rsplit_once(':').map_or(whole.as_str(), |(_, bare)| bare);
        // Massive's WebSocket writes `C.EUR/USD` for what its REST calls `C:EURUSD`.
        let bare = bare.strip_prefix("C.").unwrap_or(bare);
        [whole.as_str(), bare]
            .into_iter()
            .find_map(|name| self.by_spelling.get(name))
            .or_else(|| self.without_suffix(bare))
            .or_else(|| self.by_spelling.get(futures_root(bare)?))
            .ok_or_else(unknown)
    }

    fn without_suffix(&self, name: &str) -> Option<&Arc<Instrument>> {
        let bare = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix)).chain(name.strip_prefix('#'));
        bare.into_iter().find_map(|bare| self.by_spelling.get(bare))
    }

    /// The instrument with this name or alias, in any case and with any separators; nothing is stripped or guessed. For
    /// names that need not be ours, where `MESA` is a share and not a broker's way to write `MES`.
    pub fn named(&self, spelling: &str) -> Option<&Arc<Instrument>> {
        if spelling.len() > MAX_SPELLING { None } else { self.by_spelling.get(&normalize(spelling)) }
    }

    /// The instrument with exactly this canonical name.
    pub fn get(&self, symbol: &Symbol) -> Option<&Arc<Instrument>> {
        self.by_spelling.get(symbol.as_str())
    }

    /// All instruments, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Instrument>> {
        self.list.iter()
    }
}

/// The form in which spellings are compared: upper case, without `/`, `_`, `-` and spaces.
fn normalize(spelling: &str) -> String {
    spelling.trim().chars().filter(|c| !matches!(c, '/' | '_' | '-' | ' ')).flat_map(char::to_uppercase).collect()
}

/// `MNQZ2026`, `NQZ26`, `ESH6`, `MES1!`, `NQ.C.0` → the root; anything else → `None`.
fn futures_root(name: &str) -> Option<&'static str> {
    FUTURES_ROOTS.into_iter().find(|root| {
        name.strip_prefix(root).is_some_and(|contract| {
            let month_and_year = |rest: &str| {
                rest.strip_prefix(|c| "FGHJKMNQUVXZ".contains(c))
                    .is_some_and(|year| matches!(year.len(), 1 | 2 | 4) && year.bytes().all(|b| b.is_ascii_digit()))
            };
            matches!(contract, "1!" | "2!" | ".C.0" | ".C.1") || month_and_year(contract)
        })
    })
}

fn check_grid(instrument: &Instrument) -> Result<(), InstrumentsError> {
    let invalid =
        |reason: &str| Err(InstrumentsError::Invalid { symbol: instrument.symbol.clone(), reason: reason.into() });
    let name = instrument.symbol.as_str();
    if name.is_empty()
        || name.len() > 32
        || name != normalize(name)
        || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
    {
        return invalid("symbol must be 1 to 32 upper-case letters, digits or dots");
    }
    if instrument.digits > 8 {
        return invalid("digits must be 0 to 8");
    }
    let steps = instrument.tick_size * instrument.scale();
    if !(instrument.tick_size.is_finite() && steps >= 1.0 - 1e-6 && (steps - steps.round()).abs() < 1e-6) {
        return invalid("tick_size must be a positive multiple of 10^-digits");
    }
    Ok(())
}

/// The seven instruments of the ORION documents.
fn documented() -> Vec<Instrument> {
    use InstrumentClass::{Forex, Index, Metal};
    vec![
        instrument("EURUSD", "Euro / US Dollar", Forex, (5, 0.00001), Session::Forex, &["FXIDC:EURUSD", "EURUSD=X"]),
        instrument("GBPUSD", "British Pound / US Dollar", Forex, (5, 0.00001), Session::Forex, &["GBPUSD=X"]),
        instrument("USDJPY", "US Dollar / Japanese Yen", Forex, (3, 0.001), Session::Forex, &["USDJPY=X"]),
        instrument("XAUUSD", "Gold / US Dollar", Metal, (2, 0.01), Session::Globex, &["GOLD", "XAU", "GOLDUSD"]),
        instrument(
            "US30",
            "Dow Jones 30",
            Index,
            (1, 0.1),
            Session::Globex,
            &["DJ30", "WS30", "DJI", "DOW", "DOW30", "USA30", "USIND30", "US30USD", "USA30IDXUSD", "USA30.IDXUSD"],
        ),
        instrument(
            "NAS100",
            "Nasdaq 100",
            Index,
            (1, 0.1),
            Session::Globex,
            &[
                "USTEC",
                "USTECH",
                "USTECH100",
                "US100",
                "NASDAQ",
                "NSDQ100",
                "NAS100USD",
                "USATECHIDXUSD",
                "USATECH.IDXUSD",
                "NDX",
            ],
        ),
        instrument(
            "SPX500",
            "S&P 500",
            Index,
            (1, 0.1),
            Session::Globex,
            &["US500", "SP500", "USA500", "USP500", "USSPX500", "SPX500USD", "USA500IDXUSD", "USA500.IDXUSD", "SPX"],
        ),
    ]
}

/// The four futures of ORION's own price ticker.
fn futures() -> Vec<Instrument> {
    let future = |symbol, name| instrument(symbol, name, InstrumentClass::Future, (2, 0.25), Session::Globex, &[]);
    vec![
        future("MNQ", "Micro E-mini Nasdaq-100"),
        future("NQ", "E-mini Nasdaq-100"),
        future("MES", "Micro E-mini S&P 500"),
        future("ES", "E-mini S&P 500"),
    ]
}

fn instrument(
    symbol: &str,
    name: &str,
    class: InstrumentClass,
    (digits, tick_size): (u8, f64),
    session: Session,
    aliases: &[&str],
) -> Instrument {
    let aliases = aliases.iter().map(ToString::to_string).collect();
    Instrument { symbol: Symbol::new(symbol), name: name.into(), class, digits, tick_size, aliases, session }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> Instruments {
        Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap()
    }

    #[test]
    fn broker_spellings_lead_to_their_instrument() {
        let all = all();
        for (spellings, symbol) in [
            (
                "EURUSD eurusd EUR/USD EUR_USD EUR-USD C:EURUSD C:EUR/USD OANDA:EUR_USD FX:EURUSD FX_IDC:EURUSD EURUSD=X",
                "EURUSD",
            ),
            (
                "EURUSD.m EURUSDm EURUSD.pro EURUSD.raw EURUSDc EURUSD_i EURUSD+ EURUSD# #EURUSD EURUSDmicro EURUSD.ecn",
                "EURUSD",
            ),
            ("GOLD XAU/USD XAU_USD XAU C:XAUUSD TVC:GOLD XAUUSDz GOLD.cash", "XAUUSD"),
            ("US30.cash DJ30 DJ30.cash WS30 DJI DOW30 US30_USD USA30.IDX/USD OANDA:US30USD", "US30"),
            (
                "USTEC USTEC.cash US100 US100.cash NAS100.cash US_TECH100 NAS100_USD USATECH.IDX/USD CAPITALCOM:US100 I:NDX",
                "NAS100",
            ),
            (
                "US500 US500.cash SP500 SPX500.cash US_SPX500 SPX500_USD USA500.IDX/USD CAPITALCOM:US500 SP:SPX",
                "SPX500",
            ),
            ("MNQ MNQZ2026 CME_MINI:MNQ1! MNQZ26 MNQZ6", "MNQ"),
            ("NQ NQZ26 CME_MINI:NQ1! NQ.c.0 /NQ", "NQ"),
            ("MES MESZ6 CME_MINI:MES1!", "MES"),
            ("ES ESH0 CME_MINI:ES1! /ES ESU2026", "ES"),
        ] {
            for spelling in spellings.split(' ') {
                assert_eq!(all.resolve(spelling).map(|i| i.symbol.as_str()), Ok(symbol), "{spelling}");
            }
        }
    }

    #[test]
    fn what_only_begins_like_an_instrument_is_unknown() {
        let all = all();
        for spelling in
            ["US300", "NQX", "ESX5000000", "EURUSD.mm", "EURUSDXX", "", " ", "MYM", "6E", "EUR", "NAS1000", "MNQ12"]
        {
            assert_eq!(
                all.resolve(spelling).map(|i| i.symbol.as_str()),
                Err(UnknownSymbol(spelling.trim().into())),
                "{spelling}"
            );
        }
        assert!(all.resolve(&"X".repeat(100_000)).is_err_and(|unknown| unknown.0.len() == MAX_SPELLING));
    }

    #[test]
    fn a_name_is_not_guessed_at() {
        let all = all();
        for (spelling, symbol) in [("eur/usd", Some("EURUSD")), (" Gold ", Some("XAUUSD")), ("MES", Some("MES"))] {
            assert_eq!(all.named(spelling).map(|i| i.symbol.as_str()), symbol, "{spelling}");
        }
        for spelling in ["MESA", "ESE", "EURUSD.m", "MESZ6", "AAPL", ""] {
            assert_eq!(all.named(spelling), None, "{spelling}");
        }
    }

    #[test]
    fn two_instruments_cannot_share_a_spelling() {
        let mut list = Instruments::documented();
        list[1].aliases.push("eur/usd".into());
        let error = Instruments::new(list).unwrap_err();
        assert_eq!(error.to_string(), "'EURUSD' is claimed by both EURUSD and GBPUSD");
    }

    #[test]
    fn a_grid_that_cannot_be_kept_is_refused() {
        for (digits, tick_size) in [(2, 0.001), (2, 0.0), (2, -0.25), (2, f64::NAN), (9, 1e-9), (1, 0.25)] {
            let mut list = Instruments::futures();
            (list[0].digits, list[0].tick_size) = (digits, tick_size);
            assert!(Instruments::new(list).is_err(), "{digits} {tick_size}");
        }
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

    proptest! {
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

        #[test]
        fn resolving_never_panics(spelling in ".{0,80}") {
            all().resolve(&spelling).ok();
        }
    }
}

#[cfg(test)]
#[path = "spelling_tests.rs"]
mod spelling_tests;
