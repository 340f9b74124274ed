//! The watermark: what was acknowledged last, in a small file beside the database.
//!
//! SQLite takes a write-ahead log that ends early for a log that ended there, and so loses commits without a word. The
//! watermark is written after each commit and before anybody is answered: a start compares the log with it, and refuses
//! where the log falls short.
//!
//! The file has two copies in pages of their own, each with a checksum. It is written in place and never grows, so that a
//! full disk does not stop it.

mod file;
mod syncer;

use sha2::{Digest, Sha256};

use super::chain::Link;
use super::wal::WalPosition;
pub(super) use file::{WatermarkFile, WatermarkRead, read};

/// Bytes of one copy.
const COPY_BYTES: usize = 256;
/// Bytes of the checksum at the end of a copy.
const CHECKSUM_BYTES: usize = 32;
/// The first bytes of a copy.
const MAGIC: [u8; 8] = *b"ORIONWM\n";
/// The only version of the format.
const FORMAT: u32 = 1;
/// Longest name of a log.
const EPOCH_BYTES: usize = 32;

/// Which files hold what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The database alone: the log was closed. A reader may have kept its write-ahead log from being emptied, which then
    /// ends here.
    Closed(WalPosition),
    /// The database, and the write-ahead log if there is one: a process has opened the log, and committed nothing yet.
    Opened,
    /// The write-ahead log up to this commit, with the database under it.
    Committed(WalPosition),
    /// The same, and the database alone is not to be read: a checkpoint may have written a part of it.
    Checkpointing(WalPosition),
}

impl Phase {
    fn parts(self) -> (u32, WalPosition) {
        match self {
            Self::Closed(position) => (0, position),
            Self::Opened => (1, WalPosition::default()),
            Self::Committed(position) => (2, position),
            Self::Checkpointing(position) => (3, position),
        }
    }

    fn from_parts(number: u32, position: WalPosition) -> Option<Self> {
        match number {
            0 => Some(Self::Closed(position)),
            1 => Some(Self::Opened),
            2 => Some(Self::Committed(position)),
            3 => Some(Self::Checkpointing(position)),
            _ => None,
        }
    }
}

/// The ends of everything that an acknowledgement covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heads {
    /// The last signal event.
    pub(super) events: Link,
    /// The last record of a confirmed signal.
    pub(super) records: Link,
    /// Number of the last published message.
    pub(super) published: u64,
    /// Number of the last note about a user, such as a revocation of tokens.
    pub(super) notes: u64,
}

impl Heads {
    /// An empty log.
    pub(super) const START: Self = Self { events: Link::START, records: Link::START, published: 0, notes: 0 };
}

/// What was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watermark {
    /// Rises with each write; the copy with the higher one counts.
    pub(super) generation: u64,
    /// The name of the log.
    pub(super) epoch: Box<str>,
    /// Its acknowledged ends.
    pub(super) heads: Heads,
    /// Where they are stored.
    pub(super) phase: Phase,
}

impl Watermark {
    /// Encodes one copy.
    fn encode(&self) -> [u8; COPY_BYTES] {
        let mut bytes = Vec::with_capacity(COPY_BYTES);
        let Heads { events, records, published, notes } = self.heads;
        let (phase, position) = self.phase.parts();
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(phase.to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        let mut epoch = [0; EPOCH_BYTES];
        let name = self.epoch.as_bytes();
        let length = name.len().min(EPOCH_BYTES);
        epoch[..length].copy_from_slice(&name[..length]);
        bytes.extend(epoch);
        for link in [events, records] {
            bytes.extend(link.seq.to_le_bytes());
            bytes.extend(link.hash);
        }
        bytes.extend(published.to_le_bytes());
        bytes.extend(notes.to_le_bytes());
        let [[salt, other_salt], [sum, other_sum]] = [position.salts, position.checksum];
        for word in [salt, other_salt, position.frames, sum, other_sum] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.resize(COPY_BYTES - CHECKSUM_BYTES, 0);
        bytes.extend(Sha256::digest(&bytes));
        let mut copy = [0; COPY_BYTES];
        copy.copy_from_slice(&bytes);
        copy
    }

    /// Decodes one copy; `None` when it is damaged.
    fn decode(copy: &[u8]) -> Option<Self> {
        let (content, checksum) = copy.get(..COPY_BYTES)?.split_at(COPY_BYTES - CHECKSUM_BYTES);
        let mut fields = Fields(content);
        if Sha256::digest(content)[..] != *checksum || fields.take(8)? != MAGIC || fields.word()? != FORMAT {
            return None;
        }
        let phase = fields.word()?;
        let generation = fields.long()?;
        let name = fields.take(EPOCH_BYTES)?;
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(EPOCH_BYTES);
        let epoch = std::str::from_utf8(&name[..length]).ok()?.into();
        let (events, records) = (fields.link()?, fields.link()?);
        let heads = Heads { events, records, published: fields.long()?, notes: fields.long()? };
        let salts = [fields.word()?, fields.word()?];
        let frames = fields.word()?;
        let checksum = [fields.word()?, fields.word()?];
        let phase = Phase::from_parts(phase, WalPosition { salts, frames, checksum })?;
        Some(Self { generation, epoch, heads, phase })
    }
}

/// The fields that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn link(&mut self) -> Option<Link> {
        Some(Link { seq: self.long()?, hash: self.take(32)?.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn watermark() -> Watermark {
        Watermark {
            generation: 7,
            epoch: "abcdefghij".into(),
            heads: Heads {
                events: Link { seq: 700, hash: [1; 32] },
                records: Link { seq: 3, hash: [2; 32] },
                published: 9,
                notes: 4,
            },
            phase: Phase::Committed(WalPosition { salts: [5, 6], frames: 7, checksum: [8, 9] }),
        }
    }

    #[test]
    fn a_copy_is_read_as_it_was_written() {
        for phase in [
            Phase::Closed(WalPosition::default()),
            Phase::Opened,
            watermark().phase,
            Phase::Checkpointing(WalPosition::default()),
        ] {
            let written = Watermark { phase, ..watermark() };
            assert_eq!(Watermark::decode(&written.encode()), Some(written));
        }
    }

    #[test]
    fn no_flipped_bit_of_a_copy_goes_unnoticed() {
        let copy = watermark().encode();
        for bit in 0..8 * COPY_BYTES {
            let mut flipped = copy;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Watermark::decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(Watermark::decode(&copy[..COPY_BYTES - 1]), None);
    }

    /// The stored form must not change under logs that exist.
    #[test]
    fn the_form_is_pinned() {
        let digest = Sha256::digest(watermark().encode());
        assert_eq!(crate::store::hex(&digest), "5e2fc8b704482d2fccdf3fdb876f99f4104b6a4056528b6e57d4c98a3b62cb5b");
    }
}
