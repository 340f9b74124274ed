//! Tests with tokens of login services: algorithms, keys and claims.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::*;
use crate::config::{ClaimPath, PublicKeys};
use crate::domain::parse_time;

#[path = "../../tests/keys/sign.rs"]
mod sign;

use sign::{ALGORITHMS, jwk, public_pem, signed, signed_as};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn now() -> DateTime<Utc> {
    parse_time("2026-01-15T10:30:00Z").unwrap()
}

fn seconds(later: i64) -> i64 {
    now().timestamp() + later
}

fn claims() -> Value {
    json!({"sub": "a", "exp": seconds(60), "iat": seconds(0)})
}

fn with_pem(pem: &str) -> Auth {
    Auth { public_key: Some(PublicKeys::try_from(pem.to_owned()).unwrap()), ..Auth::default() }
}

/// Returns the verifier of a server whose login service publishes these keys.
fn with_key_set(auth: Auth, keys: &[Value]) -> Tokens {
    let auth = Auth { jwks_url: Some("https://login.example.com/keys".into()), ..auth };
    let tokens = Tokens::new(&auth, now);
    assert!(tokens.key_set().unwrap().end_fetch(Ok(json!({ "keys": keys }).to_string())));
    tokens
}

fn hs256(secret: &[u8], claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256), claims, &key).unwrap()
}

fn code(tokens: &Tokens, token: &str) -> &'static str {
    tokens.user(Some(token)).map_or_else(|error| error.code().name(), |_| "good")
}

#[test]
fn every_algorithm_verifies_only_with_its_own_key() {
    for algorithm in ALGORITHMS {
        let by_pem = Tokens::new(&with_pem(public_pem(algorithm)), now);
        let published = with_key_set(Auth::default(), &[jwk(algorithm, "k")]);
        for other in ALGORITHMS {
            let token = signed(other, "k", &claims());
            // An RSA key in PEM does not name its algorithm, so it verifies all six.
            let same_kind = public_pem(other) == public_pem(algorithm);
            assert_eq!(
                code(&by_pem, &token),
                if same_kind { "good" } else { "token_wrong_algorithm" },
                "{algorithm} {other}"
            );
            let same = other == algorithm;
            assert_eq!(
                code(&published, &token),
                if same { "good" } else { "token_wrong_algorithm" },
                "{algorithm} {other}"
            );
            let header = json!({"alg": algorithm, "kid": "k"});
            let forged = signed_as(other, &header, &claims());
            for tokens in [&by_pem, &published] {
                let expected = if same { "good" } else { "token_wrong_signature" };
                assert_eq!(code(tokens, &forged), expected, "{algorithm} that is {other}");
            }
        }
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    let pem = public_pem("RS256");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let modulus = jwk("RS256", "k")["n"].as_str().unwrap().to_owned();
    let public_only = Tokens::new(&with_pem(pem), now);
    let with_secret = Auth { jwt_secret: Some(Secret::new(SECRET)), ..with_pem(pem) };
    let both = with_key_set(with_secret, &[jwk("ES256", "k")]);
    for secret in [pem, pem.trim(), &body, &modulus] {
        let forged = hs256(secret.as_bytes(), &claims());
        assert_eq!(code(&public_only, &forged), "token_wrong_algorithm");
        assert_eq!(code(&both, &forged), "token_wrong_signature");
    }
    let unsigned = |alg: Value| {
        let token = signed_as("RS256", &json!({"alg": alg, "kid": "k"}), &claims());
        token.rsplit_once('.').unwrap().0.to_owned() + "."
    };
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!(""),
        json!(null),
        json!(["RS256"]),
        json!("HS384"),
        json!("rs256"),
    ] {
        assert_eq!(code(&both, &unsigned(alg.clone())), "token_wrong_algorithm", "{alg}");
    }
    assert_eq!(code(&both, &unsigned(json!("RS256"))), "token_wrong_signature");
    // All kinds of keys can be configured at once, during a migration.
    for token in
        [hs256(SECRET.as_bytes(), &claims()), signed("RS256", "any", &claims()), signed("ES256", "k", &claims())]
    {
        assert_eq!(code(&both, &token), "good");
    }
}

#[test]
fn a_token_is_verified_by_the_key_it_names() {
    let tokens = with_key_set(Auth::default(), &[jwk("ES256", "one"), jwk("EdDSA", "two"), json!({"kty": "oct"})]);
    assert_eq!(code(&tokens, &signed("ES256", "one", &claims())), "good");
    assert_eq!(code(&tokens, &signed_as("ES256", &json!({"alg": "ES256"}), &claims())), "good", "or by any, if none");
    for id in ["two", "three", ""] {
        assert_eq!(code(&tokens, &signed("ES256", id, &claims())), "token_wrong_signature", "{id:?}");
    }
    // A key inside the header is ignored.
    let header = json!({"alg": "RS256", "jwk": jwk("RS256", "x"), "jku": "https://evil.example/keys", "kid": "one"});
    assert_eq!(code(&tokens, &signed_as("RS256", &header, &claims())), "token_wrong_algorithm");
}

#[test]
fn without_published_keys_the_secret_still_verifies() {
    let auth = Auth {
        jwt_secret: Some(Secret::new(SECRET)),
        jwks_url: Some("https://login.example.com/keys".into()),
        ..Auth::default()
    };
    let tokens = Tokens::new(&auth, now);
    assert_eq!(code(&tokens, &hs256(SECRET.as_bytes(), &claims())), "good");
    let token = signed("RS256", "k", &claims());
    assert_eq!(tokens.user(Some(&token)), Err(AuthError::NoKeysYet));
    tokens.key_set().unwrap().end_fetch(Ok(json!({"keys": [jwk("RS256", "k")]}).to_string()));
    assert_eq!(code(&tokens, &token), "good");
    tokens.key_set().unwrap().end_fetch(Err::<String, _>("no connection".into()));
    assert_eq!(code(&tokens, &token), "good", "over an outage");
}

#[test]
fn a_critical_header_is_refused() {
    let tokens = Tokens::new(&with_pem(public_pem("ES256")), now);
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!(null), json!("x")] {
        let token = signed_as("ES256", &json!({"alg": "ES256", "crit": crit, "b64": false}), &claims());
        assert_eq!(tokens.user(Some(&token)), Err(AuthError::Critical), "{crit}");
    }
}

/// The response must not tell an attacker what to try next.
#[test]
fn a_refusal_does_not_help_to_forge() {
    let auth = Auth {
        jwt_secret: Some(Secret::new(SECRET)),
        jwt_audience: Some("the-expected-audience".into()),
        jwt_issuer: Some("the-expected-issuer".into()),
        admin_claim: ClaimPath::try_from("the.admin.path".to_owned()).unwrap(),
        ..with_pem(public_pem("ES256"))
    };
    let tokens = with_key_set(auth.clone(), &[jwk("RS256", "the-key-id")]);
    let good = json!({"sub": "a", "exp": seconds(60), "aud": "the-expected-audience", "iss": "the-expected-issuer"});
    assert_eq!(code(&tokens, &hs256(SECRET.as_bytes(), &good)), "good");
    let token = signed("RS256", "the-key-id", &good);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let altered = format!("{header}.eyJzdWIiOiJyb290In0.{signature}");
    let expired = json!({"sub": "a", "exp": seconds(-600), "aud": "x"});
    // No text may reveal whether the rest of the token is valid.
    for forged in [
        altered,
        hs256(b"a secret that is guessed", &good),
        hs256(b"a secret that is guessed", &expired),
        hs256(b"", &json!({})),
        signed("RS256", "another-key-id", &good),
        signed_as("PS256", &json!({"alg": "RS256", "kid": "the-key-id"}), &good),
        signed_as("RS256", &json!({"alg": "ES256"}), &expired),
        format!("{message}."),
        format!("{message}.AAAA"),
    ] {
        let refused = tokens.user(Some(&forged)).unwrap_err();
        assert_eq!(refused, AuthError::WrongSignature, "{forged}");
        assert_eq!(refused.to_string(), AuthError::WrongSignature.to_string());
    }
    let change = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        hs256(SECRET.as_bytes(), &claims)
    };
    for refused in [
        change("aud", json!("x")),
        change("iss", json!("x")),
        change("exp", json!(seconds(-60))),
        change("exp", json!("x")),
        change("nbf", json!(seconds(60))),
        change("sub", json!([])),
        "nonsense".to_owned(),
        "A".repeat(5_000),
        signed("ES384", "k", &good),
    ]
    .map(|token| tokens.user(Some(&token)).unwrap_err())
    {
        let text = format!("{refused} {refused:?} {}", refused.code());
        let body: String = public_pem("ES256").lines().nth(1).unwrap().chars().take(20).collect();
        for told in ["expected", "the-key-id", "the.admin", SECRET, &body, "login.example.com"] {
            assert!(!text.contains(told), "{text}");
        }
    }
    assert!(!format!("{tokens:?}").contains("the-key-id"), "nor does it stand in a log line");
}

/// Tokens with the claims and headers from the documentation of five services.
#[test]
fn tokens_of_five_login_services_are_accepted() {
    let (iat, exp) = (seconds(-5), seconds(3_600));
    let cases: [(&str, &str, Value, Value, &str, &str, &str); 5] = [
        (
            "Auth0",
            "RS256",
            json!({"alg": "RS256", "typ": "JWT", "kid": "NjVBRjY5MDlCMUIwNzU4"}),
            json!({
                "https://example.com/roles": ["admin", "editor"], "iss": "https://tenant.eu.auth0.com/", "sub": "auth0|5f7c8ec7",
                "aud": ["https://orion.example.com", "https://tenant.eu.auth0.com/userinfo"], "iat": iat, "exp": exp,
                "azp": "my_client_id", "scope": "openid profile email", "permissions": ["read:signals"]
            }),
            "https://example.com/roles",
            "admin",
            "auth0|5f7c8ec7",
        ),
        (
            "Supabase",
            "ES256",
            json!({"alg": "ES256", "kid": "7ae43146-3b6f-4ff2-8d9c-0e1b2c3d4e5f", "typ": "JWT"}),
            json!({
                "aal": "aal1", "amr": [{"method": "password", "timestamp": iat}], "app_metadata": {"provider": "email",
                "providers": ["email"], "role": "admin"}, "aud": "authenticated", "email": "a@example.com", "exp": exp, "iat": iat,
                "is_anonymous": false, "iss": "https://abc.supabase.co/auth/v1", "phone": "", "role": "authenticated",
                "session_id": "1e9a3d0c", "sub": "8ccaa7af-909f-44e7-84cb-67cdccb56be6", "user_metadata": {"role": "user"}
            }),
            "app_metadata.role",
            "admin",
            "8ccaa7af-909f-44e7-84cb-67cdccb56be6",
        ),
        (
            "Clerk",
            "RS256",
            json!({"alg": "RS256", "cat": "cl_B7d4PD111AAA", "kid": "ins_2abcdef", "typ": "JWT"}),
            json!({
                "azp": "https://app.example.com", "exp": exp, "fva": [1, -1], "iat": iat, "iss": "https://clerk.example.com",
                "jti": "a1b2", "metadata": {"role": "admin"}, "nbf": seconds(-15), "o": {"id": "org_1", "rol": "admin"},
                "sid": "sess_2abc", "sts": "active", "sub": "user_2abcdef", "v": 2
            }),
            "metadata.role",
            "admin",
            "user_2abcdef",
        ),
        (
            "Keycloak",
            "RS256",
            json!({"alg": "RS256", "typ": "JWT", "kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"}),
            json!({
                "exp": exp, "iat": iat, "auth_time": iat, "jti": "onrtac:4f", "iss": "https://sso.example.com/realms/orion",
                "aud": "account", "sub": "f:1a2b:ana", "typ": "Bearer", "azp": "orion-web", "acr": "1",
                "allowed-origins": ["https://app.example.com"], "realm_access": {"roles": ["default-roles-orion", "orion-admin"]},
                "resource_access": {"orion.web": {"roles": ["viewer"]}}, "scope": "openid email", "email_verified": true
            }),
            "realm_access.roles",
            "orion-admin",
            "f:1a2b:ana",
        ),
        (
            "Firebase",
            "RS256",
            json!({"alg": "RS256", "kid": "a0b1c2d3e4f5", "typ": "JWT"}),
            json!({
                "admin": true, "iss": "https://securetoken.google.com/my-project", "aud": "my-project", "auth_time": iat,
                "user_id": "Zf1k", "sub": "Zf1k", "iat": iat, "exp": exp, "email": "a@example.com", "email_verified": true,
                "firebase": {"identities": {"email": ["a@example.com"]}, "sign_in_provider": "password"}
            }),
            "admin",
            "true",
            "Zf1k",
        ),
    ];
    for (service, algorithm, header, claims, path, value, user) in cases {
        let aud = claims["aud"].as_array().map_or(&claims["aud"], |list| &list[0]).as_str().map(str::to_owned);
        let auth = Auth {
            jwt_audience: aud,
            jwt_issuer: claims["iss"].as_str().map(str::to_owned),
            admin_claim: ClaimPath::try_from(path.to_owned()).unwrap(),
            admin_value: value.to_owned(),
            ..Auth::default()
        };
        let tokens = with_key_set(auth, &[jwk(algorithm, header["kid"].as_str().unwrap())]);
        let token = signed_as(algorithm, &header, &claims);
        let identity = tokens.user(Some(&token)).unwrap_or_else(|error| panic!("{service}: {error}"));
        let until = now() + TimeDelta::hours(1);
        assert_eq!((&*identity.user, identity.admin, identity.expires_at), (user, true, until), "{service}");
        let by_default = with_key_set(Auth::default(), &[jwk(algorithm, header["kid"].as_str().unwrap())]);
        assert!(!by_default.user(Some(&token)).unwrap().admin, "{service}: only where it is set");
    }
}
