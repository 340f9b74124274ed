//! Signs tokens as login services do, with the keys beside this file.

#![allow(dead_code, reason = "each of the test binaries uses a part of it")]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair,
};
use serde_json::{Value, json};

/// The algorithms of public keys.
pub(crate) const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(&der(include_str!("rsa.private.pem"))).unwrap()
}

fn p256() -> EcdsaKeyPair {
    let pem = include_str!("p256.private.pem");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der(pem), &SystemRandom::new()).unwrap()
}

fn p384() -> EcdsaKeyPair {
    let pem = include_str!("p384.private.pem");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &der(pem), &SystemRandom::new()).unwrap()
}

fn ed25519() -> Ed25519KeyPair {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der(include_str!("ed.private.pem"))).unwrap()
}

/// The public key for an algorithm, in PEM.
pub(crate) fn public_pem(algorithm: &str) -> &'static str {
    match algorithm {
        "ES256" => include_str!("p256.public.pem"),
        "ES384" => include_str!("p384.public.pem"),
        "EdDSA" => include_str!("ed.public.pem"),
        _ => include_str!("rsa.public.pem"),
    }
}

/// The public key for an algorithm, as a JSON Web Key that names it.
pub(crate) fn jwk(algorithm: &str, id: &str) -> Value {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let point = |curve: &str, key: &[u8]| {
        let (x, y) = key[1..].split_at(key.len() / 2);
        json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
    };
    let mut jwk = match algorithm {
        "ES256" => point("P-256", p256().public_key().as_ref()),
        "ES384" => point("P-384", p384().public_key().as_ref()),
        "EdDSA" => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(ed25519().public_key().as_ref()) }),
        _ => {
            let PublicKeyComponents::<Vec<u8>> { n, e } = rsa().public().into();
            json!({ "kty": "RSA", "n": text(&n), "e": text(&e) })
        }
    };
    jwk["kid"] = json!(id);
    jwk["alg"] = json!(algorithm);
    jwk["use"] = json!("sig");
    jwk
}

/// A token with this header and these claims, signed as `algorithm` does, whatever the header says.
pub(crate) fn signed_as(algorithm: &str, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let by_rsa = |encoding: &'static dyn RsaEncoding| {
        let pair = rsa();
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        signature
    };
    let by_ec = |pair: EcdsaKeyPair| pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec();
    let signature = match algorithm {
        "RS256" => by_rsa(&RSA_PKCS1_SHA256),
        "RS384" => by_rsa(&RSA_PKCS1_SHA384),
        "RS512" => by_rsa(&RSA_PKCS1_SHA512),
        "PS256" => by_rsa(&RSA_PSS_SHA256),
        "PS384" => by_rsa(&RSA_PSS_SHA384),
        "PS512" => by_rsa(&RSA_PSS_SHA512),
        "ES256" => by_ec(p256()),
        "ES384" => by_ec(p384()),
        "EdDSA" => ed25519().sign(message.as_bytes()).as_ref().to_vec(),
        other => panic!("{other} is not signed here"),
    };
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token with these claims, signed with the key that is called `id`.
pub(crate) fn signed(algorithm: &str, id: &str, claims: &Value) -> String {
    signed_as(algorithm, &json!({ "alg": algorithm, "typ": "JWT", "kid": id }), claims)
}
