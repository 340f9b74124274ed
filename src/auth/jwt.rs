//! User tokens: JSON Web Tokens (RFC 7519), signed with HS256 and nothing else.

use std::collections::HashSet;
use std::sync::{Arc, Once};

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use signature::{Signer, Verifier};

use super::AuthError;
use crate::config::Auth;
use crate::domain::Audience;

/// Clocks of issuers differ from ours by so much; seconds.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);
/// The role of administrators.
const ADMIN: &str = "admin";
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 4096;

/// Whom a token names, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user: Arc<str>,
    /// Whether he administers.
    pub admin: bool,
    /// When the token was made; unknown counts as long ago.
    pub issued_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl Identity {
    /// Whether the token has ended by `now`.
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at + LEEWAY <= now
    }
}

/// Reads and makes tokens.
pub(super) struct Jwt {
    /// The secret, and the one before it.
    verifying: Vec<DecodingKey>,
    validation: Validation,
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jwt(***)")
    }
}

/// What we read of a token. Times are seconds since 1970, with a fraction where somebody writes one.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: Option<Id>,
    user_id: Option<Id>,
    exp: f64,
    #[serde(default)]
    iat: f64,
    #[serde(default)]
    nbf: f64,
    role: Option<String>,
}

/// An id, which some issuers write as a number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

impl Id {
    fn text(self) -> Option<String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        };
        is_user_id(&text).then_some(text)
    }
}

/// Whether somebody can have this id.
pub(super) fn is_user_id(text: &str) -> bool {
    (1..=Audience::MAX_USER).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// What a token of ours says.
#[derive(Debug, Serialize)]
struct NewClaims<'a> {
    sub: &'a str,
    user_id: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
}

impl Jwt {
    /// `None` when the settings have no secret.
    pub(super) fn new(auth: &Auth) -> Option<Self> {
        let secret = auth.jwt_secret.as_ref()?;
        install_crypto();
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are judged against the clock that everything else here runs on.
        validation.validate_exp = false;
        validation.validate_aud = auth.jwt_audience.is_some();
        validation.aud = auth.jwt_audience.as_ref().map(|audience| HashSet::from([audience.clone()]));
        validation.iss = auth.jwt_issuer.as_ref().map(|issuer| HashSet::from([issuer.clone()]));
        let mut required = vec!["exp"];
        required.extend(auth.jwt_audience.as_ref().map(|_| "aud"));
        required.extend(auth.jwt_issuer.as_ref().map(|_| "iss"));
        validation.set_required_spec_claims(&required);
        let secrets = [Some(secret), auth.jwt_previous_secret.as_ref()].into_iter().flatten();
        let verifying = secrets.map(|secret| DecodingKey::from_secret(secret.expose().as_bytes())).collect();
        Some(Self { verifying, validation })
    }

    /// Whom the token names.
    pub(super) fn identity(&self, token: &str, now: DateTime<Utc>) -> Result<Identity, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Wrong);
        }
        let mut read = self.verifying.iter().map(|key| jsonwebtoken::decode::<Claims>(token, key, &self.validation));
        let claims = read.find_map(Result::ok).ok_or(AuthError::Wrong)?.claims;
        let user = claims.sub.and_then(Id::text).or_else(|| claims.user_id.and_then(Id::text));
        let identity = Identity {
            user: user.ok_or(AuthError::Wrong)?.into(),
            admin: claims.role.as_deref() == Some(ADMIN),
            issued_at: instant(claims.iat),
            expires_at: instant(claims.exp),
        };
        if identity.has_expired(now) {
            Err(AuthError::Expired)
        } else if instant(claims.nbf) > now + LEEWAY {
            Err(AuthError::Wrong)
        } else {
            Ok(identity)
        }
    }
}

/// Makes a token that names `user` until `ttl` has passed.
///
/// # Errors
/// [`AuthError::NotSet`] without a secret; [`AuthError::Wrong`] for an id that no token may name.
pub fn mint(auth: &Auth, user: &str, admin: bool, now: DateTime<Utc>, ttl: TimeDelta) -> Result<String, AuthError> {
    let secret = auth.jwt_secret.as_ref().ok_or(AuthError::NotSet("ORION_JWT_SECRET"))?;
    install_crypto();
    let user = Id::Text(user.to_owned()).text().ok_or(AuthError::Wrong)?;
    let claims = NewClaims {
        sub: &user,
        user_id: &user,
        iat: now.timestamp(),
        exp: (now + ttl).timestamp(),
        role: admin.then_some(ADMIN),
        aud: auth.jwt_audience.as_deref(),
        iss: auth.jwt_issuer.as_deref(),
    };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|_| AuthError::Wrong)
}

/// What a token says, whoever signed it: for a person to look at, never to rely on.
///
/// # Errors
/// [`AuthError::Wrong`] when it is no token.
pub fn read_unverified(token: &str) -> Result<serde_json::Value, AuthError> {
    jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| AuthError::Wrong)
}

fn instant(seconds: f64) -> DateTime<Utc> {
    // What no calendar holds is as late as can be, or as early.
    let millis = (seconds * 1e3).clamp(0.0, 253_402_300_799_000.0) as i64;
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

/// HMAC-SHA-256 is all that is linked: the library's own bundles bring RSA and elliptic curves, which nobody may use here.
static HS256: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

fn install_crypto() {
    static ONCE: Once = Once::new();
    // It fails only when it is installed already.
    ONCE.call_once(|| HS256.install_default().unwrap_or_else(drop));
}

struct Key(Hmac<Sha256>);

impl Key {
    fn new(algorithm: Algorithm, secret: &[u8]) -> Result<Box<Self>, Error> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        let key = Hmac::new_from_slice(secret).map_err(|_| ErrorKind::InvalidKeyFormat)?;
        Ok(Box::new(Self(key)))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's signature")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Ok(Key::new(*algorithm, key.as_bytes())?)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's signature")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Ok(Key::new(*algorithm, key.try_get_as_bytes()?)?)
}

impl Signer<Vec<u8>> for Key {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Key {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        // Compares in constant time.
        self.0.clone().chain_update(message).verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
