//! Standard Webhooks: HMAC-SHA256 over `id.timestamp.body` (standardwebhooks.com, "Signature scheme").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{Alerts, Secret};

/// Signs webhook bodies.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Creates a signer from the secret of the settings; `None` if the secret is invalid.
    pub fn new(secret: &Secret) -> Option<Self> {
        Hmac::new_from_slice(&Alerts::signing_key(secret)?).ok().map(Self)
    }

    /// Returns the value of the header `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example from the specification's reference libraries.
    #[test]
    fn a_signature_matches_the_specification() {
        let signer = Signer::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_invalid_key_is_rejected_and_never_shown() {
        for secret in ["short", "whsec_AAAA", "whsec_***", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS"] {
            assert!(Signer::new(&Secret::new(secret)).is_none(), "{secret}");
        }
        let signer = Signer::new(&Secret::new("a text of more than 24 bytes")).unwrap();
        assert_eq!(format!("{signer:?}"), "Signer");
    }
}
