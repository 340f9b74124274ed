//! The files of tokens in the data directory. They are replaced as a whole, and only their owner may read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{StoredKind, StoredTokenError};

/// The name of the file of stored tokens.
const FILE: &str = "tokens.json";
/// The version of its format.
const VERSION: u32 = 1;
/// Largest accepted file, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// A stored token as it is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRecord {
    pub(super) name: String,
    pub(super) kind: StoredKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// In seconds.
    #[serde(default)]
    pub(super) delay: u32,
    pub(super) created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_used_at: Option<DateTime<Utc>>,
    /// The hash of the secret, in base64url.
    pub(super) sha256: String,
}

impl TokenRecord {
    /// Returns the hash of the secret; `None` when it is not one.
    pub(super) fn hash(&self) -> Option<[u8; 32]> {
        URL_SAFE_NO_PAD.decode(&self.sha256).ok()?.try_into().ok()
    }
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileContents {
    version: u32,
    tokens: Vec<TokenRecord>,
}

/// By what a changed file is recognized: every write makes a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileStamp {
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

/// `tokens.json` in the data directory.
#[derive(Debug)]
pub(super) struct TokenFile {
    dir: PathBuf,
    path: PathBuf,
}

impl TokenFile {
    pub(super) fn in_directory(dir: &Path) -> Self {
        Self { path: dir.join(FILE), dir: dir.to_owned() }
    }

    /// The error where there is no file.
    pub(super) fn missing() -> StoredTokenError {
        StoredTokenError::File { file: FILE.to_owned(), what: "this server has no data directory for it".to_owned() }
    }

    /// The error of a record that no program of this kind wrote.
    pub(super) fn damaged(name: &str) -> StoredTokenError {
        let what =
            format!("the sha256 of '{}' is not a hash: take the entry out, or restore the file", name.escape_debug());
        StoredTokenError::File { file: FILE.to_owned(), what }
    }

    fn error(&self, what: &impl ToString) -> StoredTokenError {
        StoredTokenError::File { file: self.path.display().to_string(), what: what.to_string() }
    }

    /// Returns what the file is recognized by; `None` without a file.
    pub(super) fn stamp(&self) -> Result<Option<FileStamp>, StoredTokenError> {
        match fs::metadata(&self.path) {
            Ok(file) => {
                Ok(Some(FileStamp { inode: file.ino(), modified: (file.mtime(), file.mtime_nsec()), size: file.len() }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Reads the records; none without a file.
    pub(super) fn read(&self) -> Result<Vec<TokenRecord>, StoredTokenError> {
        let mut text = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file.take(MAX_BYTES).read_to_end(&mut text).map_err(|error| self.error(&error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error(&error)),
        };
        let contents: FileContents = serde_json::from_slice(&text).map_err(|error| {
            self.error(&format!("{error}: restore the file, or remove it, which revokes its tokens"))
        })?;
        match contents.version {
            VERSION => Ok(contents.tokens),
            other => Err(self.error(&format!("has version {other}, and this program knows {VERSION}: update it"))),
        }
    }

    /// Replaces the file.
    pub(super) fn write(&self, records: &[TokenRecord]) -> Result<(), StoredTokenError> {
        let contents = FileContents { version: VERSION, tokens: records.to_vec() };
        let json = serde_json::to_vec_pretty(&contents).map_err(|error| self.error(&error))?;
        replace(&self.path, &json).map_err(|error| self.error(&error))
    }

    /// Locks the directory against other processes that change tokens, until the result is dropped.
    pub(super) fn lock(&self) -> Result<File, StoredTokenError> {
        let dir = File::open(&self.dir).and_then(|dir| dir.lock().map(|()| dir));
        dir.map_err(|error| self.error(&error))
    }
}

/// Replaces a file with one that only its owner may read. The owner is that of the directory: root may run the command for a
/// server of another user.
///
/// # Errors
/// When the file cannot be written; the previous one is still there.
pub(in crate::auth) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    let written = write_new(&partial, dir, contents).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        fs::remove_file(&partial).ok();
    }
    written?;
    File::open(dir)?.sync_all()
}

fn write_new(partial: &Path, dir: &Path, contents: &[u8]) -> io::Result<()> {
    fs::remove_file(partial).ok();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial)?;
    let owner = fs::metadata(dir)?;
    if file.metadata()?.uid() != owner.uid() {
        // Only root may, and then it has to: the server could not read the file otherwise.
        chown(partial, Some(owner.uid()), Some(owner.gid())).ok();
    }
    file.write_all(contents)?;
    file.sync_all()
}
