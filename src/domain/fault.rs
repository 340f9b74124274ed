//! What is wrong with an input, field by field.

/// A fault of one field of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field as the sender spelled it; the documented name when it is missing.
    pub field: String,
    /// What is wrong, for the user.
    pub reason: String,
}

impl Fault {
    /// Makes a fault of `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}
