//! Secrets that can be guessed, and secrets that were pasted with more than themselves.

use super::names;
use super::{Secret, Settings};

/// Shorter tokens can be tried out; bytes.
const MIN_TOKEN: usize = 16;
/// HS256 asks for a key as long as its hash (RFC 7518 §3.2); bytes.
const MIN_JWT_SECRET: usize = 32;
/// A random text of some length has more different characters than this.
const FEW_CHARACTERS: usize = 4;
/// A piece of at most this length that is repeated all through a secret; bytes.
const SHORT_PIECE: usize = 10;

/// Words of examples and habits, without what people put around them: capitals, digits and punctuation.
const WELL_KNOWN: [&str; 31] = [
    "admin",
    "administrator",
    "asecretkey",
    "astringsecretatleastbitslong",
    "astringsecretatleastbitslongforhs",
    "avalidstringsecretthatisatleastbitslongwhichisverylong",
    "changeit",
    "changeme",
    "changethis",
    "default",
    "example",
    "hunter",
    "jwtsecret",
    "keyboardcat",
    "letmein",
    "mysecret",
    "mysecretkey",
    "ingesttoken",
    "password",
    "pleasechangeme",
    "qwerty",
    "replaceme",
    "secret",
    "secretkey",
    "supersecret",
    "supersecretjwttokenwithatleastcharacterslong",
    "supersecretkey",
    "test",
    "token",
    "yourbitsecret",
    "yoursecretkey",
];

/// Why a secret can be guessed; `None` when nothing speaks for it.
fn weakness(secret: &[u8]) -> Option<&'static str> {
    let letters = secret.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase);
    if WELL_KNOWN.iter().any(|word| letters.clone().eq(word.bytes())) {
        return Some("is a well-known example");
    }
    let mut characters = secret.to_vec();
    characters.sort_unstable();
    characters.dedup();
    if characters.len() <= FEW_CHARACTERS {
        return Some("is made of one or a few characters");
    }
    let repeats = |piece: &usize| secret.iter().zip(&secret[*piece..]).all(|(one, other)| one == other);
    if (1..=SHORT_PIECE.min(secret.len() / 2)).any(|piece| repeats(&piece)) {
        return Some("repeats a short piece");
    }
    (secret.len() < MIN_TOKEN).then_some("is short enough to be found by trying")
}

impl Settings {
    /// What is odd about the secrets: a line for each, which begins with the variable and shows nothing of the value.
    pub fn secret_warnings(&self) -> Vec<String> {
        let auth = &self.auth;
        let tokens = [
            ("auth.ingest_token", &auth.ingest_token),
            ("auth.admin_token", &auth.admin_token),
            ("auth.read_token", &auth.read_token),
            ("tradingview.webhook_token", &self.tradingview.webhook_token),
            ("alerts.webhook_secret", &self.alerts.webhook_secret),
            ("auth.jwt_secret", &auth.jwt_secret),
            ("auth.jwt_previous_secret", &auth.jwt_previous_secret),
        ];
        let guessable = tokens.into_iter().filter_map(|(key, secret)| guessable(key, secret.as_ref()?));
        let keys = [
            ("oanda.token", &self.oanda.token),
            ("massive.key", &self.massive.key),
            ("alpha_vantage.key", &self.alpha_vantage.key),
            ("alerts.webhook_url", &self.alerts.webhook_url),
        ];
        let pasted =
            tokens.into_iter().chain(keys).filter_map(|(key, secret)| secret.as_ref().map(|it| pasted(key, it)));
        guessable.chain(pasted.flatten()).collect()
    }
}

fn guessable(key: &str, secret: &Secret) -> Option<String> {
    let is_jwt = key.contains("jwt");
    let bytes = if is_jwt { secret.key_bytes()? } else { secret.expose().as_bytes().to_vec() };
    let short = is_jwt && bytes.len() < MIN_JWT_SECRET;
    let why = weakness(&bytes).or(short.then_some("is shorter than 32 bytes: it can be guessed from a single token"))?;
    // A token in an address must not hold `/` and `+`.
    let make = if key == "tradingview.webhook_token" { "openssl rand -hex 32" } else { "openssl rand -base64 32" };
    Some(format!("{} {why}; make one with: {make}", named(key)))
}

fn pasted(key: &str, secret: &Secret) -> Vec<String> {
    let mut warnings = Vec::new();
    if secret.is_quoted() {
        warnings.push(format!(
            "{} is in quotes, which count as a part of it: an env file of Docker takes quotes as they are; leave them out",
            named(key)
        ));
    }
    if secret.was_padded() {
        warnings.push(format!(
            "{} has white space or a line break at an end, which is left out: a header could not carry it",
            named(key)
        ));
    }
    warnings
}

/// The variable and the setting.
fn named(key: &str) -> String {
    format!("{} ({key})", names::short(key).map_or_else(|| names::long(key), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_guessed_is_called_weak() {
        for weak in [
            "secret",
            "Secret123",
            "changeme",
            "CHANGE-ME!",
            "change_me_2026_01_01",
            "your-256-bit-secret",
            "super-secret-jwt-token-with-at-least-32-characters-long",
            "a-string-secret-at-least-256-bits-long",
            "x",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababababababababababab",
            "12345678901234567890123456789012345678901",
            "k7Qz9vLp2",
        ] {
            assert!(weakness(weak.as_bytes()).is_some(), "{weak}");
        }
        for strong in ["b1946ac92492d2347c6235b4d2611184", "k7Qz9vLp2RtY4uWx", "correct horse battery staple"] {
            assert_eq!(weakness(strong.as_bytes()), None, "{strong}");
        }
    }

    #[test]
    fn no_list_of_words_holds_what_is_left_out() {
        assert!(WELL_KNOWN.concat().bytes().all(|byte| byte.is_ascii_lowercase()));
    }
}
