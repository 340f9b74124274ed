//! The hash chains over the log, one of events and one of records. The hash of each row covers the row and the previous
//! hash, so that a later edit is detected.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The hash of a row and of all rows before it.
pub type Hash = [u8; 32];

/// The previous hash of the first row.
pub(super) const GENESIS: Hash = [0; 32];

/// A row of a chain.
pub(super) trait Chained {
    /// The name of a row in error messages.
    const NAME: &'static str;

    /// Returns the sequence number.
    fn seq(&self) -> u64;

    /// Returns the hash of the row when `previous` is the hash of the row before it.
    fn hash(&self, previous: &Hash) -> Hash;

    /// Returns the data of the row's leaf in the [tree](super::tree): JSON that an outsider can read and hash. The form must not
    /// change under logs that exist.
    fn leaf(&self) -> String;
}

/// One row of `signal_events` without its hash, as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventRow<'a> {
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

impl Chained for EventRow<'_> {
    const NAME: &'static str = "event";

    fn seq(&self) -> u64 {
        self.seq
    }

    fn hash(&self, previous: &Hash) -> Hash {
        let texts = [Some(self.signal_id), Some(self.status), self.reason, Some(self.source), Some(self.body)];
        hash(previous, [self.seq.to_le_bytes(), self.at.to_le_bytes(), self.stored_at.to_le_bytes()], texts)
    }

    fn leaf(&self) -> String {
        let Self { seq, at, stored_at, body, .. } = self;
        let (id, status) = (Value::from(self.signal_id), Value::from(self.status));
        let (reason, source) = (Value::from(self.reason), Value::from(self.source));
        format!(
            r#"{{"event":{seq},"at":{at},"stored_at":{stored_at},"id":{id},"status":{status},"reason":{reason},"source":{source},"signal":{body}}}"#
        )
    }
}

/// One row of `outcomes` without its hash, as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordRow<'a> {
    pub(super) seq: u64,
    /// When it ended; Unix milliseconds.
    pub(super) closed_at: i64,
    /// When it was written; Unix milliseconds.
    pub(super) stored_at: i64,
    /// Whether it was written before the chain existed. Nothing proves its content before that.
    pub(super) taken_over: bool,
    pub(super) signal_id: &'a str,
    /// The outcome, JSON.
    pub(super) body: &'a str,
}

impl Chained for RecordRow<'_> {
    const NAME: &'static str = "record";

    fn seq(&self) -> u64 {
        self.seq
    }

    fn hash(&self, previous: &Hash) -> Hash {
        let taken_over = u64::from(self.taken_over).to_le_bytes();
        let numbers = [self.seq.to_le_bytes(), self.closed_at.to_le_bytes(), self.stored_at.to_le_bytes(), taken_over];
        hash(previous, numbers, [Some(self.signal_id), Some(self.body)])
    }

    fn leaf(&self) -> String {
        let Self { seq, closed_at, stored_at, taken_over, body, .. } = self;
        let id = Value::from(self.signal_id);
        format!(
            r#"{{"record":{seq},"closed_at":{closed_at},"stored_at":{stored_at},"taken_over":{taken_over},"id":{id},"outcome":{body}}}"#
        )
    }
}

/// Returns the hash of a stored open record. It is not part of a chain, because these rows are replaced every minute.
pub(super) fn open_hash(signal_id: &str, body: &str) -> Hash {
    hash(&GENESIS, [], [Some(signal_id), Some(body)])
}

fn hash<'a>(
    previous: &Hash,
    numbers: impl IntoIterator<Item = [u8; 8]>,
    texts: impl IntoIterator<Item = Option<&'a str>>,
) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    for number in numbers {
        hasher.update(number);
    }
    // Each text follows its length, so that moving a byte between two fields changes the hash.
    for text in texts {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hasher.update(length.to_le_bytes());
        hasher.update(text.unwrap_or_default());
    }
    hasher.finalize().into()
}

/// A row of a chain as the link to the next one: the head, or the last pruned row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLink {
    /// The sequence number; 0 before the first row.
    pub seq: u64,
    /// The hash of the row and of all rows before it.
    pub hash: Hash,
}

impl ChainLink {
    /// The link before the first row.
    pub const START: Self = Self { seq: 0, hash: GENESIS };

    /// Returns the link of the next row.
    ///
    /// # Errors
    /// What does not match, when `row` is not the row that was written after this link.
    pub(super) fn follow<R: Chained>(self, row: &R, stored: &[u8]) -> Result<Self, String> {
        let seq = row.seq();
        if seq != self.seq + 1 {
            return Err(format!("{} {} is missing", R::NAME, self.seq + 1));
        }
        let hash = row.hash(&self.hash);
        if hash != stored {
            return Err("its hash does not cover what is stored".to_owned());
        }
        Ok(Self { seq, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> EventRow<'static> {
        EventRow {
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
            EventRow { seq: 2, ..row() },
            EventRow { at: 3, ..row() },
            EventRow { stored_at: 2, ..row() },
            EventRow { signal_id: "b", ..row() },
            EventRow { status: "confirmed", ..row() },
            EventRow { reason: None, ..row() },
            EventRow { reason: Some(""), ..row() },
            EventRow { source: "pushtime", reason: Some("out"), ..row() },
            EventRow { body: "[]", ..row() },
        ] {
            assert_ne!(other.hash(&GENESIS), hash, "{other:?}");
        }
        assert_ne!(row().hash(&hash), hash);
    }

    #[test]
    fn every_field_of_a_record_counts() {
        let record = RecordRow { seq: 1, closed_at: 2, stored_at: 3, taken_over: false, signal_id: "a", body: "{}" };
        let hash = record.hash(&GENESIS);
        for other in [
            RecordRow { seq: 2, ..record },
            RecordRow { closed_at: 3, ..record },
            RecordRow { stored_at: 2, ..record },
            RecordRow { taken_over: true, ..record },
            RecordRow { signal_id: "b", ..record },
            RecordRow { signal_id: "a{", body: "}", ..record },
        ] {
            assert_ne!(other.hash(&GENESIS), hash, "{other:?}");
        }
        assert_ne!(record.hash(&hash), hash);
        assert_ne!(open_hash("a", "{}"), open_hash("a{", "}"));
        let hex = hash.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(
            hex, "7ab81e0138133f9e77e7c332deceeacebfc8f66e0122206075c3842bd318fd87",
            "the stored form must not change under logs that exist"
        );
    }

    /// Signed checkpoints depend on the form.
    #[test]
    fn the_leaves_are_pinned() {
        let event = EventRow { signal_id: "a\"b", reason: None, ..row() };
        assert_eq!(
            event.leaf(),
            r#"{"event":1,"at":2,"stored_at":3,"id":"a\"b","status":"invalidated","reason":null,"source":"push","signal":{}}"#
        );
        assert!(row().leaf().contains(r#""reason":"timeout""#));
        let record = RecordRow { seq: 1, closed_at: 2, stored_at: 3, taken_over: false, signal_id: "a", body: "{}" };
        assert_eq!(
            record.leaf(),
            r#"{"record":1,"closed_at":2,"stored_at":3,"taken_over":false,"id":"a","outcome":{}}"#
        );
    }

    /// The stored form must not change under logs that exist.
    #[test]
    fn the_hash_is_pinned() {
        let hex = row().hash(&GENESIS).map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex, "937ede78cfb9bf3492a07c0485bfda1f644db908e9dfa3d4d7256108d862faf5");
    }
}
