//! Stored tokens: an operator makes and revokes them on the admin page or with `orion-server token`. They hold beside the
//! tokens of the settings.
//!
//! A token is 256 random bits, and the data directory has only its SHA-256. A slow hash would add nothing: such a secret
//! cannot be guessed. A token is found by its hash, so that no secret is ever compared: the time of the lookup depends on
//! hashes of what the client has sent, of which no client can choose the bits.

mod file;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::{Mutex, RwLock};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

pub(super) use self::file::replace;
use self::file::{FileStamp, TokenFile, TokenRecord};
use super::{AuthError, Principal, is_user_id};
use crate::domain::{Delay, Fault};

/// Maximum number of stored tokens.
const MAX_STORED: usize = 1_000;
/// Longest name, in characters.
const MAX_NAME: usize = 64;
/// The last use of tokens is written at most once in this time.
const FLUSH_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// What every stored token begins with, so that tools which search for leaked secrets recognize it.
const PREFIX: &str = "orion_";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// The life of a user token without an expiry, by its principal.
const NO_EXPIRY: TimeDelta = TimeDelta::days(100 * 365);

/// What a stored token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoredKind {
    /// Everything that writes.
    Ingest,
    /// Reading public data.
    Read,
    /// Reading as a user, with the private streams.
    User,
}

impl StoredKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::User];

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::User => "user",
        }
    }
}

/// A token that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// What it is for.
    pub kind: StoredKind,
    /// Its name, different from every other stored token's.
    pub name: String,
    /// The user that it names; for user tokens only.
    pub user: Option<String>,
    /// How late its holder reads; not for ingest tokens.
    pub delay: Delay,
    /// When it expires; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl TokenRequest {
    /// Returns everything that is wrong with the request by itself.
    pub fn faults(&self, now: DateTime<Utc>) -> Vec<Fault> {
        let is_name = (1..=MAX_NAME).contains(&self.name.chars().count())
            && self.name.trim() == self.name
            && !self.name.chars().any(char::is_control);
        let user = match (self.kind, &self.user) {
            (StoredKind::User, Some(user)) => {
                (!is_user_id(user)).then_some("must be a user's id, of 1 to 128 characters")
            }
            (StoredKind::User, None) => Some("is needed: the user whose token it is"),
            (_, Some(_)) => Some("is for tokens of the kind user"),
            (_, None) => None,
        };
        let late_ingest = self.kind == StoredKind::Ingest && !self.delay.is_none();
        let is_past = self.expires_at.is_some_and(|end| end <= now);
        [
            (!is_name)
                .then(|| Fault::new("name", format!("must have 1 to {MAX_NAME} characters, without space around it"))),
            user.map(|reason| Fault::new("user", reason)),
            late_ingest.then(|| Fault::new("delay", "is for tokens that read: who writes is never late")),
            is_past.then(|| Fault::new("expires_at", "must be in the future")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Why the stored tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoredTokenError {
    /// The request is not valid.
    #[error("{}", .0.iter().map(|fault| format!("{} {}", fault.field, fault.reason)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Fault>),
    /// The file cannot be read or written.
    #[error("{file}: {what}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it, and what to do.
        what: String,
    },
}

/// A stored token. Its secret is not kept.
#[derive(Debug)]
pub struct StoredToken {
    /// What it is for.
    pub kind: StoredKind,
    /// Its name.
    pub name: Arc<str>,
    /// The user that it names.
    pub user: Option<Arc<str>>,
    /// How late its holder reads.
    pub delay: Delay,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it expires; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    hash: [u8; 32],
    /// Unix milliseconds; 0 before the first use.
    last_used: AtomicI64,
    is_revoked: AtomicBool,
}

impl PartialEq for StoredToken {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for StoredToken {}

impl StoredToken {
    /// Returns when it was presented last; `None` when it never was.
    pub fn last_used_at(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.last_used.load(Ordering::Relaxed)).filter(|at| *at > DateTime::UNIX_EPOCH)
    }

    /// Checks whether the token is still valid.
    ///
    /// # Errors
    /// [`AuthError::Expired`] or [`AuthError::Revoked`].
    pub(super) fn check(&self, now: DateTime<Utc>) -> Result<(), AuthError> {
        if self.is_revoked.load(Ordering::Relaxed) {
            Err(AuthError::Revoked)
        } else if self.expires_at.is_some_and(|end| end <= now) {
            Err(AuthError::Expired)
        } else {
            Ok(())
        }
    }

    /// Notes that the token was presented and accepted.
    pub(super) fn used(&self, now: DateTime<Utc>) {
        self.last_used.fetch_max(now.timestamp_millis(), Ordering::Relaxed);
    }

    /// Returns the user that the token names.
    pub(super) fn principal(self: &Arc<Self>) -> Option<Principal> {
        let user = self.user.clone()?;
        Some(Principal {
            user,
            admin: false,
            delay: self.delay,
            issued_at: self.created_at,
            expires_at: self.expires_at.unwrap_or(self.created_at + NO_EXPIRY),
            stored: Some(self.clone()),
        })
    }
}

/// The stored tokens of a data directory.
#[derive(Debug, Default)]
pub struct StoredTokens {
    /// `None` where no token can be stored.
    file: Option<TokenFile>,
    tokens: RwLock<HashMap<[u8; 32], Arc<StoredToken>>>,
    state: Mutex<FileState>,
}

/// What is known of the file.
#[derive(Debug, Default)]
struct FileState {
    /// The file as it was read last.
    stamp: Option<FileStamp>,
    flushed_at: DateTime<Utc>,
    /// Why the file could not be read or written last.
    failure: Option<String>,
}

impl StoredTokens {
    /// Reads the tokens of a data directory, which need not exist yet.
    ///
    /// # Errors
    /// When their file cannot be read.
    pub fn open(dir: &Path) -> Result<Self, StoredTokenError> {
        let tokens = Self { file: Some(TokenFile::in_directory(dir)), ..Self::default() };
        tokens.refresh().map(|_| tokens)
    }

    /// Returns the valid or expired token that `presented` is; `None` when it is not a stored one.
    pub(super) fn find(&self, presented: &str) -> Option<Arc<StoredToken>> {
        if !has_form(presented) {
            return None;
        }
        self.tokens.read().get(&hash(presented)).cloned()
    }

    /// Whether there is a token of one of these kinds.
    pub(super) fn has(&self, kinds: &[StoredKind]) -> bool {
        self.tokens.read().values().any(|token| kinds.contains(&token.kind))
    }

    /// Whether any token reads with a delay.
    pub(super) fn may_delay(&self) -> bool {
        self.tokens.read().values().any(|token| !token.delay.is_none())
    }

    /// Returns all tokens, by name.
    pub fn list(&self) -> Vec<Arc<StoredToken>> {
        let mut tokens: Vec<_> = self.tokens.read().values().cloned().collect();
        tokens.sort_by(|one, other| one.name.cmp(&other.name));
        tokens
    }

    /// Makes a token and returns its secret, which nobody can look up later. Blocks while it writes.
    ///
    /// # Errors
    /// When the request is not valid, its name is taken, or the file cannot be written.
    pub fn create(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<String, StoredTokenError> {
        let faults = request.faults(now);
        if !faults.is_empty() {
            return Err(StoredTokenError::Invalid(faults));
        }
        let secret = new_secret(request.kind)?;
        let record = TokenRecord {
            name: request.name.clone(),
            kind: request.kind,
            user: request.user.clone(),
            delay: request.delay.seconds(),
            created_at: now,
            expires_at: request.expires_at,
            last_used_at: None,
            sha256: URL_SAFE_NO_PAD.encode(hash(&secret)),
        };
        self.change(|records| {
            let fault = |reason: &str| Err(StoredTokenError::Invalid(vec![Fault::new("name", reason)]));
            if records.iter().any(|known| known.name == record.name) {
                return fault("is taken: choose another, or revoke the token that has it");
            }
            if records.len() >= MAX_STORED {
                return fault("is one too many: revoke tokens that are not used any more");
            }
            records.push(record);
            Ok(())
        })?;
        Ok(secret)
    }

    /// Revokes the token with this name: from now on it is refused. Returns whether there was one. Blocks while it writes.
    ///
    /// # Errors
    /// When the file cannot be written. The token is revoked in this process all the same.
    pub fn revoke(&self, name: &str) -> Result<bool, StoredTokenError> {
        let is_named = |token: &StoredToken| *token.name == *name;
        for token in self.tokens.read().values().filter(|token| is_named(token)) {
            token.is_revoked.store(true, Ordering::Relaxed);
        }
        let mut found = false;
        self.change(|records| {
            let before = records.len();
            records.retain(|record| record.name != name);
            found = records.len() < before;
            Ok(())
        })?;
        Ok(found)
    }

    /// Reads the file again if another process has changed it. Returns whether it did. Blocks while it reads.
    ///
    /// # Errors
    /// When the file cannot be read. The tokens stay as they are.
    pub fn refresh(&self) -> Result<bool, StoredTokenError> {
        let Some(file) = &self.file else { return Ok(false) };
        let mut state = self.state.lock();
        let stamp = file.stamp()?;
        if stamp == state.stamp {
            return Ok(false);
        }
        self.adopt(file.read()?)?;
        state.stamp = stamp;
        Ok(true)
    }

    /// Writes when tokens were used last, if that has changed and a minute has passed. Blocks while it writes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&self, now: DateTime<Utc>) -> Result<(), StoredTokenError> {
        {
            let mut state = self.state.lock();
            let used = self.tokens.read().values().filter_map(|token| token.last_used_at()).max();
            if now - state.flushed_at < FLUSH_INTERVAL || used.is_none_or(|used| used <= state.flushed_at) {
                return Ok(());
            }
            state.flushed_at = now;
        }
        self.change(|_| Ok(()))
    }

    /// Reads what another process has changed, and writes when tokens were used last. Logs a failure once. Blocks meanwhile.
    pub(super) fn keep_in_step(&self, now: DateTime<Utc>) {
        let failure = self.refresh().and_then(|_| self.flush(now)).err().map(|error| error.to_string());
        let mut state = self.state.lock();
        if state.failure != failure {
            if let Some(error) = &failure {
                tracing::warn!(error, "the stored tokens cannot be read or written; those that are known stay valid");
            }
            state.failure = failure;
        }
    }

    /// Changes the records in the file and in memory, in one step for all processes.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<TokenRecord>) -> Result<(), StoredTokenError>,
    ) -> Result<(), StoredTokenError> {
        let Some(file) = &self.file else { return Err(TokenFile::missing()) };
        let mut state = self.state.lock();
        let lock = file.lock()?;
        let mut records = file.read()?;
        for record in &mut records {
            let known = record.hash().and_then(|hash| self.tokens.read().get(&hash).cloned());
            record.last_used_at = record.last_used_at.max(known.and_then(|token| token.last_used_at()));
        }
        change(&mut records)?;
        file.write(&records)?;
        state.stamp = file.stamp()?;
        drop(lock);
        self.adopt(records)
    }

    /// Takes over the records of the file. Tokens that are no longer among them are revoked.
    fn adopt(&self, records: Vec<TokenRecord>) -> Result<(), StoredTokenError> {
        let hashed = records.into_iter().map(|record| match record.hash() {
            Some(hash) => Ok((hash, record)),
            None => Err(TokenFile::damaged(&record.name)),
        });
        let hashed = hashed.collect::<Result<Vec<_>, _>>()?;
        let mut tokens = self.tokens.write();
        let mut adopted = HashMap::new();
        for (hash, record) in hashed {
            let known = tokens.remove(&hash).filter(|known| known.is_described_by(&record));
            adopted.insert(hash, known.unwrap_or_else(|| Arc::new(StoredToken::of(record, hash))));
        }
        for gone in tokens.values() {
            gone.is_revoked.store(true, Ordering::Relaxed);
        }
        *tokens = adopted;
        Ok(())
    }
}

impl StoredToken {
    fn of(record: TokenRecord, hash: [u8; 32]) -> Self {
        Self {
            kind: record.kind,
            name: record.name.into(),
            user: record.user.map(Into::into),
            delay: Delay::from_seconds(record.delay.into()).unwrap_or_default(),
            created_at: record.created_at,
            expires_at: record.expires_at,
            hash,
            last_used: AtomicI64::new(record.last_used_at.map_or(0, |at| at.timestamp_millis())),
            is_revoked: AtomicBool::new(false),
        }
    }

    fn is_described_by(&self, record: &TokenRecord) -> bool {
        *self.name == *record.name
            && self.kind == record.kind
            && self.user.as_deref() == record.user.as_deref()
            && self.delay.seconds() == record.delay
            && self.expires_at == record.expires_at
            && !self.is_revoked.load(Ordering::Relaxed)
    }
}

/// Whether a text has the form of a stored token: such a text was meant to be one.
pub(super) fn has_form(token: &str) -> bool {
    let secret = token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
    secret.is_some_and(|(kind, secret)| {
        StoredKind::ALL.iter().any(|known| known.name() == kind) && secret.len() == (SECRET_BYTES * 4).div_ceil(3)
    })
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Returns a new secret for a token of this kind, from the system's source of random numbers.
fn new_secret(kind: StoredKind) -> Result<String, StoredTokenError> {
    Ok(format!("{PREFIX}{}_{}", kind.name(), random()?))
}

/// Returns 256 random bits as text.
///
/// # Errors
/// When the system has no random numbers.
pub(super) fn random() -> Result<String, StoredTokenError> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| StoredTokenError::File {
        file: "the system's random numbers".to_owned(),
        what: "cannot be read".to_owned(),
    })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests;
