//! The keys that verify user tokens, with their algorithms and ids.

use jsonwebtoken::{Algorithm, DecodingKey};

use super::algorithm::{self, Algorithms};
use crate::config::{PublicKey, Secret};

/// A key with the algorithms that it may verify.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    /// The id (`kid`); keys of the settings have none.
    id: Option<String>,
    algorithms: Algorithms,
    key: DecodingKey,
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// Returns a key from a secret for HS256; `None` when the secret cannot be decoded.
    pub(super) fn secret(secret: &Secret) -> Option<Self> {
        secret.key_bytes().map(|bytes| Self::hmac(&bytes))
    }

    /// Returns a key from bytes for HS256.
    pub(super) fn hmac(bytes: &[u8]) -> Self {
        let algorithms = [Algorithm::HS256].into_iter().collect();
        Self { id: None, algorithms, key: DecodingKey::from_secret(bytes) }
    }

    /// Returns a public key for all algorithms of its type.
    pub(super) fn public(key: &PublicKey) -> Self {
        let (algorithms, key) = match key {
            PublicKey::Rsa { modulus, exponent } => {
                (&algorithm::RSA[..], DecodingKey::from_rsa_raw_components(modulus, exponent))
            }
            PublicKey::P256(point) => (&[Algorithm::ES256][..], DecodingKey::from_ec_der(point)),
            PublicKey::P384(point) => (&[Algorithm::ES384][..], DecodingKey::from_ec_der(point)),
            PublicKey::Ed25519(key) => (&[Algorithm::EdDSA][..], DecodingKey::from_ed_der(key)),
        };
        Self { id: None, algorithms: algorithms.iter().copied().collect(), key }
    }

    /// Sets the id.
    pub(super) fn named(self, id: Option<String>) -> Self {
        Self { id, ..self }
    }

    /// Restricts the key to one algorithm; `None` when the key does not support it.
    pub(super) fn only_for(self, algorithm: Algorithm) -> Option<Self> {
        let algorithms = [algorithm].into_iter().collect();
        self.algorithms.contains(algorithm).then_some(Self { algorithms, ..self })
    }

    /// Whether the key may verify a token with this algorithm and key id.
    pub(super) fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        let named = self.id.as_deref().zip(id).is_none_or(|(own, wanted)| own == wanted);
        named && self.algorithms.contains(algorithm)
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn algorithms(&self) -> Algorithms {
        self.algorithms
    }

    pub(super) fn key(&self) -> &DecodingKey {
        &self.key
    }
}

/// Returns the algorithms of all the keys.
pub(super) fn algorithms_of<'a>(keys: impl IntoIterator<Item = &'a VerifyingKey>) -> Algorithms {
    keys.into_iter().map(VerifyingKey::algorithms).fold(Algorithms::default(), Algorithms::union)
}
