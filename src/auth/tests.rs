use chrono::TimeDelta;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Uri};
use serde_json::json;

use super::*;
use crate::config::AllowedOrigins;
use crate::domain::parse_time;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn now() -> DateTime<Utc> {
    parse_time("2026-01-15T10:30:00Z").unwrap()
}

fn with_secret() -> Auth {
    Auth { jwt_secret: Some(Secret::new(SECRET)), ..Auth::default() }
}

/// A token with these claims, signed with HS256.
fn signed(secret: &str, claims: &serde_json::Value) -> String {
    // Installs the algorithm.
    mint(&with_secret(), "x", false, now(), TimeDelta::hours(1)).unwrap();
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256), claims, &key).unwrap()
}

fn seconds(later: i64) -> i64 {
    now().timestamp() + later
}

fn tokens(read_auth: ReadAuth) -> Tokens {
    let secret = |token| Some(Secret::new(token));
    Tokens::new(&Auth { ingest_token: secret("in"), read_token: secret("out"), read_auth, ..Auth::default() }, now)
}

fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn each_token_has_its_own_purpose() {
    let open = tokens(ReadAuth::Open);
    assert_eq!(open.ingest(Some("in")), Ok(None));
    assert_eq!(open.ingest(Some("out")), Err(AuthError::Wrong));
    assert_eq!(open.ingest(None), Err(AuthError::Missing));
    assert_eq!(open.admin(Some("in")), Err(AuthError::NotSet("ORION_ADMIN_TOKEN")));
    assert_eq!(open.reader(None), Ok(None));
    let required = tokens(ReadAuth::Required);
    assert_eq!(required.reader(Some("out")), Ok(None));
    assert_eq!(required.reader(None), Err(AuthError::Missing));
    assert_eq!(required.reader(Some("in")), Err(AuthError::Wrong));
    assert_eq!(Tokens::new(&Auth::default(), now).ingest(Some("")), Err(AuthError::NotSet("ORION_INGEST_TOKEN")));
    assert!(!format!("{required:?}").contains("out\""));
}

#[test]
fn a_handshake_token_comes_by_header_or_query() {
    let uri = |text: &str| text.parse::<Uri>().unwrap();
    for (value, token) in [
        ("Bearer abc", Ok(Some("abc"))),
        ("bearer  abc ", Ok(Some("abc"))),
        ("Bearer", Err(AuthError::Malformed)),
        ("Token abc", Err(AuthError::Malformed)),
        ("abc", Err(AuthError::Malformed)),
    ] {
        assert_eq!(bearer(&headers(&[(AUTHORIZATION, value)])), token, "{value}");
    }
    let none = HeaderMap::new();
    assert_eq!(handshake_token(&none, &uri("/ws/signals?since=x&token=a%2Bb")), Ok(Some("a+b".into())));
    assert_eq!(handshake_token(&none, &uri("/ws/signals")), Ok(None));
    assert_eq!(handshake_token(&none, &uri("/ws/signals?token=")), Ok(None));
    let both = headers(&[(AUTHORIZATION, "Bearer abc")]);
    assert_eq!(handshake_token(&both, &uri("/ws/signals?token=x")), Ok(Some("abc".into())));
}

#[test]
fn another_origin_is_refused_unless_listed() {
    let listed: AllowedOrigins = serde_json::from_str(r#""https://app.example""#).unwrap();
    let from = |origin: &str| headers(&[(ORIGIN, origin), (HOST, "feed.example:8080")]);
    assert!(origin_allowed(&listed, &from("https://app.example")));
    assert!(origin_allowed(&listed, &from("http://feed.example:8080")), "our own console");
    assert!(origin_allowed(&listed, &HeaderMap::new()), "no browser");
    for origin in ["https://evil.example", "null", "http://feed.example", "https://app.example.evil"] {
        assert!(!origin_allowed(&listed, &from(origin)), "{origin}");
        assert!(origin_allowed(&AllowedOrigins::default(), &from(origin)), "{origin}");
    }
}

#[test]
fn a_minted_token_is_valid_until_it_expires() {
    let tokens = Tokens::new(&with_secret(), now);
    let token = |admin, ttl| mint(&with_secret(), "demo", admin, now(), TimeDelta::seconds(ttl)).unwrap();
    let identity = tokens.user(Some(&token(false, 60))).unwrap();
    assert_eq!((&*identity.user, identity.admin, identity.expires_at), ("demo", false, now() + TimeDelta::seconds(60)));
    assert!(tokens.user(Some(&token(true, 60))).unwrap().admin);
    assert!(tokens.user(Some(&token(false, -4))).is_ok(), "clocks differ a little");
    assert_eq!(tokens.user(Some(&token(false, -5))), Err(AuthError::Expired));
    assert_eq!(tokens.user(None), Err(AuthError::Missing));
    let none = Tokens::new(&Auth::default(), now);
    assert_eq!(none.user(Some(&token(false, 60))), Err(AuthError::NotSet("ORION_JWT_SECRET")));
    assert_eq!(mint(&with_secret(), "", false, now(), TimeDelta::hours(1)), Err(AuthError::Wrong));
}

#[test]
fn a_token_of_another_issuer_is_read() {
    let tokens = Tokens::new(&with_secret(), now);
    for (claims, user) in [
        (json!({"sub": "a", "exp": seconds(60)}), Ok("a")),
        (json!({"user_id": "a", "exp": seconds(60)}), Ok("a")),
        (json!({"sub": "a", "user_id": "b", "exp": seconds(60), "role": "user", "scope": "read"}), Ok("a")),
        (json!({"sub": 42, "exp": seconds(60)}), Ok("42")),
        (json!({"sub": "a", "exp": seconds(60) as f64 + 0.5}), Ok("a")),
        (json!({"sub": "a"}), Err("token_invalid_claim")),
        (json!({"sub": "a", "exp": "tomorrow"}), Err("token_invalid_claim")),
        (json!({"exp": seconds(60)}), Err("token_invalid_claim")),
        (json!({"sub": "", "exp": seconds(60)}), Err("token_invalid_claim")),
        (json!({"sub": "a\nb", "exp": seconds(60)}), Err("token_invalid_claim")),
        (json!({"sub": "a".repeat(129), "exp": seconds(60)}), Err("token_invalid_claim")),
        (json!({"sub": "a", "exp": seconds(60), "nbf": seconds(60)}), Err("token_not_yet_valid")),
        (json!({"sub": "a", "exp": seconds(-60)}), Err("token_expired")),
    ] {
        let found = tokens.user(Some(&signed(SECRET, &claims)));
        assert_eq!(
            found.as_ref().map(|identity| &*identity.user).map_err(|error| error.code().name()),
            user,
            "{claims}"
        );
    }
    let wrong = signed("another secret of thirty-two bytes", &json!({"sub": "a", "exp": seconds(60)}));
    assert_eq!(tokens.user(Some(&wrong)), Err(AuthError::WrongSignature));
}

#[test]
fn with_only_a_secret_only_hs256_is_accepted() {
    let tokens = Tokens::new(&with_secret(), now);
    // {"alg":"none","typ":"JWT"} and {"alg":"HS512","typ":"JWT"} before the payload of a good token.
    let good = signed(SECRET, &json!({"sub": "a", "exp": seconds(60)}));
    let parts: Vec<_> = good.split('.').collect();
    for header in ["eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9"] {
        for signature in ["", parts[2]] {
            let forged = format!("{header}.{}.{signature}", parts[1]);
            let refused = tokens.user(Some(&forged)).unwrap_err();
            assert_eq!(refused.code().name(), "token_wrong_algorithm", "{forged}");
            assert!(refused.to_string().ends_with("; this server takes HS256"), "{refused}");
        }
    }
    for nonsense in ["", ".", "..", "a.b.c", "a.b.c.d", &good[1..], &good[..good.len() - 1]] {
        assert_eq!(tokens.user(Some(nonsense)).unwrap_err().code().name(), "token_malformed", "{nonsense}");
    }
    let long = tokens.user(Some(&"a".repeat(4_097))).unwrap_err();
    assert_eq!((long.code().name(), long.to_string().contains("longer than 4096 bytes")), ("token_too_long", true));
    assert!(tokens.user(Some(&good)).is_ok());
}

#[test]
fn a_configured_audience_and_issuer_are_required() {
    let settings = Auth { jwt_audience: Some("orion".into()), jwt_issuer: Some("bank".into()), ..with_secret() };
    let tokens = Tokens::new(&settings, now);
    let claims = |aud: &str, iss: &str| json!({"sub": "a", "exp": seconds(60), "aud": aud, "iss": iss});
    assert!(tokens.user(Some(&signed(SECRET, &claims("orion", "bank")))).is_ok());
    assert!(tokens.user(Some(&mint(&settings, "a", false, now(), TimeDelta::hours(1)).unwrap())).is_ok());
    let listed = json!({"sub": "a", "exp": seconds(60), "aud": ["else", "orion"], "iss": "bank"});
    assert!(tokens.user(Some(&signed(SECRET, &listed))).is_ok());
    for (wrong, error) in [
        (claims("else", "bank"), AuthError::WrongAudience),
        (claims("orion", "else"), AuthError::WrongIssuer),
        (json!({"sub": "a", "exp": seconds(60)}), AuthError::WrongAudience),
        (json!({"sub": "a", "exp": seconds(60), "aud": {"orion": 1}, "iss": "bank"}), AuthError::WrongAudience),
        (json!({"sub": "a", "exp": seconds(60), "aud": "orion"}), AuthError::WrongIssuer),
    ] {
        assert_eq!(tokens.user(Some(&signed(SECRET, &wrong))), Err(error), "{wrong}");
    }
    let open = Tokens::new(&with_secret(), now);
    assert!(open.user(Some(&signed(SECRET, &claims("x", "y")))).is_ok(), "not looked at unless configured");
}

#[test]
fn only_an_administrators_token_administers() {
    let settings =
        Auth { admin_token: Some(Secret::new("root")), ingest_token: Some(Secret::new("in")), ..with_secret() };
    let tokens = Tokens::new(&settings, now);
    let user = mint(&settings, "a", false, now(), TimeDelta::hours(1)).unwrap();
    let admin = mint(&settings, "b", true, now(), TimeDelta::hours(1)).unwrap();
    assert_eq!(tokens.reader(Some(&user)).unwrap().unwrap().user().unwrap().user, "a".into());
    let code = |judged: Result<Option<Holder>, AuthError>| judged.unwrap_err().code().name();
    assert_eq!(code(tokens.reader(Some("nonsense"))), "token_malformed", "even where none is needed");
    assert_eq!(tokens.admin(Some("nonsense")), Err(AuthError::Wrong));
    assert_eq!((tokens.reader(Some("in")), tokens.reader(Some("root"))), (Ok(None), Ok(None)));
    assert_eq!(tokens.admin(Some("root")), Ok(None));
    assert_eq!(tokens.admin(Some(&admin)).unwrap().unwrap().user, "b".into());
    assert_eq!(tokens.admin(Some(&user)), Err(AuthError::Wrong));
    assert_eq!(tokens.admin(None), Err(AuthError::Missing));
    let required = Tokens::new(&Auth { read_auth: ReadAuth::Required, ..settings }, now);
    assert_eq!(required.reader(Some(&user)).unwrap().unwrap().user().unwrap().user, "a".into());
    assert_eq!(
        (required.reader(None), code(required.reader(Some("in")))),
        (Err(AuthError::Missing), "token_malformed")
    );
    let shared = Tokens::new(&Auth { read_token: Some(Secret::new("out")), ..with_secret() }, now);
    assert_eq!(shared.reader(Some("nonsense")), Err(AuthError::Wrong), "it was meant to be the shared one");
    assert_eq!(required.ingest(Some(&admin)), Err(AuthError::Wrong), "nobody writes by a user token");
}

#[test]
fn a_revocation_ends_only_earlier_tokens() {
    let tokens = Tokens::new(&with_secret(), now);
    let made = |user: &str, at: i64| {
        mint(&with_secret(), user, false, now() + TimeDelta::seconds(at), TimeDelta::hours(1)).unwrap()
    };
    let login = |token: &str| tokens.login(tokens.user(Some(token)).unwrap()).unwrap();
    let (before, after, other) = (login(&made("a", -1)), login(&made("a", 0)), login(&made("b", -1)));
    tokens.revoke(&"a".into(), now());
    let ended = [&before, &after, &other].map(|login| login.end().is_cancelled());
    assert_eq!(ended, [true, false, false]);
    assert_eq!(tokens.still_good(&before), Err(AuthError::Revoked));
    assert_eq!(tokens.user(Some(&made("a", -1))), Err(AuthError::Revoked));
    assert!(tokens.user(Some(&made("a", 0))).is_ok());
    tokens.revoke(&"a".into(), now() - TimeDelta::hours(1));
    assert_eq!(tokens.user(Some(&made("a", -1))), Err(AuthError::Revoked), "a revocation is not taken back");
    let undated = signed(SECRET, &json!({"sub": "a", "exp": seconds(60)}));
    assert_eq!(tokens.user(Some(&undated)), Err(AuthError::Revoked));
}

/// Tokens issued before a revocation, without an issue time or with one from a clock that is ahead.
#[test]
fn no_earlier_token_survives_a_revocation() {
    let ms = seconds(0) * 1_000;
    for (claims, revoked) in [
        (json!({"sub": "42", "exp": seconds(60), "iat": seconds(3600)}), Some("42")),
        (json!({"sub": "42", "exp": seconds(60), "iat": ms}), Some("42")),
        (json!({"sub": "42", "exp": ms + 60_000}), Some("42")),
        (json!({"sub": "42", "exp": seconds(60)}), Some("42")),
        (json!({"sub": 42, "exp": seconds(60), "iat": seconds(-1)}), Some("42")),
        (json!({"sub": 42.0, "exp": seconds(60), "iat": null}), Some("42")),
        (json!({"user_id": 42, "exp": seconds(60), "iat": 0}), Some("42")),
        // The issuer's clock is ahead, within the leeway.
        (json!({"sub": "42", "exp": seconds(60), "iat": seconds(4)}), Some("42")),
        (json!({"sub": "43", "exp": seconds(60), "iat": seconds(-1)}), None),
    ] {
        let tokens = Tokens::new(&with_secret(), now);
        let token = signed(SECRET, &claims);
        let login = tokens.user(Some(&token)).ok().map(|identity| tokens.login(identity).unwrap());
        tokens.revoke(&"42".into(), tokens.revocation_time());
        assert_eq!(tokens.user(Some(&token)).is_err(), revoked.is_some(), "{claims}");
        assert!(login.is_none_or(|login| login.end().is_cancelled() == revoked.is_some()), "{claims}");
        let next = mint(&with_secret(), "42", false, now() + TimeDelta::seconds(5), TimeDelta::hours(1)).unwrap();
        assert!(tokens.user(Some(&next)).is_ok(), "who logs in after that is let in");
    }
}

#[test]
fn tokens_of_the_previous_secret_stay_valid() {
    let old = mint(&with_secret(), "a", false, now(), TimeDelta::hours(1)).unwrap();
    let changed = |previous: Option<&str>| Auth {
        jwt_secret: Some(Secret::new("another secret of thirty-two bytes")),
        jwt_previous_secret: previous.map(Secret::new),
        ..Auth::default()
    };
    let both = Tokens::new(&changed(Some(SECRET)), now);
    let new = mint(&changed(Some(SECRET)), "a", false, now(), TimeDelta::hours(1)).unwrap();
    assert!(both.user(Some(&old)).is_ok() && both.user(Some(&new)).is_ok());
    let after = Tokens::new(&changed(None), now);
    assert_eq!(after.user(Some(&old)), Err(AuthError::WrongSignature));
    assert!(after.user(Some(&new)).is_ok(), "made with the new one");
}

#[test]
fn a_token_is_readable_without_its_secret() {
    let token = mint(&with_secret(), "a", true, now(), TimeDelta::hours(1)).unwrap();
    let said = read_unverified(&token).unwrap();
    let claims = &said.claims;
    assert_eq!(
        (&claims["sub"], &claims["role"], &claims["exp"]),
        (&json!("a"), &json!("admin"), &json!(seconds(3600)))
    );
    assert_eq!((said.algorithm.as_str(), said.key_id), ("HS256", None));
    assert!(read_unverified("nonsense").is_err());
}

#[test]
fn connections_are_limited_per_user() {
    let tokens = Tokens::new(&with_secret(), now);
    tokens.set_max_logins(2);
    let made = |user: &str| mint(&with_secret(), user, false, now(), TimeDelta::hours(1)).unwrap();
    let login = |user: &str| tokens.login(tokens.user(Some(&made(user))).unwrap());
    let mut mine = vec![login("a").unwrap(), login("a").unwrap()];
    assert_eq!(login("a").unwrap_err(), TooManyLogins);
    let _other = login("b").unwrap();
    mine.pop();
    login("a").unwrap();
}
