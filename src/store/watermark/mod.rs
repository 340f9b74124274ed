//! The watermark: what was acknowledged last, in a small file beside the database.
//!
//! SQLite cannot tell a truncated write-ahead log from one that ended there, and so loses commits silently. The
//! watermark is written after each commit and before its acknowledgement. A start compares the log with it, and fails
//! when acknowledged entries are missing.
//!
//! The file has two copies in their own pages, each with a checksum. It is written in place and never grows, so that a
//! full disk does not prevent the write.

mod file;
mod syncer;

use sha2::{Digest, Sha256};

use super::chain::ChainLink;
use super::wal::WalPosition;
pub(super) use file::{WatermarkFile, WatermarkRead, read};

/// The bytes of a copy.
const COPY_BYTES: usize = 256;
/// The bytes of the checksum at the end of a copy.
const CHECKSUM_BYTES: usize = 32;
/// The first bytes of a copy.
const MAGIC: [u8; 8] = *b"ORIONWM\n";
/// The only version of the format.
const FORMAT: u32 = 1;
/// The bytes of the epoch.
const EPOCH_BYTES: usize = 32;

/// Which files contain what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatermarkPhase {
    /// The database alone: the log was closed. When a reader prevented the truncation of the write-ahead log, that ends
    /// at this position.
    Closed(WalPosition),
    /// The database, and the write-ahead log if there is one: a process has opened the log and committed nothing yet.
    Opened,
    /// The database and the write-ahead log up to this commit.
    Committed(WalPosition),
    /// The same, but the database alone may be inconsistent, because a checkpoint may have written a part of it.
    Checkpointing(WalPosition),
}

impl WatermarkPhase {
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

/// The last entries of everything that an acknowledgement covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heads {
    /// The last signal event.
    pub(super) events: ChainLink,
    /// The last record of a confirmed signal.
    pub(super) records: ChainLink,
    /// The number of the last relayed message.
    pub(super) published: u64,
    /// The number of the last note about a user, such as a revocation of tokens.
    pub(super) notes: u64,
}

impl Heads {
    /// The heads of an empty log.
    pub(super) const START: Self = Self { events: ChainLink::START, records: ChainLink::START, published: 0, notes: 0 };
}

/// The last acknowledged entries of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watermark {
    /// Incremented with each write; the copy with the higher one is valid.
    pub(super) generation: u64,
    /// The epoch of the log.
    pub(super) epoch: Box<str>,
    /// The acknowledged heads.
    pub(super) heads: Heads,
    /// Which files contain them.
    pub(super) phase: WatermarkPhase,
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
        let mut fields = FieldReader(content);
        if Sha256::digest(content)[..] != *checksum || fields.bytes(8)? != MAGIC || fields.word()? != FORMAT {
            return None;
        }
        let phase = fields.word()?;
        let generation = fields.long()?;
        let name = fields.bytes(EPOCH_BYTES)?;
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(EPOCH_BYTES);
        let epoch = std::str::from_utf8(&name[..length]).ok()?.into();
        let (events, records) = (fields.link()?, fields.link()?);
        let heads = Heads { events, records, published: fields.long()?, notes: fields.long()? };
        let salts = [fields.word()?, fields.word()?];
        let frames = fields.word()?;
        let checksum = [fields.word()?, fields.word()?];
        let phase = WatermarkPhase::from_parts(phase, WalPosition { salts, frames, checksum })?;
        Some(Self { generation, epoch, heads, phase })
    }
}

/// Reads the fields of a copy in order.
struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    fn link(&mut self) -> Option<ChainLink> {
        Some(ChainLink { seq: self.long()?, hash: self.bytes(32)?.try_into().ok()? })
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
                events: ChainLink { seq: 700, hash: [1; 32] },
                records: ChainLink { seq: 3, hash: [2; 32] },
                published: 9,
                notes: 4,
            },
            phase: WatermarkPhase::Committed(WalPosition { salts: [5, 6], frames: 7, checksum: [8, 9] }),
        }
    }

    #[test]
    fn a_copy_decodes_to_what_was_encoded() {
        for phase in [
            WatermarkPhase::Closed(WalPosition::default()),
            WatermarkPhase::Opened,
            watermark().phase,
            WatermarkPhase::Checkpointing(WalPosition::default()),
        ] {
            let written = Watermark { phase, ..watermark() };
            assert_eq!(Watermark::decode(&written.encode()), Some(written));
        }
    }

    #[test]
    fn every_flipped_bit_is_detected() {
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
