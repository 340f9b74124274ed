//! Which signal events one connection has had without a gap, symbol by symbol. This decides whether a cursor that is
//! presented later points at events that the connection has not had.

use std::collections::BTreeMap;

use crate::domain::Symbol;
use crate::hub::Selection;

/// For each subscribed symbol, the sequence number after which every event was sent, or will be.
#[derive(Debug, Default)]
pub(crate) struct Completeness {
    /// Symbols with a number of their own.
    symbols: BTreeMap<Symbol, u64>,
    /// The number of all other symbols; `None` when they are not subscribed.
    others: Option<u64>,
    /// Events up to this one may be missing for good, whatever the other numbers are.
    gap_until: u64,
}

impl Completeness {
    /// Sets the subscription. Symbols that it did not contain before are complete after `seq`.
    pub(crate) fn set(&mut self, wanted: &Selection, seq: u64) {
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

    /// Notes that every event of `filled` after `seq` has been sent as well.
    pub(crate) fn fill(&mut self, filled: &Selection, seq: u64) {
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

    /// Notes that events up to `seq` were left out. They can never be sent in order any more.
    pub(crate) fn leave_gap_until(&mut self, seq: u64) {
        self.gap_until = self.gap_until.max(seq);
    }

    /// Returns the number after which all events of `symbol` have been sent; `None` when it is not subscribed.
    pub(crate) fn after(&self, symbol: &Symbol) -> Option<u64> {
        self.symbols.get(symbol).copied().or(self.others)
    }

    /// Returns the number after which the events of every symbol have been sent.
    pub(crate) fn after_all(&self) -> u64 {
        self.symbols.values().copied().chain(self.others).max().unwrap_or(0)
    }

    /// Whether this connection has had every event of `wanted` after `seq`.
    pub(crate) fn covers(&self, wanted: &Selection, seq: u64) -> bool {
        let has = |after: Option<u64>| after.is_some_and(|after| after <= seq);
        seq >= self.gap_until
            && match wanted {
                Selection::None => true,
                Selection::All => has(self.others) && self.after_all() <= seq,
                Selection::Only(symbols) => symbols.iter().all(|symbol| has(self.after(symbol))),
            }
    }

    /// Whether events after `seq` were left out.
    pub(crate) fn has_gap_after(&self, seq: u64) -> bool {
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
    fn new_symbols_are_complete_from_their_subscription() {
        let mut has = Completeness::default();
        assert!(!has.covers(&only(&["EURUSD"]), 9));
        has.set(&only(&["EURUSD"]), 10);
        has.set(&only(&["EURUSD", "XAUUSD"]), 20);
        assert!(has.covers(&only(&["EURUSD"]), 10) && !has.covers(&only(&["EURUSD"]), 9));
        assert!(has.covers(&only(&["XAUUSD"]), 20) && !has.covers(&only(&["EURUSD", "XAUUSD"]), 19));
        has.set(&Selection::All, 30);
        assert!(has.covers(&only(&["EURUSD"]), 10) && has.covers(&only(&["US30"]), 30));
        assert!(!has.covers(&Selection::All, 29) && has.covers(&Selection::All, 30));
        has.set(&only(&["US30", "EURUSD"]), 40);
        assert_eq!((has.after(&Symbol::new("US30")), has.after(&Symbol::new("XAUUSD"))), (Some(30), None));
        has.set(&Selection::None, 50);
        assert_eq!(has.after(&Symbol::new("EURUSD")), None);
    }

    #[test]
    fn a_filled_gap_counts_for_its_symbols() {
        let mut has = Completeness::default();
        has.set(&Selection::All, 10);
        has.fill(&only(&["EURUSD"]), 4);
        assert!(has.covers(&only(&["EURUSD"]), 4) && !has.covers(&Selection::All, 9));
        has.fill(&Selection::All, 6);
        assert!(has.covers(&Selection::All, 6) && has.covers(&only(&["EURUSD"]), 4));
        has.leave_gap_until(8);
        assert!(!has.covers(&Selection::All, 7) && has.has_gap_after(7) && has.covers(&Selection::All, 8));
    }
}
