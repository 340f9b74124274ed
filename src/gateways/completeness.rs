//! From where on one connection has had every signal event, symbol by symbol: what tells whether a cursor that comes late
//! points at anything that the connection has not had.

use std::collections::BTreeMap;

use crate::domain::Symbol;
use crate::hub::Selection;

/// For each symbol of a subscription the sequence number after which every event was, or will be, sent.
#[derive(Debug, Default)]
pub(super) struct Completeness {
    /// Symbols with a number of their own.
    symbols: BTreeMap<Symbol, u64>,
    /// The number of all other symbols; `None` when the subscription does not hold them.
    others: Option<u64>,
    /// Events up to this one were left out for good, whatever the numbers say.
    gap_until: u64,
}

impl Completeness {
    /// The subscription is `wanted` from now on; symbols that it did not hold before are complete after `seq`.
    pub(super) fn set(&mut self, wanted: &Selection, seq: u64) {
        match wanted {
            Selection::None => *self = Self::default(),
            Selection::All => self.others = self.others.or(Some(seq)),
            Selection::Only(symbols) => {
                let after = |symbol: &Symbol| (symbol.clone(), self.after(symbol).unwrap_or(seq));
                self.symbols = symbols.iter().map(after).collect();
                self.others = None;
            }
        }
    }

    /// Every event of `filled` after `seq` has been sent as well.
    pub(super) fn fill(&mut self, filled: &Selection, seq: u64) {
        if let Selection::Only(symbols) = filled {
            for symbol in symbols {
                if let Some(after) = self.after(symbol) {
                    self.symbols.insert(symbol.clone(), after.min(seq));
                }
            }
        } else if *filled == Selection::All {
            self.others = self.others.map(|after| after.min(seq));
            self.symbols.values_mut().for_each(|after| *after = (*after).min(seq));
        }
    }

    /// Some events up to `seq` were left out: they can never be in order any more.
    pub(super) fn leave_gap_until(&mut self, seq: u64) {
        self.gap_until = self.gap_until.max(seq);
    }

    /// The number after which all events of `symbol` have been sent; `None` when the subscription does not hold it.
    pub(super) fn after(&self, symbol: &Symbol) -> Option<u64> {
        self.symbols.get(symbol).copied().or(self.others)
    }

    /// The number after which the events of every symbol have been sent.
    pub(super) fn after_all(&self) -> u64 {
        self.symbols.values().copied().chain(self.others).max().unwrap_or(0)
    }

    /// Whether this connection has had every event of `wanted` after `seq`.
    pub(super) fn holds(&self, wanted: &Selection, seq: u64) -> bool {
        let has = |after: Option<u64>| after.is_some_and(|after| after <= seq);
        seq >= self.gap_until
            && match wanted {
                Selection::None => true,
                Selection::All => has(self.others) && self.after_all() <= seq,
                Selection::Only(symbols) => symbols.iter().all(|symbol| has(self.after(symbol))),
            }
    }

    /// Whether events between `seq` and the present were left out.
    pub(super) fn has_gap_after(&self, seq: u64) -> bool {
        seq < self.gap_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(symbols: &[&str]) -> Selection {
        Selection::Only(symbols.iter().map(|symbol| Symbol::new(symbol)).collect())
    }

    #[test]
    fn new_symbols_are_complete_from_their_joining() {
        let mut has = Completeness::default();
        assert!(!has.holds(&only(&["EURUSD"]), 9));
        has.set(&only(&["EURUSD"]), 10);
        has.set(&only(&["EURUSD", "XAUUSD"]), 20);
        assert!(has.holds(&only(&["EURUSD"]), 10) && !has.holds(&only(&["EURUSD"]), 9));
        assert!(has.holds(&only(&["XAUUSD"]), 20) && !has.holds(&only(&["EURUSD", "XAUUSD"]), 19));
        has.set(&Selection::All, 30);
        assert!(has.holds(&only(&["EURUSD"]), 10) && has.holds(&only(&["US30"]), 30));
        assert!(!has.holds(&Selection::All, 29) && has.holds(&Selection::All, 30));
        has.set(&only(&["US30", "EURUSD"]), 40);
        assert_eq!((has.after(&Symbol::new("US30")), has.after(&Symbol::new("XAUUSD"))), (Some(30), None));
        has.set(&Selection::None, 50);
        assert_eq!(has.after(&Symbol::new("EURUSD")), None);
    }

    #[test]
    fn what_was_filled_counts_for_its_symbols() {
        let mut has = Completeness::default();
        has.set(&Selection::All, 10);
        has.fill(&only(&["EURUSD"]), 4);
        assert!(has.holds(&only(&["EURUSD"]), 4) && !has.holds(&Selection::All, 9));
        has.fill(&Selection::All, 6);
        assert!(has.holds(&Selection::All, 6) && has.holds(&only(&["EURUSD"]), 4));
        has.leave_gap_until(8);
        assert!(!has.holds(&Selection::All, 7) && has.has_gap_after(7) && has.holds(&Selection::All, 8));
    }
}
