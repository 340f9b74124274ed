//! The hash chain over the log: every row's hash covers the row and the hash before it, so that a later edit shows.

use sha2::{Digest, Sha256};

/// Hash of a row and of all before it.
pub(super) type Hash = [u8; 32];

/// What stands before the first row of a log.
pub(super) const GENESIS: Hash = [0; 32];

/// One row of `signal_events` without its hash, as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) seq: u64,
    /// When the signal changed; Unix milliseconds.
    pub(super) at: i64,
    /// When it was written; Unix milliseconds.
    pub(super) stored_at: i64,
    pub(super) signal_id: &'a str,
    pub(super) status: &'a str,
    /// Why the signal was invalidated.
    pub(super) reason: Option<&'a str>,
    pub(super) source: &'a str,
    /// The signal, JSON.
    pub(super) body: &'a str,
}

impl Row<'_> {
    /// The hash of this row when `previous` is the hash of the one before it.
    pub(super) fn hash(&self, previous: &Hash) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(previous);
        hasher.update(self.seq.to_le_bytes());
        hasher.update(self.at.to_le_bytes());
        hasher.update(self.stored_at.to_le_bytes());
        // Lengths before texts, so that no byte can move from one field into its neighbour unseen.
        for text in [Some(self.signal_id), Some(self.status), self.reason, Some(self.source), Some(self.body)] {
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            hasher.update(length.to_le_bytes());
            hasher.update(text.unwrap_or_default());
        }
        hasher.finalize().into()
    }
}

/// The last row of the log, or of what was pruned from its front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// 0 before the first row.
    pub(super) seq: u64,
    pub(super) hash: Hash,
}

impl Link {
    /// The place before the first row of a new log.
    pub(super) const START: Self = Self { seq: 0, hash: GENESIS };

    /// Takes in the row that follows.
    ///
    /// # Errors
    /// What does not fit, when it is not the row that was written after this link.
    pub(super) fn follow(self, row: &Row<'_>, stored: &[u8]) -> Result<Self, String> {
        if row.seq != self.seq + 1 {
            return Err(format!("event {} is missing", self.seq + 1));
        }
        let hash = row.hash(&self.hash);
        if hash != stored {
            return Err("its hash does not cover what is stored".to_owned());
        }
        Ok(Self { seq: row.seq, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row<'static> {
        Row {
            seq: 1,
            at: 2,
            stored_at: 3,
            signal_id: "a",
            status: "invalidated",
            reason: Some("timeout"),
            source: "push",
            body: "{}",
        }
    }

    #[test]
    fn every_field_counts() {
        let hash = row().hash(&GENESIS);
        for other in [
            Row { seq: 2, ..row() },
            Row { at: 3, ..row() },
            Row { stored_at: 2, ..row() },
            Row { signal_id: "b", ..row() },
            Row { status: "confirmed", ..row() },
            Row { reason: None, ..row() },
            Row { reason: Some(""), ..row() },
            Row { source: "pushtime", reason: Some("out"), ..row() },
            Row { body: "[]", ..row() },
        ] {
            assert_ne!(other.hash(&GENESIS), hash, "{other:?}");
        }
        assert_ne!(row().hash(&hash), hash);
    }

    /// The stored form must not change under logs that exist.
    #[test]
    fn the_hash_is_pinned() {
        let hex = row().hash(&GENESIS).map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex, "937ede78cfb9bf3492a07c0485bfda1f644db908e9dfa3d4d7256108d862faf5");
    }
}
