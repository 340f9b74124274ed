use proptest::prelude::*;

use super::*;

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/", $name))
    };
}

const RSA_PEM: &str = key!("rsa.public.pem");

#[test]
fn every_supported_kind_of_key_is_read() {
    let read = |text: &str| PublicKey::read_all(text).unwrap();
    let rsa = read(RSA_PEM);
    assert!(
        matches!(&rsa[..], [PublicKey::Rsa { modulus, exponent }] if modulus.len() == 256 && *exponent == [1, 0, 1])
    );
    assert_eq!(read(key!("rsa.pkcs1.pem")), rsa);
    assert!(matches!(&read(key!("p256.public.pem"))[..], [PublicKey::P256(point)] if point.len() == 65));
    assert!(matches!(&read(key!("p384.public.pem"))[..], [PublicKey::P384(point)] if point.len() == 97));
    assert!(matches!(&read(key!("ed.public.pem"))[..], [PublicKey::Ed25519(key)] if key.len() == 32));
}

#[test]
fn a_key_is_read_in_any_layout() {
    let rsa = PublicKey::read_all(RSA_PEM).unwrap();
    let body: String = RSA_PEM.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [
        RSA_PEM.replace('\n', "\\n"),
        RSA_PEM.replace('\n', " "),
        RSA_PEM.replace('\n', ""),
        RSA_PEM.replace('\n', "\r\n"),
        format!("Bag Attributes\n  name: x\n{RSA_PEM}\n\n"),
        body,
    ] {
        assert_eq!(PublicKey::read_all(&text).as_ref(), Ok(&rsa), "{text}");
    }
    let both = format!("{RSA_PEM}\n{}", key!("ed.public.pem"));
    assert_eq!(PublicKey::read_all(&both).unwrap().len(), 2);
}

#[test]
fn an_unusable_key_is_refused_with_the_reason() {
    for (text, error) in [
        (key!("rsa1024.public.pem"), PublicKeyError::RsaSize(1024)),
        (key!("p521.public.pem"), PublicKeyError::Unsupported),
        (key!("k1.public.pem"), PublicKeyError::Unsupported),
        (key!("ed448.public.pem"), PublicKeyError::Unsupported),
        (key!("rsa.private.pem"), PublicKeyError::Private),
        (key!("certificate.pem"), PublicKeyError::Certificate),
        (&RSA_PEM[..RSA_PEM.len() - 40], PublicKeyError::Damaged),
        (&RSA_PEM.replacen("MII", "MI", 1), PublicKeyError::Damaged),
        ("a secret of thirty-two bytes or more", PublicKeyError::NoKey),
        ("", PublicKeyError::NoKey),
        (&RSA_PEM.repeat(17), PublicKeyError::TooMany),
    ] {
        assert_eq!(PublicKey::read_all(text), Err(error), "{text}");
    }
    let modulus = vec![0xff; 256];
    for exponent in [&[1][..], &[0], &[2], &[1, 0, 0, 0, 1], &[]] {
        assert_eq!(PublicKey::rsa(&modulus, exponent), Err(PublicKeyError::Damaged), "{exponent:?}");
    }
    assert_eq!(PublicKey::rsa(&[0x7f; 256], &[3]), Err(PublicKeyError::RsaSize(2047)));
    assert!(PublicKey::rsa(&[&[0][..], &modulus].concat(), &[0, 1, 0, 1]).is_ok(), "leading zeros are none of it");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}", cut in 0..RSA_PEM.len(), put in "\\PC{0,4}") {
        PublicKey::read_all(&text).ok();
        PublicKey::read_all(&format!("{}{put}{}", &RSA_PEM[..cut], &RSA_PEM[cut..])).ok();
        PublicKey::read_all(&format!("-----BEGIN {text}-----{put}-----END {text}-----")).ok();
    }
}
