//! The key that signs the checkpoints of a log, and its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest, Sha256};
use signed_note::{Signer, is_key_name_valid, key_id, new_ed25519_verifier_key};

use crate::config::{RecordSettings, Secret};
use crate::store::hex;

/// The name of the file in the data directory.
const FILE: &str = "log.key";
/// How a private key begins, as the tools for signed notes write it.
const PREFIX: &str = "PRIVATE+KEY+";
/// The type of a plain Ed25519 signature.
const ED25519: u8 = 1;

/// Why there is no key. The text never has the key.
#[derive(Debug, thiserror::Error)]
pub enum LogKeyError {
    /// The file cannot be read or written.
    #[error("the key that signs checkpoints, {}: {error}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file or the setting is not a key.
    #[error(
        "{0} is not a key of the form PRIVATE+KEY+name+id+base64; restore it from a backup, or remove it to begin with a new key"
    )]
    Malformed(String),
}

/// The Ed25519 key of a log, with the log's name: the origin of its checkpoints.
#[derive(Clone)]
pub struct LogKey {
    name: String,
    key: SigningKey,
}

impl std::fmt::Debug for LogKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl LogKey {
    /// Returns the key of the settings, else that of the file in the data directory `dir`, which is made with mode 0600 if there is
    /// none, and never overwritten.
    ///
    /// # Errors
    /// [`LogKeyError`].
    pub fn open(dir: &Path, settings: &RecordSettings) -> Result<Self, LogKeyError> {
        let mut key = match &settings.key {
            Some(secret) => Self::parse(secret.expose()).ok_or_else(|| LogKeyError::Malformed("record.key".into()))?,
            None => Self::of_file(&dir.join(FILE))?,
        };
        if !settings.origin.is_empty() {
            key.name.clone_from(&settings.origin);
        }
        Ok(key)
    }

    /// Reads the key of a file, or makes both.
    ///
    /// # Errors
    /// [`LogKeyError`].
    pub fn of_file(file: &Path) -> Result<Self, LogKeyError> {
        let failed = |error| LogKeyError::File { file: file.into(), error };
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(Secret::new(text).expose())
                .ok_or_else(|| LogKeyError::Malformed(file.display().to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = Self::from_seed(rand::random());
                key.write(file).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Returns the key of a seed, with a name that is made of its public key.
    pub(super) fn from_seed(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let digest = Sha256::digest(key.verifying_key().as_bytes());
        Self { name: format!("orion-server/{}", hex(&digest[..4])), key }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().strip_prefix(PREFIX)?.splitn(3, '+');
        let (name, id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        let seed = bytes.strip_prefix(&[ED25519])?.try_into().ok()?;
        let key = Self { name: name.to_owned(), key: SigningKey::from_bytes(&seed) };
        let is_whole = is_key_name_valid(name) && u32::from_str_radix(id, 16).is_ok_and(|id| id == key.key_id());
        is_whole.then_some(key)
    }

    /// Writes the private key to a new file, as a whole.
    fn write(&self, file: &Path) -> io::Result<()> {
        let partial = file.with_extension(format!("{}.partial", std::process::id()));
        fs::remove_file(&partial).ok();
        let encoded = BASE64_STANDARD.encode([&[ED25519][..], self.key.as_bytes()].concat());
        let written = || -> io::Result<()> {
            let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
            writeln!(new, "{PREFIX}{}+{:08x}+{encoded}", self.name, self.key_id())?;
            new.sync_all()?;
            // Unlike a renaming, this fails if there is a file.
            fs::hard_link(&partial, file)
        };
        let outcome = written();
        fs::remove_file(&partial).ok();
        outcome?;
        File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Returns the key under another name; `None` when it cannot stand in a note.
    #[must_use]
    pub fn named(self, name: &str) -> Option<Self> {
        is_key_name_valid(name).then(|| Self { name: name.to_owned(), ..self })
    }

    /// Returns the name of the log.
    pub fn origin(&self) -> &str {
        &self.name
    }

    /// Returns the public key as the tools for signed notes read it: `name+id+base64`.
    pub fn public(&self) -> String {
        new_ed25519_verifier_key(&self.name, &self.key.verifying_key())
    }

    pub(super) fn signing_key(&self) -> &SigningKey {
        &self.key
    }
}

impl Signer for LogKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        key_id(&self.name, &[&[ED25519][..], self.key.verifying_key().as_bytes()].concat())
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.key.sign(text).to_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let settings = RecordSettings::default();
        let key = LogKey::open(dir.path(), &settings).unwrap();
        let file = dir.path().join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(LogKey::open(dir.path(), &settings).unwrap().public(), key.public());
        assert!(key.write(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "it is never overwritten");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(!format!("{key:?}").contains(text.trim().rsplit('+').next().unwrap()), "{key:?}");
        // The same key by the settings, and under another name.
        let named = RecordSettings { origin: "example.com/log".into(), key: Some(Secret::new(&text)), ..settings };
        let other = LogKey::open(Path::new("nowhere"), &named).unwrap();
        assert!(other.public().starts_with("example.com/log+"), "{}", other.public());
        assert_eq!(other.public().rsplit('+').next(), key.public().rsplit('+').next());
    }

    #[test]
    fn a_damaged_key_is_an_error_without_it() {
        let dir = tempfile::tempdir().unwrap();
        LogKey::open(dir.path(), &RecordSettings::default()).unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        let other_name = text.replacen("orion-server", "orion-servex", 1);
        for damaged in ["", "PRIVATE+KEY+a+b+c", &text[..text.len() - 3], &text[1..], &other_name] {
            fs::write(dir.path().join(FILE), damaged).unwrap();
            let error = LogKey::open(dir.path(), &RecordSettings::default()).unwrap_err().to_string();
            assert!(error.contains("log.key is not a key"), "{error}");
            assert!(damaged.len() < 20 || !error.contains(&damaged[30..]), "{error}");
        }
    }

    /// The example key of <https://pkg.go.dev/golang.org/x/mod/sumdb/note>.
    #[test]
    fn a_key_of_other_tools_is_read() {
        let key =
            LogKey::parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap();
        assert_eq!(key.public(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    }
}
