//! The keys that a login service publishes: a JSON Web Key Set (RFC 7517), read with its limits, and kept while the service is
//! away.

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
use super::jwt::Header;
use super::keys::{VerifyingKey, algorithms_of};
use crate::config::PublicKey;

/// Largest key set, in bytes.
pub const MAX_KEY_SET: usize = 256 * 1024;
/// Most keys of a set.
const MAX_KEYS: usize = 100;
/// Time between two fetches when nothing is wrong: how long a key that was withdrawn is still taken.
const REFRESH_INTERVAL: Duration = Duration::from_mins(10);
/// Least time between two fetches that a token's unknown key brings about.
const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// Waits after a first failure; each further one doubles it, up to [`MIN_INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Longest that a token waits for its key.
const KEY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a document is no key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON, or without keys.
    #[error("the answer is not a JSON Web Key Set: it must be a JSON object with a list 'keys'")]
    NotKeySet,
    /// More keys than are taken.
    #[error("the key set holds {0} keys: at most {MAX_KEYS} are taken")]
    TooMany(usize),
}

/// What a key set holds.
#[derive(Debug, Clone, Default)]
pub struct KeySetContent {
    keys: Vec<VerifyingKey>,
    skipped: Vec<&'static str>,
}

impl KeySetContent {
    /// Reads a key set. Keys that cannot verify a user token are left out.
    ///
    /// # Errors
    /// When it is none, or too large.
    pub fn read(document: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(document).map_err(|_| KeySetError::NotKeySet)?;
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

    /// How many keys can verify user tokens.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key can.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What they are for.
    pub fn algorithms(&self) -> Algorithms {
        algorithms_of(&self.keys)
    }

    /// Why each of the others was left out.
    pub fn skipped(&self) -> &[&'static str] {
        &self.skipped
    }
}

/// Reads a JSON Web Key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2). What it says it is for is all that it is taken for.
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
            // RFC 9864 gives the one curve of EdDSA that there is here a name of its own.
            let name = if name == "Ed25519" { "EdDSA" } else { name };
            let only = algorithm::named(name).and_then(|algorithm| key.only_for(algorithm));
            only.ok_or("its algorithm ('alg') is not supported, or not one for its kind")
        }
        Some(_) => Err("its algorithm ('alg') is not a text"),
    }
}

#[derive(Debug, Default)]
struct State {
    keys: Arc<[VerifyingKey]>,
    /// Whether there was ever an answer.
    fetched: bool,
    in_flight: bool,
    attempted: Option<Instant>,
    /// When a token's unknown key last brought about a fetch.
    asked: Option<Instant>,
    failures: u32,
    trouble: Option<String>,
}

/// The keys of a login service as they were last seen, and when they are to be fetched anew.
#[derive(Debug, Default)]
pub struct KeySet {
    state: RwLock<State>,
    /// Woken by a token whose key is not known.
    wanted: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

impl KeySet {
    /// A fetch begins. It is for all who have asked until now.
    pub fn begin(&self) {
        self.wanted.notified().now_or_never();
        let mut state = self.state.write();
        state.in_flight = true;
        state.attempted = Some(Instant::now());
    }

    /// A fetch has ended, with a document or the reason why there is none; then the keys of before stay. Returns whether the
    /// document was a key set.
    pub fn end(&self, document: Result<impl AsRef<[u8]>, String>) -> bool {
        let content = document.and_then(|bytes| KeySetContent::read(bytes.as_ref()).map_err(|error| error.to_string()));
        let is_good = content.is_ok();
        let mut state = self.state.write();
        state.in_flight = false;
        match content {
            Ok(content) => {
                let (keys, skipped) = (content.len(), content.skipped.len());
                tracing::debug!(keys, skipped, algorithms = %content.algorithms(), "the login service's keys were fetched");
                state.trouble = content.is_empty().then(|| {
                    let why = content.skipped.first().map(|reason| format!(": {reason}")).unwrap_or_default();
                    format!("the key set of auth.jwks_url holds no key that can verify a user token{why}")
                });
                state.fetched = true;
                state.failures = 0;
                state.keys = content.keys.into();
            }
            Err(error) => {
                let kept = if state.fetched { "; the keys of before are still taken" } else { "" };
                state.trouble = Some(format!("the key set of auth.jwks_url cannot be fetched ({error}){kept}"));
                // The first of a row: the rest is on `/ready` and in the metrics.
                if state.failures == 0 {
                    tracing::warn!(error, kept = state.keys.len(), "the login service's keys cannot be fetched");
                }
                state.failures = state.failures.saturating_add(1);
            }
        }
        drop(state);
        self.ended.send_modify(|ended| *ended += 1);
        is_good
    }

    /// Waits until the keys are to be fetched again: after some time, or when a token names one that is not known.
    pub async fn until_due(&self) {
        let (attempted, failures) = {
            let state = self.state.read();
            (state.attempted.unwrap_or_else(Instant::now), state.failures)
        };
        let wait = match failures {
            0 => REFRESH_INTERVAL,
            failures => (FIRST_RETRY * 2u32.saturating_pow(failures - 1).min(64)).min(MIN_INTERVAL),
        };
        let wanted = async {
            self.wanted.notified().await;
            let asked = self.state.read().asked;
            if let Some(asked) = asked {
                sleep_until(asked + MIN_INTERVAL).await;
            }
            self.state.write().asked = Some(Instant::now());
        };
        tokio::select! {
            () = sleep_until(attempted + wait) => {}
            () = wanted => {}
        }
    }

    /// Why the keys are not as they should be.
    pub fn complaint(&self) -> Option<String> {
        self.state.read().trouble.clone()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.state.read().keys.len()
    }

    /// Whether there are none.
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
        let Ok(header) = Header::of(token) else { return };
        let Some(algorithm) = algorithm::named(header.algorithm()).filter(|it| *it != Algorithm::HS256) else { return };
        let wait = async {
            let mut ended = self.ended.subscribe();
            loop {
                let (is_known, is_busy, had_its_turn) = {
                    let state = self.state.read();
                    ended.mark_unchanged();
                    let is_known = match header.key_id() {
                        Some(id) => state.keys.iter().any(|key| key.id() == Some(id)),
                        None => state.keys.iter().any(|key| key.fits(algorithm, None)),
                    };
                    let had_its_turn = state.asked.is_some_and(|asked| asked.elapsed() < MIN_INTERVAL);
                    (is_known, state.in_flight || state.attempted.is_none(), had_its_turn)
                };
                if is_known {
                    return;
                }
                if !is_busy {
                    // What is asked for too early is not lost: it is fetched as soon as the minute is over.
                    self.wanted.notify_one();
                }
                if had_its_turn && !is_busy {
                    return;
                }
                if ended.changed().await.is_err() || !is_busy {
                    return;
                }
            }
        };
        // Whatever came of it, the token is judged by the keys that there are then.
        timeout(KEY_TIMEOUT, wait).await.ok();
    }
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
