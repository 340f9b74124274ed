//! The faults of a pushed body, with the sender's field names.

use std::fmt;

use super::fields::REQUIRED;
use crate::domain::Fault;

/// How many names the sentence lists; the details contain all of them.
const MAX_NAMED: usize = 10;

/// Why a body is rejected. The text is for the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushFault {
    /// Only the symbol is unknown, or the symbols of a batch.
    UnknownSymbol(Vec<Fault>),
    /// All faults at once.
    Invalid(Vec<Fault>),
}

impl PushFault {
    /// Creates the error from faults, of which `unknown_symbols` are only unknown symbols; `None` without faults.
    pub fn of(faults: Vec<Fault>, unknown_symbols: usize) -> Option<Self> {
        match faults.len() {
            0 => None,
            all if all == unknown_symbols => Some(Self::UnknownSymbol(faults)),
            _ => Some(Self::Invalid(faults)),
        }
    }

    /// Returns the fault of a body that is invalid as a whole.
    pub(super) fn body(reason: &str) -> Self {
        Self::Invalid(vec![Fault::new("body", reason)])
    }

    /// Returns all faults, in reading order.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::UnknownSymbol(faults) | Self::Invalid(faults) => faults,
        }
    }
}

impl fmt::Display for PushFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults();
        let plural = if faults.len() == 1 { "" } else { "s" };
        let missing = faults.iter().all(|fault| fault.reason.starts_with(REQUIRED));
        match faults {
            _ if missing => write!(f, "Missing required field{plural}: {}", names(faults)),
            [fault] if matches!(self, Self::UnknownSymbol(_)) => {
                write!(f, "U{}", fault.reason.trim_start_matches('u'))
            }
            [fault] => write!(f, "Invalid field: {} {}", fault.field, fault.reason),
            _ => write!(f, "Invalid fields: {}", names(faults)),
        }
    }
}

impl std::error::Error for PushFault {}

fn names(faults: &[Fault]) -> String {
    let mut names: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    names.dedup();
    match names.len().checked_sub(MAX_NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", names[..MAX_NAMED].join(", ")),
        _ => names.join(", "),
    }
}
