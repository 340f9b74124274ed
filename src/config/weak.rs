//! Warnings about secrets that can be guessed, or that were pasted with extra characters.

use super::names;
use super::{Secret, Settings};

/// Tokens shorter than this, in bytes, can be found by trying.
const MIN_TOKEN: usize = 16;
/// The shortest key for HS256, in bytes: the length of its hash (RFC 7518 §3.2).
const MIN_JWT_SECRET: usize = 32;
/// A random text has more different characters than this.
const FEW_CHARACTERS: usize = 4;
/// A secret that repeats a piece of at most this length, in bytes, is weak.
const SHORT_PIECE: usize = 10;

/// Common words and examples, in lower case and without digits and punctuation.
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

/// Returns why a secret can be guessed; `None` when it shows no weakness.
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
    /// Returns every secret with its setting.
    pub(super) fn secrets(&self) -> Vec<(String, Option<&Secret>)> {
        let Self { auth, alerts, .. } = self;
        let own = [
            ("auth.ingest_token", &auth.ingest_token),
            ("auth.admin_token", &auth.admin_token),
            ("auth.read_token", &auth.read_token),
            ("auth.delayed_read_token", &auth.delayed_read_token),
            ("auth.jwt_secret", &auth.jwt_secret),
            ("auth.jwt_previous_secret", &auth.jwt_previous_secret),
            ("tradingview.webhook_token", &self.tradingview.webhook_token),
            ("alerts.webhook_url", &alerts.webhook_url),
            ("alerts.webhook_secret", &alerts.webhook_secret),
            ("cluster.credentials", &self.cluster.credentials),
            ("record.key", &self.record.key),
        ];
        let own = own.map(|(key, secret)| (key, secret.as_ref()));
        let own = own.into_iter().chain(self.notify.secrets()).map(|(key, secret)| (key.to_owned(), secret));
        own.chain(self.providers.secrets()).collect()
    }

    /// Returns warnings about the secrets, one line each: they begin with the variable and never show the value.
    pub fn secret_warnings(&self) -> Vec<String> {
        let auth = &self.auth;
        let tokens = [
            ("auth.ingest_token", &auth.ingest_token),
            ("auth.admin_token", &auth.admin_token),
            ("auth.read_token", &auth.read_token),
            ("auth.delayed_read_token", &auth.delayed_read_token),
            ("tradingview.webhook_token", &self.tradingview.webhook_token),
            ("alerts.webhook_secret", &self.alerts.webhook_secret),
            ("auth.jwt_secret", &auth.jwt_secret),
            ("auth.jwt_previous_secret", &auth.jwt_previous_secret),
        ];
        let named = |key: &str| {
            let variable = names::short(key, &self.providers).unwrap_or_else(|| names::long(key));
            format!("{variable} ({key})")
        };
        let guess_warnings =
            tokens.into_iter().filter_map(|(key, secret)| guess_warning(key, &named(key), secret.as_ref()?));
        let paste_warnings =
            self.secrets().into_iter().filter_map(|(key, secret)| Some(paste_warnings(&named(&key), secret?)));
        guess_warnings.chain(paste_warnings.flatten()).collect()
    }
}

fn guess_warning(key: &str, named: &str, secret: &Secret) -> Option<String> {
    let is_jwt = key.contains("jwt");
    let bytes = if is_jwt { secret.key_bytes()? } else { secret.expose().as_bytes().to_vec() };
    let short = is_jwt && bytes.len() < MIN_JWT_SECRET;
    let why = weakness(&bytes).or(short.then_some("is shorter than 32 bytes: it can be guessed from a single token"))?;
    // A token in a URL must not contain `/` and `+`.
    let make = if key == "tradingview.webhook_token" { "openssl rand -hex 32" } else { "openssl rand -base64 32" };
    Some(format!("{named} {why}; make one with: {make}"))
}

fn paste_warnings(named: &str, secret: &Secret) -> Vec<String> {
    let mut warnings = Vec::new();
    if secret.is_quoted() {
        warnings.push(format!(
            "{named} is in quotes, which count as a part of it: an env file of Docker takes quotes as they are; leave them out"
        ));
    }
    if secret.was_padded() {
        warnings.push(format!(
            "{named} has white space or a line break at an end, which is left out: a header could not carry it"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guessable_secret_is_weak() {
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
    fn the_words_are_only_lower_case_letters() {
        assert!(WELL_KNOWN.concat().bytes().all(|byte| byte.is_ascii_lowercase()));
    }
}
