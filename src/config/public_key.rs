//! Public keys of login services in PEM, as text or in files.
//!
//! The formats are `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7, `BEGIN PUBLIC KEY`) and PKCS #1 (RFC 8017 §A.1.1, `BEGIN RSA PUBLIC KEY`).
//! One text may hold several keys. Line breaks may be written as `\n` or be missing, as happens in environment variables.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs1::RsaPublicKeyRef;
use serde::{Deserialize, Serialize};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

/// Smallest RSA modulus, in bits (RFC 7518 §3.3).
const MIN_RSA_BITS: usize = 2048;
/// Largest RSA modulus that the verifier accepts, in bits.
const MAX_RSA_BITS: usize = 8192;
/// Largest file of keys, in bytes.
const MAX_FILE: u64 = 64 * 1024;
/// Most keys in one text.
const MAX_KEYS: usize = 16;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A public key that verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA; both numbers big-endian, without leading zeros.
    Rsa {
        /// The modulus, `n`.
        modulus: Vec<u8>,
        /// The public exponent, `e`.
        exponent: Vec<u8>,
    },
    /// A point on NIST P-256, uncompressed (65 bytes).
    P256(Vec<u8>),
    /// A point on NIST P-384, uncompressed (97 bytes).
    P384(Vec<u8>),
    /// Ed25519 (32 bytes).
    Ed25519(Vec<u8>),
}

/// Why a text has no usable public key. The error does not repeat the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// The text has no key.
    #[error("holds no public key: it must have a block that begins with -----BEGIN PUBLIC KEY-----")]
    NoKey,
    /// A block of PEM has no end, or is not base64.
    #[error("is damaged: a block of PEM has no end, or is not base64; was all of it copied?")]
    Damaged,
    /// The text has a private key.
    #[error(
        "holds a private key, which does not belong on this server: openssl pkey -in FILE -pubout prints the public one"
    )]
    Private,
    /// The text has a certificate.
    #[error("holds a certificate: openssl x509 -in FILE -noout -pubkey prints its public key")]
    Certificate,
    /// An RSA key has an unsupported size.
    #[error("is an RSA key of {0} bits: it must have {MIN_RSA_BITS} to {MAX_RSA_BITS}")]
    RsaSize(usize),
    /// The key is of an unsupported type.
    #[error("is a key of another kind: RSA, EC on P-256 or P-384, and Ed25519 are supported")]
    Unsupported,
    /// The text has too many keys.
    #[error("holds more than {MAX_KEYS} keys")]
    TooMany,
}

impl PublicKey {
    /// Builds an RSA key from its modulus and exponent.
    ///
    /// # Errors
    /// [`PublicKeyError::RsaSize`] for a modulus of an unsupported size, [`PublicKeyError::Damaged`] for an invalid exponent.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, PublicKeyError> {
        let stripped = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let (modulus, exponent) = (stripped(modulus), stripped(exponent));
        let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(PublicKeyError::RsaSize(bits));
        }
        // The verifier accepts exponents of up to 33 bits; with 1, a signature would prove nothing.
        let is_odd = exponent.last().is_some_and(|last| last % 2 == 1);
        if exponent == [1] || exponent.len() > 4 || !is_odd {
            return Err(PublicKeyError::Damaged);
        }
        Ok(Self::Rsa { modulus, exponent })
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, PublicKeyError> {
        let key = RsaPublicKeyRef::try_from(der).map_err(|_| PublicKeyError::Damaged)?;
        Self::rsa(key.modulus.as_bytes(), key.public_exponent.as_bytes())
    }

    fn from_spki(der: &[u8]) -> Result<Self, PublicKeyError> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| PublicKeyError::Damaged)?;
        let key = info.subject_public_key.as_bytes().ok_or(PublicKeyError::Damaged)?;
        let is_point = |coordinate: usize| key.len() == 1 + 2 * coordinate && key[0] == 4;
        match info.algorithm.oid {
            RSA => Self::from_pkcs1(key),
            EC => match info.algorithm.parameters_oid() {
                Ok(P256) if is_point(32) => Ok(Self::P256(key.to_vec())),
                Ok(P384) if is_point(48) => Ok(Self::P384(key.to_vec())),
                _ => Err(PublicKeyError::Unsupported),
            },
            ED25519 if key.len() == 32 => Ok(Self::Ed25519(key.to_vec())),
            _ => Err(PublicKeyError::Unsupported),
        }
    }

    /// Parses all keys of a text in PEM; the bare base64 of one key is accepted as well.
    ///
    /// # Errors
    /// When a block cannot be used, or the text has none.
    pub fn read_all(text: &str) -> Result<Vec<Self>, PublicKeyError> {
        const BEGIN: &str = "-----BEGIN ";
        let text = text.replace("\\n", "\n");
        if !text.contains(BEGIN) {
            let der = decode(&text).filter(|der| !der.is_empty()).ok_or(PublicKeyError::NoKey)?;
            return Self::from_spki(&der).map(|key| vec![key]);
        }
        let mut keys = Vec::new();
        for block in text.split(BEGIN).skip(1) {
            let (label, rest) = block.split_once("-----").ok_or(PublicKeyError::Damaged)?;
            let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or(PublicKeyError::Damaged)?;
            let der = || decode(body).ok_or(PublicKeyError::Damaged);
            keys.push(match label.trim() {
                "PUBLIC KEY" => Self::from_spki(&der()?)?,
                "RSA PUBLIC KEY" => Self::from_pkcs1(&der()?)?,
                "CERTIFICATE" => return Err(PublicKeyError::Certificate),
                private if private.ends_with("PRIVATE KEY") => return Err(PublicKeyError::Private),
                _ => return Err(PublicKeyError::Unsupported),
            });
        }
        if keys.len() > MAX_KEYS { Err(PublicKeyError::TooMany) } else { Ok(keys) }
    }
}

fn decode(body: &str) -> Option<Vec<u8>> {
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

/// A setting with keys as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKeys {
    text: String,
    keys: Vec<PublicKey>,
}

impl TryFrom<String> for PublicKeys {
    type Error = PublicKeyError;

    fn try_from(text: String) -> Result<Self, PublicKeyError> {
        PublicKey::read_all(&text).map(|keys| Self { text, keys })
    }
}

impl From<PublicKeys> for String {
    fn from(keys: PublicKeys) -> Self {
        keys.text
    }
}

impl PublicKeys {
    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }
}

/// A setting with the path of a file of keys, which is read together with the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKeyFile {
    path: PathBuf,
    keys: Vec<PublicKey>,
}

impl TryFrom<String> for PublicKeyFile {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let mut text = String::new();
        let opened = File::open(&path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
        let size = opened.map_err(|error| format!("{path:?} cannot be read: {error}"))?;
        if size as u64 > MAX_FILE {
            return Err(format!("{path:?} is larger than {MAX_FILE} bytes"));
        }
        let keys = PublicKey::read_all(&text).map_err(|error| format!("{path:?} {error}"))?;
        Ok(Self { path: path.into(), keys })
    }
}

impl From<PublicKeyFile> for String {
    fn from(file: PublicKeyFile) -> Self {
        file.path.to_string_lossy().into_owned()
    }
}

impl PublicKeyFile {
    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }
}

#[cfg(test)]
#[path = "public_key_tests.rs"]
mod tests;
