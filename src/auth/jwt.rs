//! User tokens: JSON Web Tokens (RFC 7519), signed with a secret shared with the login service (HS256) or with its private key.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, EncodingKey, Validation};
use serde_json::{Map, Value};

use super::algorithm::{self, WrongAlgorithm};
use super::claims::{ClaimRules, DELAY, LEEWAY};
use super::error::MAX_TOKEN;
use super::jwks::KeySet;
use super::keys::{VerifyingKey, algorithms_of};
use super::{AuthError, StoredToken, is_user_id};
use crate::config::{Auth, Secret};
use crate::domain::Delay;

/// The user that a verified token names, and the life of the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user's id.
    pub user: Arc<str>,
    /// Whether the user is an administrator.
    pub admin: bool,
    /// How much later the user gets prices and signals; none for administrators.
    pub delay: Delay,
    /// When the token was issued; the Unix epoch when the token does not say.
    pub issued_at: DateTime<Utc>,
    /// When the token expires.
    pub expires_at: DateTime<Utc>,
    /// The stored token; `None` for a JSON Web Token.
    pub stored: Option<Arc<StoredToken>>,
}

impl Principal {
    /// Whether the token has expired at `now`.
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at + LEEWAY <= now
    }
}

/// The header of a token, read before its signature is verified.
#[derive(Debug)]
pub(super) struct TokenHeader(Map<String, Value>);

impl TokenHeader {
    /// Parses the header of a token.
    ///
    /// # Errors
    /// When `token` is not a JWT, or its header asks for an extension.
    pub(super) fn of(token: &str) -> Result<Self, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(AuthError::NotJwt("it must have three parts with dots between them"));
        };
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| AuthError::NotJwt("its header is not base64url"))?;
        let header: Map<String, Value> =
            serde_json::from_slice(&header).map_err(|_| AuthError::NotJwt("its header is not a JSON object"))?;
        if header.contains_key("crit") { Err(AuthError::Critical) } else { Ok(Self(header)) }
    }

    /// Returns the name of the algorithm as it is written.
    pub(super) fn algorithm(&self) -> &str {
        self.0.get("alg").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the id of the key, if the header has one.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.0.get("kid").and_then(Value::as_str)
    }
}

/// Whether a token has the form of a JWT, valid or not.
pub(super) fn has_form_of_jwt(token: &str) -> bool {
    token.split('.').count() == 3
}

/// Verifies user tokens.
pub(super) struct Jwt {
    /// The current and the previous secret, and the public keys of the settings.
    keys: Vec<VerifyingKey>,
    /// The keys that the login service publishes.
    key_set: Option<Arc<KeySet>>,
    rules: ClaimRules,
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jwt(***)")
    }
}

impl Jwt {
    /// Builds the verifier; `None` when the settings have no key.
    pub(super) fn new(auth: &Auth) -> Option<Self> {
        if !auth.takes_user_tokens() {
            return None;
        }
        algorithm::install();
        let secrets = [&auth.jwt_secret, &auth.jwt_previous_secret].into_iter().flatten();
        let keys =
            secrets.filter_map(VerifyingKey::secret).chain(auth.public_keys().map(VerifyingKey::public)).collect();
        let key_set = auth.jwks_url.is_some().then(Arc::default);
        Some(Self { keys, key_set, rules: ClaimRules::new(auth) })
    }

    /// Returns the key set of the login service, if `auth.jwks_url` is set.
    pub(super) fn key_set(&self) -> Option<&Arc<KeySet>> {
        self.key_set.as_ref()
    }

    /// Verifies a token and returns its principal.
    pub(super) fn identity(&self, token: &str, now: DateTime<Utc>) -> Result<Principal, AuthError> {
        let header = TokenHeader::of(token)?;
        let published = self.key_set.as_ref().map(|set| set.keys()).unwrap_or_default();
        let keys = || self.keys.iter().chain(published.iter());
        let accepted = algorithms_of(keys());
        let keys_pending = self.key_set.as_ref().is_some_and(|set| !set.has_been_fetched());
        let algorithm = match algorithm::named(header.algorithm()) {
            Some(algorithm) if accepted.contains(algorithm) => algorithm,
            // The key set was not fetched yet; it may have a key for this algorithm.
            Some(algorithm) if keys_pending && algorithm != Algorithm::HS256 => return Err(AuthError::NoKeysYet),
            _ => return Err(AuthError::WrongAlgorithm(WrongAlgorithm::new(header.algorithm(), accepted))),
        };
        for key in keys().filter(|key| key.fits(algorithm, header.key_id())) {
            match claims(token, algorithm, key) {
                Err(AuthError::WrongSignature) => {}
                verified => return self.rules.identity(&verified?, now),
            }
        }
        Err(if keys_pending && algorithm != Algorithm::HS256 {
            AuthError::NoKeysYet
        } else {
            AuthError::WrongSignature
        })
    }
}

/// Verifies the signature with `key` and returns the claims, which [`ClaimRules`] checks.
fn claims(token: &str, algorithm: Algorithm, key: &VerifyingKey) -> Result<Map<String, Value>, AuthError> {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, key.key(), &validation);
    decoded.map(|token| token.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => AuthError::WrongSignature,
        _ => AuthError::NotJwt("its parts are not what they must be"),
    })
}

/// Issues a token for `user` that expires after `ttl`.
///
/// # Errors
/// [`AuthError::NotSet`] without a secret; [`AuthError::Wrong`] for an invalid user id.
pub fn mint(auth: &Auth, user: &str, admin: bool, now: DateTime<Utc>, ttl: TimeDelta) -> Result<String, AuthError> {
    issue(auth, user, admin.then(|| auth.admin_claim.claim_with(&auth.admin_value)), now, ttl)
}

/// Issues a token for `user` who reads with `delay`, and that expires after `ttl`.
///
/// # Errors
/// As [`mint`].
pub fn mint_delayed(
    auth: &Auth,
    user: &str,
    delay: Delay,
    now: DateTime<Utc>,
    ttl: TimeDelta,
) -> Result<String, AuthError> {
    issue(auth, user, Some((DELAY.to_owned(), delay.seconds().into())), now, ttl)
}

fn issue(
    auth: &Auth,
    user: &str,
    claim_of_user: Option<(String, Value)>,
    now: DateTime<Utc>,
    ttl: TimeDelta,
) -> Result<String, AuthError> {
    let secret = auth.jwt_secret.as_ref().and_then(Secret::key_bytes).ok_or(AuthError::NotSet("ORION_JWT_SECRET"))?;
    if !is_user_id(user) {
        return Err(AuthError::Wrong);
    }
    algorithm::install();
    let claim = |name: &str, value: Value| Some((name.to_owned(), value));
    let claims: Map<String, Value> = [
        claim("sub", user.into()),
        claim("user_id", user.into()),
        claim("iat", now.timestamp().into()),
        claim("exp", (now + ttl).timestamp().into()),
        auth.jwt_audience.as_deref().and_then(|audience| claim("aud", audience.into())),
        auth.jwt_issuer.as_deref().and_then(|issuer| claim("iss", issuer.into())),
        claim_of_user,
    ]
    .into_iter()
    .flatten()
    .collect();
    let key = EncodingKey::from_secret(&secret);
    jsonwebtoken::encode(&jsonwebtoken::Header::new(Algorithm::HS256), &claims, &key).map_err(|_| AuthError::Wrong)
}

/// The content of a token whose signature was not verified, for people to inspect; never to rely on.
#[derive(Debug, Clone, PartialEq)]
pub struct Unverified {
    /// The algorithm in the header.
    pub algorithm: String,
    /// The key id in the header.
    pub key_id: Option<String>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Parses a token without verifying it.
///
/// # Errors
/// When `token` is not a JWT.
pub fn read_unverified(token: &str) -> Result<Unverified, AuthError> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(AuthError::NotJwt("it must have three parts with dots between them"));
    };
    let part = |part: &str, error| {
        let decoded = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok();
        decoded
            .and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok())
            .ok_or(AuthError::NotJwt(error))
    };
    let header = part(header, "its header is not a JSON object in base64url")?;
    let claims = part(claims, "its claims are not a JSON object in base64url")?;
    let text = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Unverified { algorithm: text("alg").unwrap_or_default(), key_id: text("kid"), claims })
}

/// Whether the token would verify with the other encoding of the secret: base64 instead of text, or text instead of base64.
pub fn fits_other_encoding(auth: &Auth, token: &str) -> bool {
    let secrets = [&auth.jwt_secret, &auth.jwt_previous_secret].into_iter().flatten();
    algorithm::install();
    secrets.filter_map(Secret::other_key_bytes).any(|bytes| {
        let is_hs256 = TokenHeader::of(token).is_ok_and(|header| header.algorithm() == "HS256");
        is_hs256 && claims(token, Algorithm::HS256, &VerifyingKey::hmac(&bytes)).is_ok()
    })
}
