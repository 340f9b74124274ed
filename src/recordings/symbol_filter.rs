//! Which rows are the instrument's, where a column names it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::{Instrument, Instruments};

/// Spellings that are kept to be told.
const MAX_LISTED: usize = 8;

/// The instrument that is looked for.
#[derive(Debug)]
pub(super) struct SymbolFilter {
    instrument: Arc<Instrument>,
    instruments: Arc<Instruments>,
    /// The only spelling of a file, which the catalogue does not know: it is taken at the user's word.
    only: Option<String>,
    last: Option<(String, bool)>,
    found: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl SymbolFilter {
    pub(super) fn new(instrument: Arc<Instrument>, instruments: Arc<Instruments>) -> Self {
        Self { instrument, instruments, only: None, last: None, found: BTreeSet::new(), others: BTreeSet::new() }
    }

    /// Whether a row with this spelling is the instrument's.
    pub(super) fn is(&mut self, spelling: &str) -> bool {
        // A column that stays empty says nothing.
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
        let told = if is { &mut self.found } else { &mut self.others };
        if told.len() < MAX_LISTED {
            told.insert(spelling.chars().take(40).collect());
        }
        self.last = Some((spelling.to_owned(), is));
        is
    }

    /// Takes the word of the user for the only spelling of a file, unless it is that of another instrument.
    pub(super) fn settle(&mut self, spellings: &BTreeSet<String>) -> Option<String> {
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

    /// Takes that back: the file has other spellings after all.
    pub(super) fn unsettle(&mut self) {
        (self.only, self.last) = (None, None);
    }

    /// What the rows of the instrument are called.
    pub(super) fn found(&self) -> &BTreeSet<String> {
        &self.found
    }

    /// What other rows are called.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(String::as_str)
    }
}
