//! Selects the rows of the instrument, if a column has the symbol.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::{Instrument, Instruments};

/// How many spellings are kept for the report.
const MAX_LISTED: usize = 8;

/// Selects the rows of one instrument.
#[derive(Debug)]
pub(super) struct SymbolFilter {
    instrument: Arc<Instrument>,
    instruments: Arc<Instruments>,
    /// The only spelling in the file, if the catalogue does not know it. It is accepted because the user named the
    /// instrument.
    only: Option<String>,
    last: Option<(String, bool)>,
    found: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl SymbolFilter {
    pub(super) fn new(instrument: Arc<Instrument>, instruments: Arc<Instruments>) -> Self {
        Self { instrument, instruments, only: None, last: None, found: BTreeSet::new(), others: BTreeSet::new() }
    }

    /// Returns whether a row with this spelling belongs to the instrument.
    pub(super) fn is(&mut self, spelling: &str) -> bool {
        // An empty field says nothing about the instrument.
        if spelling.is_empty() {
            return true;
        }
        if let Some((last, is)) = &self.last
            && last == spelling
        {
            return *is;
        }
        let resolved = self.instruments.resolve(spelling);
        let is = resolved.is_ok_and(|found| found.symbol == self.instrument.symbol)
            || self.only.as_deref() == Some(spelling);
        let spellings_seen = if is { &mut self.found } else { &mut self.others };
        if spellings_seen.len() < MAX_LISTED {
            spellings_seen.insert(spelling.chars().take(40).collect());
        }
        self.last = Some((spelling.to_owned(), is));
        is
    }

    /// Accepts the only spelling of a file, unless it belongs to another instrument.
    pub(super) fn accept_only(&mut self, spellings: &BTreeSet<String>) -> Option<String> {
        let mut all = spellings.iter();
        match (all.next(), all.next()) {
            (Some(only), None) if self.instruments.resolve(only).is_err() => {
                self.only = Some(only.clone());
                let symbol = &self.instrument.symbol;
                Some(format!(
                    "the file calls its instrument '{only}', which is not in the catalogue: taken for {symbol}"
                ))
            }
            _ => None,
        }
    }

    /// Reverts [`accept_only`](Self::accept_only): the file has other spellings too.
    pub(super) fn revert(&mut self) {
        (self.only, self.last) = (None, None);
    }

    /// Returns the spellings of the instrument's rows.
    pub(super) fn found(&self) -> &BTreeSet<String> {
        &self.found
    }

    /// Returns the spellings of other rows.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(String::as_str)
    }
}
