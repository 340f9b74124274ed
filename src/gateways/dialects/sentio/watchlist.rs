//! What a client asked for, by the names that it used: it looks for its own spelling in the answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Instruments, Symbol};
use crate::hub::Selection;

/// Names that one client may have; more are not taken.
const MAX_NAMES: usize = 256;
/// Longest name, in characters: what can be published at most.
pub(super) const MAX_SYMBOL: usize = 32;

/// Symbols by their one name here, each with the client's own names for it, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watchlist {
    names: BTreeMap<String, BTreeSet<String>>,
    count: usize,
}

impl Watchlist {
    /// A list of these names. Unknown ones are none the less watched: somebody may publish signals for them.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>, instruments: &Instruments) -> Self {
        let mut list = Self::default();
        list.add(names, instruments);
        list
    }

    /// Watches these too.
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

    /// Watches these no more, by whatever names they were asked for.
    pub fn remove<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, instruments: &Instruments) {
        for name in names.into_iter().filter_map(spelling) {
            self.count -= self.names.remove(&canonical(&name, instruments)).map_or(0, |names| names.len());
        }
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether the symbol is watched.
    pub fn holds(&self, symbol: &str) -> bool {
        self.names.contains_key(symbol)
    }

    /// The client's names for a symbol; none when it is not watched.
    pub fn names(&self, symbol: &str) -> impl Iterator<Item = &str> {
        self.names.get(symbol).into_iter().flatten().map(String::as_str)
    }

    /// The same for the hub.
    pub fn selection(&self) -> Selection {
        if self.is_empty() {
            return Selection::None;
        }
        Selection::Only(self.names.keys().map(|name| Symbol::new(name)).collect())
    }
}

/// A name in upper case, if it can be one.
fn spelling(name: &str) -> Option<String> {
    let name = name.trim();
    (1..=MAX_SYMBOL).contains(&name.chars().count()).then(|| name.to_uppercase())
}

/// The one name of a symbol here: the instrument's where it is one of ours, else the name itself.
pub(super) fn canonical(name: &str, instruments: &Instruments) -> String {
    instruments.named(name).map_or_else(|| name.to_owned(), |instrument| instrument.symbol.to_string())
}
