//! Secret settings, which are never shown.

use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// A token or key. It prints as `***` and compares in constant time.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret {
    text: String,
    /// Whether there was white space around it.
    padded: bool,
}

/// What is printed instead of a secret.
const MASK: &str = "***";
/// The prefix of a key in base64.
const BASE64: &str = "base64:";

impl Secret {
    /// Wraps a secret. White space around it is dropped: secrets are often pasted with a line break, which a header cannot
    /// carry.
    pub fn new(secret: impl AsRef<str>) -> Self {
        let (given, text) = (secret.as_ref(), secret.as_ref().trim());
        Self { text: text.to_owned(), padded: text.len() != given.len() }
    }

    /// Whether the secret had white space around it.
    pub(super) fn was_padded(&self) -> bool {
        self.padded
    }

    /// Whether the secret begins or ends with a quotation mark.
    pub(super) fn is_quoted(&self) -> bool {
        const QUOTES: [char; 7] = ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];
        self.text.starts_with(QUOTES) || self.text.ends_with(QUOTES)
    }

    /// Returns the key for HMAC: the bytes of the text, or the decoded bytes after `base64:`; `None` when they are not base64.
    pub fn key_bytes(&self) -> Option<Vec<u8>> {
        match self.text.strip_prefix(BASE64) {
            Some(encoded) => decode_base64(encoded),
            None => Some(self.text.clone().into_bytes()),
        }
    }

    /// Returns the key in the other encoding: decoded from base64 where `key_bytes` uses the text, and the reverse.
    pub fn other_key_bytes(&self) -> Option<Vec<u8>> {
        match self.text.strip_prefix(BASE64) {
            Some(encoded) => Some(encoded.as_bytes().to_vec()),
            None => decode_base64(&self.text),
        }
    }

    /// Returns the secret, for a request to its issuer; never for text that is shown.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether the secret is the printed mask, copied from printed settings.
    pub(super) fn is_mask(&self) -> bool {
        self.text == MASK
    }

    /// Returns the secret, for computations with it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether the secret has this number of bytes, all of this kind.
    pub(super) fn consists_of(&self, bytes: std::ops::RangeInclusive<usize>, kind: impl Fn(u8) -> bool) -> bool {
        bytes.contains(&self.text.len()) && self.text.bytes().all(kind)
    }

    /// Whether `candidate` is this secret, compared in constant time.
    pub fn matches(&self, candidate: &str) -> bool {
        self.text.as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

/// Decodes base64 in either alphabet, with or without padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decode = |alphabet| GeneralPurpose::new(alphabet, lenient).decode(text.trim()).ok();
    decode(&STANDARD).or_else(|| decode(&URL_SAFE)).filter(|bytes| !bytes.is_empty())
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.text)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2\n");
        assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** \"***\"");
        assert!(secret.matches("hunter2"));
        assert!(!secret.matches("hunter"));
        assert!(secret.was_padded() && !Secret::new("hunter2").was_padded());
    }

    #[test]
    fn a_key_is_text_or_base64() {
        let bytes = |text: &str| (Secret::new(text).key_bytes(), Secret::new(text).other_key_bytes());
        let text = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(bytes("c2VjcmV0IQ=="), (text("c2VjcmV0IQ=="), text("secret!")));
        assert_eq!(bytes("base64:c2VjcmV0IQ"), (text("secret!"), text("c2VjcmV0IQ")));
        assert_eq!(bytes("base64:_-__"), (Some(vec![0xff, 0xef, 0xff]), text("_-__")));
        assert_eq!((bytes("base64:!").0, bytes("no base64 at all").1), (None, None));
    }

    #[test]
    fn quotes_at_either_end_are_noticed() {
        for quoted in ["\"a\"", "'a'", "\"a", "a'", "\u{201c}a\u{201d}"] {
            assert!(Secret::new(quoted).is_quoted(), "{quoted}");
        }
        assert!(!Secret::new("it's").is_quoted());
    }
}
