//! What is wrong with an input, field by field.

use serde::{Deserialize, Serialize};

use super::UnknownSymbol;

/// A fault of one field of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The field as the sender spelled it; the documented name when it is missing.
    pub field: String,
    /// The kind, for code that treats one kind differently.
    pub kind: FaultKind,
    /// What is wrong, for the user.
    pub reason: String,
}

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// A required field is missing.
    Missing,
    /// The symbol is not in the catalogue.
    UnknownSymbol,
    /// The value is invalid.
    Invalid,
}

impl Fault {
    /// Makes the fault of an invalid value.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), kind: FaultKind::Invalid, reason: reason.into() }
    }

    /// Makes the fault of a missing field.
    pub fn required(field: impl Into<String>) -> Self {
        Self::required_when(field, "")
    }

    /// Makes the fault of a field without which a new signal cannot be made.
    pub fn required_for_signal(field: impl Into<String>) -> Self {
        Self::required_when(field, " for a new signal")
    }

    /// Makes the fault of a missing field; `when` continues the text, and begins with its blank or comma.
    pub fn required_when(field: impl Into<String>, when: &str) -> Self {
        Self { kind: FaultKind::Missing, ..Self::new(field, format!("is required{when}")) }
    }

    /// Makes the fault of a symbol that is not in the catalogue.
    pub fn unknown_symbol(field: impl Into<String>, unknown: &UnknownSymbol) -> Self {
        Self { kind: FaultKind::UnknownSymbol, ..Self::new(field, unknown.to_string()) }
    }

    /// Returns the fault with another name of its field, such as one with its place in a batch.
    #[must_use]
    pub fn renamed(self, name: impl FnOnce(&str) -> String) -> Self {
        Self { field: name(&self.field), ..self }
    }
}
