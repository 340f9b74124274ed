//! The key set of the login service (JSON Web Key Set, RFC 7517). The last keys stay in use while the service is unreachable.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use jsonwebtoken::Algorithm;
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::algorithm::{self, Algorithms};
use super::jwt::TokenHeader;
use super::keys::{VerifyingKey, algorithms_of};
use crate::config::PublicKey;

/// Largest key set, in bytes.
pub const MAX_KEY_SET: usize = 256 * 1024;
/// Most keys in a set.
const MAX_KEYS: usize = 100;
/// Time between two successful fetches; a withdrawn key is accepted for up to this long.
const REFRESH_INTERVAL: Duration = Duration::from_mins(10);
/// Least time between two fetches because of tokens with an unknown key.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The wait after a first failure; each further failure doubles it, up to [`MIN_INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Longest wait of a token for its key.
const KEY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a document cannot be used as a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// The document is not JSON, or has no list of keys.
    #[error("the answer is not a JSON Web Key Set: it must be a JSON object with a list 'keys'")]
    NotKeySet,
    /// The set has more keys than the limit.
    #[error("the key set holds {0} keys: at most {MAX_KEYS} are taken")]
    TooMany(usize),
}

/// The content of a key set.
#[derive(Debug, Clone, Default)]
pub struct KeySetContent {
    keys: Vec<VerifyingKey>,
    skipped: Vec<&'static str>,
}

impl KeySetContent {
    /// Parses a key set. Keys that cannot verify a user token are skipped.
    ///
    /// # Errors
    /// When the document is not a key set, or has too many keys.
    pub fn read(document: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct KeySetDocument {
            keys: Vec<Value>,
        }
        let document: KeySetDocument = serde_json::from_slice(document).map_err(|_| KeySetError::NotKeySet)?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(document.keys.len()));
        }
        let mut content = Self::default();
        for jwk in &document.keys {
            match read_key(jwk) {
                Ok(key) => content.keys.push(key),
                Err(reason) => content.skipped.push(reason),
            }
        }
        Ok(content)
    }

    /// Returns the number of keys that can verify user tokens.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key can verify user tokens.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the algorithms of the keys.
    pub fn algorithms(&self) -> Algorithms {
        algorithms_of(&self.keys)
    }

    /// Returns the reason for each skipped key.
    pub fn skipped(&self) -> &[&'static str] {
        &self.skipped
    }
}

/// Parses a JSON Web Key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2). A key is used only for the purpose and algorithm that it names.
fn read_key(jwk: &Value) -> Result<VerifyingKey, &'static str> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        let decoded = text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok());
        decoded.ok_or("a part of it is missing or is not base64url")
    };
    if jwk.get("use").is_some_and(|purpose| *purpose != "sig") {
        return Err("it is not for signatures ('use')");
    }
    let verifies = |operations: &Value| operations.as_array().is_some_and(|list| list.iter().any(|it| it == "verify"));
    if jwk.get("key_ops").is_some_and(|operations| !verifies(operations)) {
        return Err("it is not for verifying ('key_ops')");
    }
    if jwk.get("d").is_some() {
        return Err("its private half is published: whoever reads it can make tokens");
    }
    let point = |coordinate: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        if x.len() != coordinate || y.len() != coordinate {
            return Err("its coordinates have not the length of its curve's");
        }
        Ok([&[4][..], &x, &y].concat())
    };
    let key = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => PublicKey::rsa(&bytes("n")?, &bytes("e")?).map_err(
            |_| "it is an RSA key of less than 2048 or more than 8192 bits, or with an exponent that is none",
        )?,
        (Some("EC"), Some("P-256")) => PublicKey::P256(point(32)?),
        (Some("EC"), Some("P-384")) => PublicKey::P384(point(48)?),
        (Some("OKP"), Some("Ed25519")) => match bytes("x")? {
            key if key.len() == 32 => PublicKey::Ed25519(key),
            _ => return Err("it has not the length of an Ed25519 key"),
        },
        (Some("oct"), _) => return Err("it is a secret, which nobody may publish"),
        _ => return Err("its kind or curve ('kty', 'crv') is not supported"),
    };
    let key = VerifyingKey::public(&key).named(text("kid").map(str::to_owned));
    match jwk.get("alg") {
        None | Some(Value::Null) => Ok(key),
        Some(Value::String(name)) => {
            // RFC 9864 names EdDSA with this curve `Ed25519`.
            let name = if name == "Ed25519" { "EdDSA" } else { name };
            let only = algorithm::named(name).and_then(|algorithm| key.only_for(algorithm));
            only.ok_or("its algorithm ('alg') is not supported, or not one for its kind")
        }
        Some(_) => Err("its algorithm ('alg') is not a text"),
    }
}

#[derive(Debug, Default)]
struct KeySetState {
    keys: Arc<[VerifyingKey]>,
    /// Whether a fetch has succeeded so far.
    fetched: bool,
    in_flight: bool,
    started_at: Option<Instant>,
    /// When a token with an unknown key last caused a fetch.
    requested_at: Option<Instant>,
    failures: u32,
    complaint: Option<String>,
}

/// The last fetched keys of a login service, and the schedule of the fetches.
#[derive(Debug, Default)]
pub struct KeySet {
    state: RwLock<KeySetState>,
    /// Notified by a token whose key is unknown.
    key_requested: Notify,
    /// The number of completed fetches.
    ended: watch::Sender<u64>,
}

impl KeySet {
    /// Records that a fetch begins. It serves all requests for keys until now.
    pub fn begin_fetch(&self) {
        self.key_requested.notified().now_or_never();
        let mut state = self.state.write();
        state.in_flight = true;
        state.started_at = Some(Instant::now());
    }

    /// Records the result of a fetch: the document, or why it failed; after a failure the previous keys stay. Returns whether the
    /// document is a key set.
    pub fn end_fetch(&self, document: Result<impl AsRef<[u8]>, String>) -> bool {
        let content = document.and_then(|bytes| KeySetContent::read(bytes.as_ref()).map_err(|error| error.to_string()));
        let is_good = content.is_ok();
        let mut state = self.state.write();
        state.in_flight = false;
        match content {
            Ok(content) => {
                let (keys, skipped) = (content.len(), content.skipped.len());
                tracing::debug!(keys, skipped, algorithms = %content.algorithms(), "fetched the keys of the login service");
                state.complaint = content.is_empty().then(|| {
                    let why = content.skipped.first().map(|reason| format!(": {reason}")).unwrap_or_default();
                    format!("the key set of auth.jwks_url holds no key that can verify a user token{why}")
                });
                state.fetched = true;
                state.failures = 0;
                state.keys = content.keys.into();
            }
            Err(error) => {
                let kept = if state.fetched { "; the keys of before are still taken" } else { "" };
                state.complaint = Some(format!("the key set of auth.jwks_url cannot be fetched ({error}){kept}"));
                // Only the first failure of a series is logged; `/ready` and the metrics show the others.
                if state.failures == 0 {
                    tracing::warn!(
                        error,
                        kept = state.keys.len(),
                        "cannot fetch the keys of the login service: check auth.jwks_url"
                    );
                }
                state.failures = state.failures.saturating_add(1);
            }
        }
        drop(state);
        self.ended.send_modify(|ended| *ended += 1);
        is_good
    }

    /// Waits until the keys have to be fetched again: after an interval, or when a token names an unknown key.
    pub async fn until_due(&self) {
        let (started_at, failures) = {
            let state = self.state.read();
            (state.started_at.unwrap_or_else(Instant::now), state.failures)
        };
        let wait = match failures {
            0 => REFRESH_INTERVAL,
            failures => (FIRST_RETRY * 2u32.saturating_pow(failures - 1).min(64)).min(MIN_INTERVAL),
        };
        let key_requested = async {
            self.key_requested.notified().await;
            let requested_at = self.state.read().requested_at;
            if let Some(requested_at) = requested_at {
                sleep_until(requested_at + MIN_INTERVAL).await;
            }
            self.state.write().requested_at = Some(Instant::now());
        };
        tokio::select! {
            () = sleep_until(started_at + wait) => {}
            () = key_requested => {}
        }
    }

    /// Returns why the keys are missing or out of date, if they are.
    pub fn complaint(&self) -> Option<String> {
        self.state.read().complaint.clone()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.state.read().keys.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn keys(&self) -> Arc<[VerifyingKey]> {
        self.state.read().keys.clone()
    }

    pub(super) fn has_been_fetched(&self) -> bool {
        self.state.read().fetched
    }

    /// See [`Tokens::fetch_key_of`](super::Tokens::fetch_key_of).
    pub(super) async fn fetch_key_of(&self, token: &str) {
        let Ok(header) = TokenHeader::of(token) else { return };
        let Some(algorithm) = algorithm::named(header.algorithm()).filter(|it| *it != Algorithm::HS256) else { return };
        let wait = async {
            let mut ended = self.ended.subscribe();
            loop {
                let (is_known, is_busy, requested_recently) = {
                    let state = self.state.read();
                    ended.mark_unchanged();
                    let is_known = match header.key_id() {
                        Some(id) => state.keys.iter().any(|key| key.id() == Some(id)),
                        None => state.keys.iter().any(|key| key.fits(algorithm, None)),
                    };
                    let requested_recently =
                        state.requested_at.is_some_and(|requested_at| requested_at.elapsed() < MIN_INTERVAL);
                    (is_known, state.in_flight || state.started_at.is_none(), requested_recently)
                };
                if is_known {
                    return;
                }
                if !is_busy {
                    // An early request is not lost: the fetch follows when `MIN_INTERVAL` is over.
                    self.key_requested.notify_one();
                }
                if requested_recently && !is_busy {
                    return;
                }
                if ended.changed().await.is_err() || !is_busy {
                    return;
                }
            }
        };
        // Even after a time-out, the token is verified with the keys available then.
        timeout(KEY_TIMEOUT, wait).await.ok();
    }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
