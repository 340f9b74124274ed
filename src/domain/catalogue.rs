//! The catalogue: all instruments, and how spellings resolve to them.

use std::collections::HashMap;
use std::iter;
use std::sync::{Arc, OnceLock};

use super::builtin;
use super::instrument::{Instrument, InstrumentClass, Symbol};
use super::spelling::{self, SpellingForm, normalize};
use super::venue::{ExchangeGroup, Venue, group_of};

/// A spelling that does not resolve to an instrument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown symbol '{0}'")]
pub struct UnknownSymbol(pub String);

/// An inconsistent catalogue.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InstrumentsError {
    /// Two instruments claim the same spelling.
    #[error("'{spelling}' is claimed by both {first} and {second}")]
    Ambiguous {
        /// The spelling after normalization.
        spelling: String,
        /// The first instrument with this spelling.
        first: Symbol,
        /// The second instrument with it.
        second: Symbol,
    },
    /// Digits, tick size or symbol are out of range.
    #[error("{symbol}: {reason}")]
    Invalid {
        /// The instrument.
        symbol: Symbol,
        /// What is wrong with it.
        reason: String,
    },
}

/// The catalogue: all instruments, and all their spellings.
#[derive(Debug, Clone, Default)]
pub struct Instruments {
    list: Vec<Arc<Instrument>>,
    by_spelling: HashMap<String, Arc<Instrument>>,
    /// The names of futures; contracts begin with them.
    roots: Vec<(String, Arc<Instrument>)>,
    /// What was added while the server runs.
    added: OnceLock<Box<Self>>,
}

/// Maximum length of a spelling in bytes.
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

    /// Returns the seven instruments of the documents (`default` in the settings).
    pub fn documented() -> Vec<Instrument> {
        builtin::documented()
    }

    /// Returns the four futures of the price ticker: MNQ NQ MES ES (`futures` in the settings).
    pub fn futures() -> Vec<Instrument> {
        builtin::futures()
    }

    /// Returns crypto-currencies in dollars, euros, rand and Tether, such as BTCUSD and BTCZAR (`crypto` in the settings).
    pub fn crypto() -> Vec<Instrument> {
        builtin::crypto()
    }

    /// Returns the instruments of the demo desk. They are in the catalogue while the desk is enabled.
    pub fn demo_desk() -> Vec<Instrument> {
        builtin::demo_desk()
    }

    /// Adds those instruments of `more` none of whose spellings is in use.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_missing(mut self, more: impl IntoIterator<Item = Instrument>) -> Result<Self, InstrumentsError> {
        for instrument in more {
            let mut spellings =
                std::iter::once(instrument.symbol.as_str()).chain(instrument.aliases.iter().map(String::as_str));
            if spellings.all(|spelling| self.named(spelling).is_none()) {
                self.add(instrument)?;
            }
        }
        Ok(self)
    }

    /// Adds those instruments of `more` that this catalogue does not have, in all places that share it. Instruments are never
    /// removed or changed. `more` has to be consistent with this catalogue as a whole.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn extend(&self, more: &Self) -> Result<(), InstrumentsError> {
        let new = more.iter().filter(|instrument| self.get(&instrument.symbol).is_none());
        let mut new = Box::new(Self::new(new.map(|instrument| instrument.as_ref().clone()))?);
        if new.list.is_empty() {
            return Ok(());
        }
        // Every part ends in a free place, unless another call takes it at this moment.
        while let Some(Err(taken)) = self.parts().last().map(|last| last.added.set(new)) {
            new = taken;
        }
        Ok(())
    }

    /// Returns this catalogue as it was built, and what was added since.
    fn parts(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |part| part.added.get().map(AsRef::as_ref))
    }

    /// Returns the instrument with this name or alias, after normalization.
    fn spelled(&self, normalized: &str) -> Option<&Arc<Instrument>> {
        self.parts().find_map(|part| part.by_spelling.get(normalized))
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
            if instrument.class == InstrumentClass::Future && !spelling.contains(':') {
                self.roots.push((spelling.clone(), instrument.clone()));
            }
            self.by_spelling.insert(spelling, instrument.clone());
        }
        self.list.push(instrument);
        Ok(())
    }

    /// Resolves a broker's or provider's spelling, which may begin with an exchange (`NYSE:DOW`), by the rules of
    /// `spelling.rs` and `venue.rs`. It never matches by prefix: `US300` is not `US30`.
    ///
    /// # Errors
    /// [`UnknownSymbol`] when no instrument matches, or the exchange does not list it.
    pub fn resolve(&self, spelling: &str) -> Result<&Arc<Instrument>, UnknownSymbol> {
        self.resolve_listed(spelling, None)
    }

    /// Resolves a spelling for a sender that gives the exchange separately; a blank exchange is ignored. When the
    /// symbol begins with an exchange, too, both have to list the instrument.
    ///
    /// # Errors
    /// [`UnknownSymbol`] when no instrument matches, or an exchange does not list it.
    pub fn resolve_listed(&self, symbol: &str, exchange: Option<&str>) -> Result<&Arc<Instrument>, UnknownSymbol> {
        let exchange = exchange.map(str::trim).filter(|exchange| !exchange.is_empty());
        let unknown = || {
            let prefix = exchange.map(|exchange| format!("{exchange}:")).unwrap_or_default();
            UnknownSymbol(format!("{prefix}{}", symbol.trim()).chars().take(MAX_SPELLING).collect())
        };
        if symbol.len() > MAX_SPELLING || exchange.is_some_and(|exchange| exchange.len() > MAX_SPELLING) {
            return Err(unknown());
        }
        let (own_exchange, bare) = spelling::split_exchange(symbol);
        let exchanges = || [own_exchange, exchange].into_iter().flatten();
        // An alias that includes the exchange has priority, because the operator configured it.
        let named = |exchange: &str| self.spelled(&normalize(&format!("{exchange}:{bare}")));
        if let Some(instrument) = exchanges().find_map(named) {
            return Ok(instrument);
        }
        let (instrument, form, group) = self.find(bare).ok_or_else(unknown)?;
        let name = normalize(bare);
        let lists = |exchange: &str| {
            // Other characters belong to an expression, such as the spread `CME_MINI:ES1!-CME_MINI:ES2!`.
            let is_name = exchange.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | '.'));
            is_name && Venue::of(exchange).lists(instrument, &name, form)
        };
        let is_listed = exchanges().all(lists);
        let fits_tail = group.is_none_or(|group| group_of(instrument).is_none_or(|own| own == group));
        if is_listed && fits_tail { Ok(instrument) } else { Err(unknown()) }
    }

    /// Finds the instrument of a spelling without an exchange. Also returns the form of the spelling, and the group of
    /// exchanges that a contract names.
    fn find(&self, spelling: &str) -> Option<(&Arc<Instrument>, SpellingForm, Option<ExchangeGroup>)> {
        if let Some(instrument) = self.spelled(&normalize(spelling)) {
            return Some((instrument, SpellingForm::Name, None));
        }
        let affixed = spelling::candidates(spelling)
            .into_iter()
            .find_map(|candidate| self.spelled(&candidate.name).filter(|instrument| candidate.fits(instrument.class)));
        if let Some(instrument) = affixed {
            return Some((instrument, SpellingForm::Affixed, None));
        }
        self.parts().flat_map(|part| &part.roots).find_map(|(root, instrument)| {
            spelling::contract(spelling, root).map(|contract| (instrument, SpellingForm::Contract, contract.group))
        })
    }

    /// Returns the instrument with this name or alias, in any case and with any separators, without the rules for
    /// affixes. For names that may belong to other instruments: `MESA` may be a share, and not a broker's spelling of
    /// `MES`.
    pub fn named(&self, spelling: &str) -> Option<&Arc<Instrument>> {
        if spelling.len() > MAX_SPELLING { None } else { self.spelled(&normalize(spelling)) }
    }

    /// Returns the instrument with exactly this canonical name.
    pub fn get(&self, symbol: &Symbol) -> Option<&Arc<Instrument>> {
        self.spelled(symbol.as_str())
    }

    /// Iterates over all instruments in the order of the configuration; those that were added later come last.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Instrument>> {
        self.parts().flat_map(|part| &part.list)
    }
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
    fn a_common_prefix_is_not_enough() {
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
    fn names_match_without_rules_for_affixes() {
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
    fn instruments_can_be_added_to_a_shared_catalogue() {
        let shared = Arc::new(Instruments::new(Instruments::documented()).unwrap());
        let (held, euro) = (shared.clone(), shared.resolve("EURUSD").unwrap());
        assert!(held.resolve("BTC/USD").is_err() && held.resolve("CME_MINI:NQ1!").is_err());
        for more in [all(), Instruments::new(Instruments::crypto()).unwrap(), all()] {
            shared.extend(&more).unwrap();
        }
        let symbol = |spelling| held.resolve(spelling).map(|instrument| instrument.symbol.as_str());
        assert_eq!(
            (symbol("BTC/USD"), symbol("CME_MINI:NQ1!"), symbol("eur/usd")),
            (Ok("BTCUSD"), Ok("NQ"), Ok("EURUSD"))
        );
        assert!(Arc::ptr_eq(euro, held.get(&Symbol::new("EURUSD")).unwrap()), "what was there stays");
        assert_eq!(held.iter().count(), 11 + Instruments::crypto().len(), "nothing is added twice");
        assert!(
            held.named("mes").is_some() && held.iter().last().is_some_and(|last| last.class == InstrumentClass::Crypto)
        );
    }

    #[test]
    fn an_unusable_grid_is_rejected() {
        for (digits, tick_size) in [(2, 0.001), (2, 0.0), (2, -0.25), (2, f64::NAN), (9, 1e-9), (1, 0.25)] {
            let mut list = Instruments::futures();
            (list[0].digits, list[0].tick_size) = (digits, tick_size);
            assert!(Instruments::new(list).is_err(), "{digits} {tick_size}");
        }
    }

    proptest! {
        #[test]
        fn resolving_never_panics(spelling in ".{0,80}") {
            all().resolve(&spelling).ok();
        }
    }
}

#[cfg(test)]
#[path = "spelling_tests.rs"]
mod spelling_tests;
