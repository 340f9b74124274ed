//! Signature algorithms of user tokens (RFC 7518 §3.1, RFC 8037), computed by `ring`. Each accepts only keys of its own type.

use std::fmt;
use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{self as sign, RsaPublicKeyComponents, UnparsedPublicKey};
use ring::{hmac, signature::VerificationAlgorithm};
use signature::{Signer, Verifier};

/// Every supported algorithm with its name.
const ALL: [(Algorithm, &str); 10] = [
    (Algorithm::HS256, "HS256"),
    (Algorithm::RS256, "RS256"),
    (Algorithm::RS384, "RS384"),
    (Algorithm::RS512, "RS512"),
    (Algorithm::PS256, "PS256"),
    (Algorithm::PS384, "PS384"),
    (Algorithm::PS512, "PS512"),
    (Algorithm::ES256, "ES256"),
    (Algorithm::ES384, "ES384"),
    (Algorithm::EdDSA, "EdDSA"),
];
/// Registered algorithms (RFC 7518 §3.1, RFC 8812) that are not supported, but named in the refusal.
const UNSUPPORTED: [&str; 5] = ["none", "HS384", "HS512", "ES512", "ES256K"];

/// The algorithms of an RSA key that does not name its own.
pub(super) const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Returns the algorithm with this name, if it is supported.
pub(super) fn named(name: &str) -> Option<Algorithm> {
    ALL.into_iter().find(|(_, known)| *known == name).map(|(algorithm, _)| algorithm)
}

/// Returns a registered name as it is, and a placeholder for any other, so that a refusal repeats nothing from the token.
fn registered(name: &str) -> &'static str {
    let known = ALL.into_iter().map(|(_, known)| known).chain(UNSUPPORTED);
    known.into_iter().find(|known| *known == name).unwrap_or("an algorithm that is not registered")
}

/// A set of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Algorithms(u16);

impl Algorithms {
    pub(super) fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & Self::bit(algorithm) != 0
    }

    /// Returns the union of both sets.
    pub(super) fn union(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    fn bit(algorithm: Algorithm) -> u16 {
        ALL.iter().position(|(known, _)| *known == algorithm).map_or(0, |index| 1 << index)
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |bits, algorithm| bits | Self::bit(algorithm)))
    }
}

/// Writes the names, separated by commas.
impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut accepted = ALL.into_iter().filter(|(algorithm, _)| self.contains(*algorithm)).map(|(_, name)| name);
        match accepted.next() {
            None => f.write_str("none"),
            Some(first) => {
                f.write_str(first)?;
                accepted.try_for_each(|name| write!(f, ", {name}"))
            }
        }
    }
}

/// The token is signed with an algorithm for which the server has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The token is signed with {found}; this server takes {accepted}")]
pub struct WrongAlgorithm {
    found: &'static str,
    accepted: Algorithms,
}

impl WrongAlgorithm {
    pub(super) fn new(found: &str, accepted: Algorithms) -> Self {
        Self { found: registered(found), accepted }
    }
}

/// The cryptography for the token library; its optional bundles would duplicate `ring`.
static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Installs the algorithms in the token library; needed before any use of it.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    // Fails only when a provider is installed already.
    ONCE.call_once(|| PROVIDER.install_default().unwrap_or_else(drop));
}

struct HmacKey(hmac::Key);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's signature")]
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(HmacKey(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

impl Signer<Vec<u8>> for HmacKey {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for HmacKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for HmacKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        // `ring` compares in constant time.
        hmac::verify(&self.0, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for HmacKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// Verifies one algorithm with a public key.
struct PublicVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl PublicVerifier {
    fn accepts(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        let by = |parameters: &'static dyn VerificationAlgorithm| {
            let key = UnparsedPublicKey::new(parameters, self.key.try_get_as_bytes().ok()?);
            key.verify(message, signature).ok()
        };
        let by_rsa = |parameters: &'static sign::RsaParameters| {
            let DecodingKeyKind::RsaModulusExponent { n, e } = self.key.kind() else { return None };
            RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).ok()
        };
        match self.algorithm {
            Algorithm::RS256 => by_rsa(&sign::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => by_rsa(&sign::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => by_rsa(&sign::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => by_rsa(&sign::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => by_rsa(&sign::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => by_rsa(&sign::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => by(&sign::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => by(&sign::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => by(&sign::ED25519),
            _ => None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library's signature")]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(HmacKey(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?)))),
        Algorithm::HS384 | Algorithm::HS512 => Err(ErrorKind::InvalidAlgorithm.into()),
        _ => Ok(Box::new(PublicVerifier { algorithm: *algorithm, key: key.clone() })),
    }
}

impl Verifier<Vec<u8>> for PublicVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.accepts(message, signature).ok_or_else(signature::Error::new)
    }
}

impl JwtVerifier for PublicVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
