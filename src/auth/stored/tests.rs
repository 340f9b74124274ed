//! What is stored of a token, and what it is good for.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::auth::{Holder, Tokens};
use crate::config::{Auth, ReadAuth};

fn now() -> DateTime<Utc> {
    "2026-01-15T10:00:00Z".parse().unwrap()
}

fn request(kind: StoredKind, name: &str) -> TokenRequest {
    let user = (kind == StoredKind::User).then(|| "ana".to_owned());
    TokenRequest { kind, name: name.to_owned(), user, delay: Delay::NONE, expires_at: None }
}

/// The tokens of a directory, and a verifier with them.
fn rig(auth: &Auth) -> (tempfile::TempDir, Arc<StoredTokens>, Tokens) {
    let dir = tempfile::tempdir().unwrap();
    let stored = Arc::new(StoredTokens::open(dir.path()).unwrap());
    let tokens = Tokens::new(auth, now).with_stored(stored.clone());
    (dir, stored, tokens)
}

#[test]
fn only_the_hash_of_a_token_is_stored() {
    let (dir, stored, _) = rig(&Auth::default());
    let secret = stored.create(&request(StoredKind::Ingest, "desk"), now()).unwrap();
    assert!(secret.starts_with("orion_ingest_") && has_form(&secret), "{}", secret.len());
    let file = dir.path().join("tokens.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("desk") && !text.contains(secret.trim_start_matches("orion_ingest_")), "{text}");
    assert!(!format!("{stored:?}").contains(&secret));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no partial file is left");
}

#[test]
fn each_kind_opens_what_it_is_for() {
    let required = Auth { read_auth: ReadAuth::Required, ..Auth::default() };
    let (_dir, stored, tokens) = rig(&required);
    assert_eq!(tokens.ingest(None).unwrap_err(), AuthError::NotSet("ORION_INGEST_TOKEN"));
    let [ingest, read, user] = StoredKind::ALL.map(|kind| stored.create(&request(kind, kind.name()), now()).unwrap());
    assert!(matches!(tokens.ingest(Some(&ingest)), Ok(Some(Holder::Token(_)))));
    assert!(matches!(tokens.reader(Some(&read)), Ok(Some(Holder::Token(_)))));
    assert_eq!(&*tokens.user(Some(&user)).unwrap().user, "ana");
    assert!(tokens.reader(Some(&user)).is_ok() && tokens.known_reader(Some(&read)).is_ok());
    for (token, of) in [(&read, "read"), (&user, "user")] {
        assert_eq!(tokens.ingest(Some(token)).unwrap_err(), AuthError::Wrong, "{of}");
    }
    assert_eq!(tokens.reader(Some(&ingest)).unwrap_err(), AuthError::Wrong);
    assert_eq!(tokens.user(Some(&read)).unwrap_err(), AuthError::Wrong);
    for token in [&ingest, &read, &user] {
        assert!(tokens.admin(Some(token)).is_err());
    }
    assert_eq!([tokens.ingest(None).unwrap_err(), tokens.reader(None).unwrap_err()], [AuthError::Missing; 2]);
}

#[test]
fn a_revoked_token_is_refused_also_where_none_is_needed() {
    let (_dir, stored, tokens) = rig(&Auth::default());
    let secret = stored.create(&request(StoredKind::User, "ana's"), now()).unwrap();
    let session = tokens.login(tokens.user(Some(&secret)).unwrap()).unwrap();
    assert!(tokens.still_good(&session).is_ok() && !session.end().is_cancelled());
    assert!(stored.revoke("ana's").unwrap() && !stored.revoke("ana's").unwrap());
    tokens.end_invalid();
    assert!(session.end().is_cancelled());
    assert_eq!(tokens.still_good(&session), Err(AuthError::Revoked));
    assert_eq!(tokens.reader(Some(&secret)).unwrap_err(), AuthError::Wrong);
    assert!(tokens.reader(Some("another text")).is_ok(), "reading is open");
    assert!(stored.list().is_empty());
}

#[test]
fn a_token_expires_at_its_time() {
    let (_dir, stored, tokens) = rig(&Auth::default());
    let soon = TokenRequest { expires_at: Some(now() + TimeDelta::seconds(1)), ..request(StoredKind::Ingest, "brief") };
    let secret = stored.create(&soon, now()).unwrap();
    assert!(tokens.ingest(Some(&secret)).is_ok());
    let later = Tokens::new(&Auth::default(), || now() + TimeDelta::seconds(1)).with_stored(stored);
    assert_eq!(later.ingest(Some(&secret)).unwrap_err(), AuthError::Expired);
}

#[test]
fn a_delayed_token_reads_late_only() {
    let (_dir, stored, tokens) = rig(&Auth::default());
    assert!(!tokens.may_delay());
    let delay = Delay::from_seconds(300).unwrap();
    let secret = stored.create(&TokenRequest { delay, ..request(StoredKind::Read, "late") }, now()).unwrap();
    assert!(tokens.may_delay());
    assert_eq!([tokens.delay_of(Some(&secret)), tokens.delay_of(None)], [delay, Delay::NONE]);
    assert_eq!(tokens.reader(Some(&secret)).unwrap_err(), AuthError::Delayed(delay));
    assert!(tokens.for_delay(delay).reader(Some(&secret)).is_ok());
}

#[test]
fn wrong_requests_name_every_fault() {
    let (_dir, stored, _) = rig(&Auth::default());
    let wrong = TokenRequest {
        user: Some("ana".to_owned()),
        delay: Delay::from_seconds(5).unwrap(),
        expires_at: Some(now()),
        ..request(StoredKind::Ingest, " ")
    };
    let fields: Vec<_> = wrong.faults(now()).into_iter().map(|fault| fault.field).collect();
    assert_eq!(fields, ["name", "user", "delay", "expires_at"]);
    stored.create(&request(StoredKind::Read, "one"), now()).unwrap();
    let taken = stored.create(&request(StoredKind::Ingest, "one"), now()).unwrap_err();
    assert!(taken.to_string().starts_with("name is taken"), "{taken}");
}

#[test]
fn changes_of_another_process_are_read() {
    let (dir, stored, tokens) = rig(&Auth::default());
    let other = StoredTokens::open(dir.path()).unwrap();
    let secret = other.create(&request(StoredKind::Ingest, "from the command line"), now()).unwrap();
    assert!(tokens.ingest(Some(&secret)).is_err());
    assert!(stored.refresh().unwrap() && !stored.refresh().unwrap());
    assert!(tokens.ingest(Some(&secret)).is_ok());
    other.revoke("from the command line").unwrap();
    assert!(stored.refresh().unwrap());
    assert!(tokens.ingest(Some(&secret)).is_err());
}

#[test]
fn the_last_use_is_written_once_a_minute() {
    let (dir, stored, tokens) = rig(&Auth::default());
    let secret = stored.create(&request(StoredKind::Ingest, "desk"), now()).unwrap();
    let written = || StoredTokens::open(dir.path()).unwrap().list()[0].last_used_at();
    stored.flush(now()).unwrap();
    assert_eq!(written(), None);
    tokens.ingest(Some(&secret)).unwrap();
    stored.flush(now()).unwrap();
    assert_eq!(written(), Some(now()));
    stored.list()[0].used(now() + TimeDelta::seconds(59));
    stored.flush(now() + TimeDelta::seconds(59)).unwrap();
    assert_eq!(written(), Some(now()));
    stored.flush(now() + TimeDelta::seconds(60)).unwrap();
    assert_eq!(written(), Some(now() + TimeDelta::seconds(59)));
}

#[test]
fn a_damaged_file_is_not_taken_for_an_empty_one() {
    let (dir, stored, tokens) = rig(&Auth::default());
    let secret = stored.create(&request(StoredKind::Ingest, "desk"), now()).unwrap();
    fs::write(dir.path().join("tokens.json"), "{").unwrap();
    assert!(stored.refresh().unwrap_err().to_string().contains("tokens.json"));
    assert!(tokens.ingest(Some(&secret)).is_ok(), "what is known goes on");
    assert!(StoredTokens::open(dir.path()).is_err());
}
