use serde_json::json;

use super::*;

/// Returns a modulus of the given length.
fn modulus(bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(vec![0xff; bytes])
}

fn coordinate(bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(vec![7; bytes])
}

fn rsa() -> Value {
    json!({"kty": "RSA", "kid": "r1", "n": modulus(256), "e": "AQAB"})
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

#[test]
fn a_key_is_used_only_for_its_stated_purpose() {
    let ec = |crv: &str, bytes| json!({"kty": "EC", "crv": crv, "x": coordinate(bytes), "y": coordinate(bytes)});
    let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": coordinate(32)});
    for (jwk, algorithms) in [
        (rsa(), "RS256, RS384, RS512, PS256, PS384, PS512"),
        (with(rsa(), "alg", json!("RS256")), "RS256"),
        (with(rsa(), "alg", json!("PS384")), "PS384"),
        (with(rsa(), "use", json!("sig")), "RS256, RS384, RS512, PS256, PS384, PS512"),
        (with(with(rsa(), "key_ops", json!(["verify"])), "alg", json!("RS512")), "RS512"),
        (ec("P-256", 32), "ES256"),
        (with(ec("P-256", 32), "alg", json!("ES256")), "ES256"),
        (ec("P-384", 48), "ES384"),
        (ed.clone(), "EdDSA"),
        (with(ed.clone(), "alg", json!("Ed25519")), "EdDSA"),
    ] {
        let key = read_key(&jwk).unwrap_or_else(|reason| panic!("{jwk}: {reason}"));
        assert_eq!(key.algorithms().to_string(), algorithms, "{jwk}");
    }
    for (jwk, reason) in [
        (with(rsa(), "use", json!("enc")), "'use'"),
        (with(rsa(), "key_ops", json!(["encrypt"])), "'key_ops'"),
        (with(rsa(), "key_ops", json!("verify")), "'key_ops'"),
        (with(rsa(), "alg", json!("HS256")), "'alg'"),
        (with(rsa(), "alg", json!("ES256")), "'alg'"),
        (with(rsa(), "alg", json!("RSA-OAEP")), "'alg'"),
        (with(rsa(), "alg", json!("none")), "'alg'"),
        (with(rsa(), "alg", json!(5)), "'alg'"),
        (with(rsa(), "n", json!(modulus(128))), "2048"),
        (with(rsa(), "n", json!(modulus(255))), "2048"),
        (with(rsa(), "n", json!("!")), "base64url"),
        (with(rsa(), "e", json!("AQ")), "exponent"),
        (with(rsa(), "d", json!("AQAB")), "private half"),
        (with(ec("P-256", 32), "alg", json!("ES384")), "'alg'"),
        (ec("P-256", 31), "coordinates"),
        (ec("P-384", 32), "coordinates"),
        (ec("P-521", 66), "'crv'"),
        (ec("secp256k1", 32), "'crv'"),
        (with(ed, "x", json!(coordinate(31))), "Ed25519"),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "a secret"),
        (json!({"kty": "RSA"}), "missing"),
        (json!({}), "'kty'"),
        (json!(7), "'kty'"),
    ] {
        let found = read_key(&jwk).map(drop).unwrap_err();
        assert!(found.contains(reason), "{jwk}: {found}");
    }
}

#[test]
fn a_key_set_is_bounded_and_skips_unusable_keys() {
    let read = |document: Value| KeySetContent::read(document.to_string().as_bytes());
    let content = read(json!({"keys": [rsa(), {"kty": "oct"}, 7], "more": 1})).unwrap();
    assert_eq!((content.len(), content.skipped().len()), (1, 2));
    assert!(read(json!({"keys": []})).unwrap().is_empty());
    assert_eq!(read(json!({"keys": vec![rsa(); 101]})).unwrap_err(), KeySetError::TooMany(101));
    for document in [json!({}), json!([]), json!({"keys": {}}), json!({"kid": "x509 certificates of Firebase"})] {
        assert_eq!(read(document.clone()).unwrap_err(), KeySetError::NotKeySet, "{document}");
    }
    assert_eq!(KeySetContent::read(b"<html>").unwrap_err(), KeySetError::NotKeySet);
}

fn document(ids: &[&str]) -> Vec<u8> {
    let keys: Vec<_> = ids.iter().map(|id| with(rsa(), "kid", json!(id))).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

/// Returns a token that names this key.
fn token_of(id: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "kid": id}).to_string());
    format!("{header}.e30.AAAA")
}

#[test]
fn keys_survive_an_outage_until_withdrawn() {
    let set = KeySet::default();
    assert!(!set.end_fetch(Err::<Vec<u8>, _>("no connection".to_owned())));
    assert!(set.complaint().unwrap().contains("cannot be fetched (no connection)") && !set.has_been_fetched());
    assert!(set.end_fetch(Ok(document(&["a", "b"]))));
    assert_eq!((set.len(), set.complaint()), (2, None));
    for wrong in [Err("no connection".to_owned()), Ok(b"<html>".to_vec())] {
        assert!(!set.end_fetch(wrong));
        assert_eq!(set.len(), 2);
        assert!(set.complaint().unwrap().ends_with("the keys of before are still taken"));
    }
    assert!(set.end_fetch(Ok(document(&["b"]))));
    assert_eq!((set.len(), set.complaint()), (1, None));
    assert!(set.end_fetch(Ok(document(&[]))));
    assert!(set.is_empty() && set.complaint().unwrap().contains("holds no key"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_fetched_once_a_minute() {
    let set = Arc::new(KeySet::default());
    let (fetched, served) = (watch::Sender::new(0), set.clone());
    let count = fetched.subscribe();
    #[expect(clippy::disallowed_methods, reason = "a test runs its own tasks")]
    let service = tokio::spawn(async move {
        loop {
            served.begin_fetch();
            served.end_fetch(Ok(document(&["a"])));
            fetched.send_modify(|count| *count += 1);
            served.until_due().await;
        }
    });
    set.fetch_key_of(&token_of("a")).await;
    assert_eq!(*count.borrow(), 1, "the first fetch is nobody's");
    let began = Instant::now();
    for _ in 0..50 {
        set.fetch_key_of(&token_of("b")).await;
    }
    assert_eq!((*count.borrow(), began.elapsed()), (2, Duration::ZERO), "one of fifty brought about a fetch");
    tokio::time::sleep(Duration::from_secs(30)).await;
    set.fetch_key_of(&token_of("b")).await;
    assert_eq!(*count.borrow(), 2);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(*count.borrow(), 3, "what was asked too early is asked when the minute is over");
    for known in
        [token_of("a"), "nonsense".to_owned(), format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#))]
    {
        tokio::time::sleep(Duration::from_secs(61)).await;
        set.fetch_key_of(&known).await;
    }
    assert_eq!(*count.borrow(), 3, "and no other token asks for anything");
    tokio::time::sleep(REFRESH_INTERVAL).await;
    assert_eq!(*count.borrow(), 4);
    service.abort();
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_is_retried_soon() {
    let set = KeySet::default();
    let mut waits = Vec::new();
    for _ in 0..6 {
        set.begin_fetch();
        set.end_fetch(Err::<Vec<u8>, _>("no connection".to_owned()));
        let began = Instant::now();
        set.until_due().await;
        waits.push(began.elapsed().as_secs());
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
}
