//! Checkpoints: the size and the root of a log's tree, signed.

use base64::prelude::{BASE64_STANDARD, Engine};
use ed25519_dalek::Signer as _;
use signed_note::{Note, Signer, StandardVerifier, Verifier, VerifierList, key_id};
use tlog_tiles::Checkpoint;

use super::LogKey;
use crate::store::TreeHead;

/// The type of a cosignature.
const COSIGNATURE: u8 = 4;
/// How the lines of signatures begin.
const SIGNATURE: &str = "— ";

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not a signed checkpoint.
    #[error("it is not a signed checkpoint (origin, size, root, an empty line and signatures)")]
    Malformed,
    /// The text is not a public key.
    #[error("the key is not of the form name+id+base64, as /log/key shows it")]
    Key,
    /// The key has not signed it.
    #[error("the checkpoint is not signed by the key {0}")]
    Unsigned(String),
}

/// A checkpoint with its signatures.
#[derive(Debug)]
pub struct SignedCheckpoint {
    note: Note,
    origin: String,
    head: TreeHead,
}

impl SignedCheckpoint {
    /// Signs a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] when the log's name cannot stand in one.
    pub fn sign(key: &LogKey, head: &TreeHead) -> Result<Self, CheckpointError> {
        let root = tlog_tiles::Hash(head.root);
        let text = Checkpoint::new(key.origin(), head.size, root, "").map_err(|_| CheckpointError::Malformed)?;
        let mut note = Note::new(&text.to_bytes(), &[]).map_err(|_| CheckpointError::Malformed)?;
        note.add_sigs(&[key]).map_err(|_| CheckpointError::Malformed)?;
        Ok(Self { note, origin: key.origin().to_owned(), head: *head })
    }

    /// Reads a checkpoint. Its signatures are not verified.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let note = Note::from_bytes(text.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
        let parsed = Checkpoint::from_bytes(note.text()).map_err(|_| CheckpointError::Malformed)?;
        let head = TreeHead { size: parsed.size(), root: parsed.hash().0 };
        Ok(Self { origin: parsed.origin().to_owned(), head, note })
    }

    /// Reads the checkpoints of a file, which follow one another with or without an empty line between.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] when one of them is not one, or there is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, CheckpointError> {
        let (mut notes, mut note, mut is_signed) = (Vec::new(), String::new(), false);
        for line in text.split_inclusive('\n') {
            let is_signature = line.starts_with(SIGNATURE);
            if is_signed && !is_signature {
                notes.push(std::mem::take(&mut note));
            }
            // The empty line in a note is not the first one.
            if !(note.is_empty() && line.trim().is_empty()) {
                note.push_str(line);
            }
            is_signed = is_signature;
        }
        if !note.is_empty() {
            notes.push(note);
        }
        if notes.is_empty() {
            return Err(CheckpointError::Malformed);
        }
        notes.iter().map(|note| Self::parse(note)).collect()
    }

    /// Checks that the log with this public key has signed it.
    ///
    /// # Errors
    /// [`CheckpointError::Key`] or [`CheckpointError::Unsigned`].
    pub fn verify(&self, public: &str) -> Result<(), CheckpointError> {
        let key = StandardVerifier::new(public.trim()).map_err(|_| CheckpointError::Key)?;
        let unsigned = || CheckpointError::Unsigned(public.trim().to_owned());
        if key.name() != self.origin {
            return Err(unsigned());
        }
        let known = VerifierList::new(vec![Box::new(key)]);
        self.note.verify(&known).map(drop).map_err(|_| unsigned())
    }

    /// Adds the cosignature of a witness.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] when the witness's name cannot stand in a note.
    pub fn cosign(&mut self, witness: &LogKey, unix_seconds: u64) -> Result<(), CheckpointError> {
        let cosigner = Cosigner { key: witness, unix_seconds };
        self.note.add_sigs(&[&cosigner]).map_err(|_| CheckpointError::Malformed)
    }

    /// Returns the name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns the size and the root of the tree.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }
}

impl std::fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.note.to_bytes()))
    }
}

/// A witness that signs a checkpoint with the time at which it saw it, <https://c2sp.org/tlog-cosignature>.
struct Cosigner<'a> {
    key: &'a LogKey,
    unix_seconds: u64,
}

/// Returns the public key of a witness: `name+id+base64`.
fn cosigner_bytes(key: &LogKey) -> Vec<u8> {
    [&[COSIGNATURE][..], key.signing_key().verifying_key().as_bytes()].concat()
}

impl LogKey {
    /// Returns the public key for the cosignatures of a witness: `name+id+base64`.
    pub fn public_as_witness(&self) -> String {
        let bytes = cosigner_bytes(self);
        format!("{}+{:08x}+{}", self.origin(), key_id(self.origin(), &bytes), BASE64_STANDARD.encode(&bytes))
    }
}

impl Signer for Cosigner<'_> {
    fn name(&self) -> &str {
        self.key.origin()
    }

    fn key_id(&self) -> u32 {
        key_id(self.key.origin(), &cosigner_bytes(self.key))
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut signed = format!("cosignature/v1\ntime {}\n", self.unix_seconds).into_bytes();
        signed.extend_from_slice(text);
        let signature = self.key.signing_key().sign(&signed).to_bytes();
        Ok([&self.unix_seconds.to_be_bytes()[..], &signature].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> LogKey {
        LogKey::from_seed([7; 32])
    }

    fn signed(size: u64) -> SignedCheckpoint {
        SignedCheckpoint::sign(&key(), &TreeHead { size, root: [9; 32] }).unwrap()
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_signed() {
        let text = signed(12).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..4], [key().origin(), "12", "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=", ""]);
        assert_eq!(lines.len(), 5);
        let parsed = SignedCheckpoint::parse(&text).unwrap();
        assert_eq!((parsed.head().size, parsed.head().root, parsed.to_string()), (12, [9; 32], text.clone()));
        assert_eq!(parsed.verify(&key().public()), Ok(()));
        let other = LogKey::from_seed([8; 32]).public();
        assert_eq!(parsed.verify(&other), Err(CheckpointError::Unsigned(other.clone())));
        assert_eq!(parsed.verify("x"), Err(CheckpointError::Key));
        let altered = SignedCheckpoint::parse(&text.replacen("12", "13", 1)).unwrap();
        assert!(matches!(altered.verify(&key().public()), Err(CheckpointError::Unsigned(_))));
        for malformed in ["", "a\n", "a\n1\nx\n\n— a AAAA\n", &text[1..20], "a\n01\nAAAA\n\n— a AAAAAAAA\n"] {
            assert!(SignedCheckpoint::parse(malformed).is_err(), "{malformed:?}");
        }
    }

    #[test]
    fn a_file_may_hold_several_checkpoints() {
        let all = [signed(1), signed(2), signed(3)].map(|checkpoint| checkpoint.to_string());
        for between in ["", "\n", "\n\n"] {
            let found = SignedCheckpoint::parse_all(&all.join(between)).unwrap();
            assert!(found.iter().map(|checkpoint| checkpoint.head().size).eq([1, 2, 3]), "{between:?}");
        }
        assert!(SignedCheckpoint::parse_all("\n").is_err());
        assert!(SignedCheckpoint::parse_all(&format!("{}x", all[0])).is_err());
    }

    #[test]
    fn a_cosignature_has_the_time_and_another_key_id() {
        let (witness, mut checkpoint) = (LogKey::from_seed([1; 32]), signed(5));
        checkpoint.cosign(&witness, 1_768_460_400).unwrap();
        let text = checkpoint.to_string();
        let line = text.lines().last().unwrap().strip_prefix(&format!("{SIGNATURE}{} ", witness.origin())).unwrap();
        let bytes = BASE64_STANDARD.decode(line).unwrap();
        assert_eq!((bytes.len(), &bytes[4..12]), (4 + 8 + 64, &1_768_460_400_u64.to_be_bytes()[..]));
        let id = format!("+{:08x}+", u32::from_be_bytes(bytes[..4].try_into().unwrap()));
        assert!(witness.public_as_witness().contains(&id) && !witness.public().contains(&id));
        let body = text.split_once("\n\n").unwrap().0;
        let message = format!("cosignature/v1\ntime 1768460400\n{body}\n");
        let signature = ed25519_dalek::Signature::from_slice(&bytes[12..]).unwrap();
        assert!(witness.signing_key().verifying_key().verify_strict(message.as_bytes(), &signature).is_ok());
        // A later one takes the place of the earlier one.
        checkpoint.cosign(&witness, 1_768_460_401).unwrap();
        assert_eq!(checkpoint.to_string().lines().count(), text.lines().count());
        assert_eq!(checkpoint.verify(&key().public()), Ok(()));
    }
}
