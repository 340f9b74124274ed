//! A setting that must never be shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// A token or key. Prints as `***`, and compares in constant time.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(String);

/// What stands in the place of a secret.
const MASK: &str = "***";

impl Secret {
    /// Takes a secret. White space around it cannot be meant (a header could not carry it) and is dropped: secrets tend
    /// to be pasted with a line break.
    pub fn new(secret: impl AsRef<str>) -> Self {
        Self(secret.as_ref().trim().to_owned())
    }

    /// The secret itself, for the header or the address that carries it to its owner; never for a text that is shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is what [`Secret`] prints: copied from the printed settings, and known to everybody.
    pub(super) fn is_mask(&self) -> bool {
        self.0 == MASK
    }

    /// The secret itself, for what has to compute with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it has as many bytes, all of this kind.
    pub(super) fn consists_of(&self, bytes: std::ops::RangeInclusive<usize>, kind: impl Fn(u8) -> bool) -> bool {
        bytes.contains(&self.0.len()) && self.0.bytes().all(kind)
    }

    /// Whether `candidate` is this secret; takes the same time wherever they differ.
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2\n");
        assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** \"***\"");
        assert!(secret.matches("hunter2"));
        assert!(!secret.matches("hunter"));
    }
}
