//! The messages of the stream, the authority of the cluster. One message is one batch of entries, or the beginning of a
//! term; the first one is the genesis.
//!
//! A message is a JSON object; a long one is deflated, and begins with a zero byte. The field `v` is read before
//! anything else, so that a node never applies what it does not understand.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::wire::{FindType, WireMessage};
use crate::domain::{Bar, Progress, Signal, SignalId, TradeOutcome, UserNote};
use crate::store::{ChainLink, LogEntries, LogHeads, RequestId, hex};

/// The version of the messages that this program writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;
/// Longer messages are deflated, in bytes.
const DEFLATED_FROM: usize = 16 << 10;
/// The first byte of a deflated message. No JSON begins with it.
const DEFLATED: u8 = 0;
/// The largest message in bytes, after inflating.
const MAX_BYTES: u64 = 64 << 20;

/// One message of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The version of the format.
    pub(super) v: u32,
    /// The epoch of the log.
    pub(super) epoch: String,
    /// The term in which it was written; 0 for the genesis.
    pub(super) term: u64,
    /// The node that wrote it.
    pub(super) node: String,
    /// What it says.
    #[serde(flatten)]
    pub(super) content: MessageContent,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum MessageContent {
    /// The log begins, after these heads.
    Genesis(WireHeads),
    /// The node is the writer from here on.
    Term,
    /// Entries.
    Batch(Box<LogBatch>),
}

/// Entries, as their writer has numbered and stamped them. No other node computes any of it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LogBatch {
    /// What the entries follow.
    pub(super) after: WireHeads,
    /// When the writer stored them; Unix milliseconds.
    pub(super) stored_at: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) signals: Vec<Arc<Signal>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) published: Vec<WireMessage>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<UserNote>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) outcomes: Vec<TradeOutcome>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open: Vec<(SignalId, Progress)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) bars: Vec<Bar>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) requests: Vec<RequestId>,
}

/// The last entries before a batch: event and record each with its hash in hexadecimal, and the last relayed message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireHeads {
    event: u64,
    event_hash: String,
    record: u64,
    record_hash: String,
    message: u64,
}

impl From<LogHeads> for WireHeads {
    fn from(heads: LogHeads) -> Self {
        Self {
            event: heads.events.seq,
            event_hash: hex(&heads.events.hash),
            record: heads.records.seq,
            record_hash: hex(&heads.records.hash),
            message: heads.published,
        }
    }
}

impl WireHeads {
    /// Returns the heads; `None` when a hash is not one.
    pub(super) fn read(&self) -> Option<LogHeads> {
        let link = |seq, text: &str| Some(ChainLink { seq, hash: unhex(text)? });
        Some(LogHeads {
            events: link(self.event, &self.event_hash)?,
            records: link(self.record, &self.record_hash)?,
            published: self.message,
        })
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// A message that this node cannot apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Undecodable {
    /// A newer program wrote it.
    #[error("it has version {0}, and this orion-server reads {VERSION}: install the version that the other nodes run")]
    Version(u32),
    /// No program of this kind wrote it.
    #[error("it is not a message of an orion-server: {0}")]
    Malformed(String),
    /// A relayed message of a type that this program does not have.
    #[error("it has a message of the unknown type '{0}': install the version that the other nodes run")]
    UnknownType(String),
}

impl Message {
    /// Encodes the message.
    ///
    /// # Errors
    /// When it cannot be encoded, which only a number that is not finite can cause.
    pub(super) fn encode(&self) -> Result<Bytes, String> {
        let json = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        if json.len() < DEFLATED_FROM {
            return Ok(json.into());
        }
        let mut deflated = DeflateEncoder::new(vec![DEFLATED], Compression::fast());
        deflated.write_all(&json).and_then(|()| deflated.finish()).map(Bytes::from).map_err(|error| error.to_string())
    }

    /// Decodes a message.
    ///
    /// # Errors
    /// [`Undecodable`]: the node must not go on.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, Undecodable> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let malformed = |error: &dyn std::fmt::Display| Undecodable::Malformed(error.to_string());
        let mut inflated = Vec::new();
        let json = match payload.split_first() {
            Some((&DEFLATED, rest)) => {
                let read = DeflateDecoder::new(rest).take(MAX_BYTES + 1).read_to_end(&mut inflated);
                read.map_err(|error| malformed(&error))?;
                if inflated.len() as u64 > MAX_BYTES {
                    return Err(Undecodable::Malformed(format!("it has more than {MAX_BYTES} bytes")));
                }
                &inflated[..]
            }
            _ => payload,
        };
        let Version { v } = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
        if v != VERSION {
            return Err(Undecodable::Version(v));
        }
        serde_json::from_slice(json).map_err(|error| malformed(&error))
    }
}

/// Returns the SHA-256 of a message as it is in the stream, in hexadecimal.
pub(super) fn digest(payload: &[u8]) -> String {
    hex(&Sha256::digest(payload))
}

impl LogBatch {
    /// Returns the entries, the relayed ones without their numbers.
    ///
    /// # Errors
    /// [`Undecodable::UnknownType`].
    pub(super) fn entries(&self, find: FindType) -> Result<LogEntries, Undecodable> {
        let published = self
            .published
            .iter()
            .map(|message| message.read(find).ok_or_else(|| Undecodable::UnknownType(message.kind.clone())));
        Ok(LogEntries {
            signals: self.signals.clone(),
            published: published.collect::<Result<_, _>>()?,
            notes: self.notes.clone(),
            outcomes: self.outcomes.clone(),
            open: self.open.clone(),
        })
    }

    /// Returns when the writer stored the entries.
    pub(super) fn stored_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.stored_at).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: MessageContent) -> Message {
        Message { v: VERSION, epoch: "abc".into(), term: 3, node: "n1".into(), content }
    }

    #[test]
    fn a_message_survives_a_round_trip() {
        let request: RequestId = "r".repeat(DEFLATED_FROM).into();
        let batch = |requests| LogBatch {
            after: LogHeads::START.into(),
            stored_at: 5,
            signals: Vec::new(),
            published: Vec::new(),
            notes: Vec::new(),
            outcomes: Vec::new(),
            open: Vec::new(),
            bars: Vec::new(),
            requests,
        };
        let contents = [
            MessageContent::Genesis(LogHeads::START.into()),
            MessageContent::Term,
            MessageContent::Batch(Box::new(batch(Vec::new()))),
            MessageContent::Batch(Box::new(batch(vec![request]))),
        ];
        for content in contents {
            let message = message(content);
            let encoded = message.encode().unwrap();
            assert!(encoded.len() < DEFLATED_FROM);
            assert_eq!(Message::decode(&encoded), Ok(message));
        }
    }

    #[test]
    fn an_unknown_version_is_refused_before_its_content() {
        let newer = r#"{"v":2,"content":"of another shape"}"#;
        assert_eq!(Message::decode(newer.as_bytes()), Err(Undecodable::Version(2)));
        for other in [&b""[..], b"{}", b"\0\0", b"[1]", br#"{"v":1}"#] {
            assert!(matches!(Message::decode(other), Err(Undecodable::Malformed(_))), "{other:?}");
        }
    }

    #[test]
    fn heads_with_a_wrong_hash_are_refused() {
        let heads = WireHeads::from(LogHeads::START);
        assert_eq!(heads.read(), Some(LogHeads::START));
        for hash in ["", "00", &"é".repeat(32), &"0g".repeat(32)] {
            assert_eq!(WireHeads { event_hash: hash.into(), ..heads.clone() }.read(), None, "{hash}");
        }
    }
}
