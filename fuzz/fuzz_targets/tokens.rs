#![no_main]
//! Fuzzes tokens in a header or a query.

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderValue, Uri};
use libfuzzer_sys::fuzz_target;
use orion_server::auth::{Tokens, handshake_token, mint, read_unverified};
use orion_server::config::{Auth, Secret};

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

static AUTH: LazyLock<Auth> = LazyLock::new(|| Auth {
    jwt_secret: Some(Secret::new("a secret for tests, of more than 32 bytes")),
    ingest_token: Some(Secret::new("token")),
    ..Auth::default()
});
static TOKENS: LazyLock<Tokens> = LazyLock::new(|| Tokens::new(&AUTH, now));

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(data) {
        headers.insert("authorization", value);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let uri = format!("/api/ws?{text}").parse().unwrap_or(Uri::from_static("/"));
    let presented = handshake_token(&headers, &uri).ok().flatten();
    for token in [Some(text), presented.as_deref()] {
        // A signature cannot be guessed, so an accepted token has to be one of ours.
        assert!(TOKENS.user(token).is_err());
        TOKENS.ingest(token).ok();
        token.map(read_unverified);
    }
    // A minted token names its user.
    if let Ok(token) = mint(&AUTH, text, false, now(), TimeDelta::hours(1)) {
        assert_eq!(&*TOKENS.user(Some(&token)).unwrap().user, text);
    }
});
