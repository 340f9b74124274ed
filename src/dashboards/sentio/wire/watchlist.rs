//! The symbols that a client asked for, with the names it used: the client looks for its own spelling in the answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Instruments, Symbol};
use crate::hub::Selection;

/// Largest number of names of one client. More are ignored.
const MAX_NAMES: usize = 256;
/// Longest name in characters, the same as for published symbols.
pub(in crate::dashboards::sentio) const MAX_SYMBOL: usize = 32;

/// Symbols by their canonical name, each with the client's own names for it, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watchlist {
    names: BTreeMap<String, BTreeSet<String>>,
    count: usize,
}

impl Watchlist {
    /// Creates a list of these names. Unknown names are watched too, because signals may be published for them.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>, instruments: &Instruments) -> Self {
        let mut list = Self::default();
        list.add(names, instruments);
        list
    }

    /// Adds names.
    pub fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, instruments: &Instruments) {
        for name in names.into_iter().filter_map(spelling) {
            if self.count == MAX_NAMES {
                return;
            }
            if self.names.entry(canonical(&name, instruments)).or_default().insert(name) {
                self.count += 1;
            }
        }
    }

    /// Removes symbols, whichever of their names was used to add them.
    pub fn remove<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, instruments: &Instruments) {
        for name in names.into_iter().filter_map(spelling) {
            self.count -= self.names.remove(&canonical(&name, instruments)).map_or(0, |names| names.len());
        }
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether the symbol is watched.
    pub fn contains(&self, symbol: &str) -> bool {
        self.names.contains_key(symbol)
    }

    /// Returns the client's names for a symbol; empty when it is not watched.
    pub fn names(&self, symbol: &str) -> impl Iterator<Item = &str> {
        self.names.get(symbol).into_iter().flatten().map(String::as_str)
    }

    /// Returns the list as a selection for the hub.
    pub fn selection(&self) -> Selection {
        if self.is_empty() {
            return Selection::None;
        }
        Selection::Only(self.names.keys().map(|name| Symbol::new(name)).collect())
    }
}

/// Returns a name in upper case, if it is a possible name.
fn spelling(name: &str) -> Option<String> {
    let name = name.trim();
    (1..=MAX_SYMBOL).contains(&name.chars().count()).then(|| name.to_uppercase())
}

/// Returns the canonical name of a symbol: the instrument's if there is one, otherwise the name itself.
pub(super) fn canonical(name: &str, instruments: &Instruments) -> String {
    instruments.named(name).map_or_else(|| name.to_owned(), |instrument| instrument.symbol.to_string())
}
