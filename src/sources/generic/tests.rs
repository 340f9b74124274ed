//! The messages of made-up providers, what is sent to them, and arbitrary input.

use chrono::{DateTime, Utc};

use super::parse::message;
use super::{Generic, GenericSettings};
use crate::config::Secret;
use crate::domain::{Feed, Instruments, parse_time};
use crate::sources::listing::Listing;
use crate::sources::parser_tests::{assert_robust, described, seen};
use crate::sources::streaming::Dialect;

#[expect(clippy::unnecessary_wraps, reason = "the form of the settings")]
fn place(pointer: &str) -> Option<String> {
    Some(pointer.to_owned())
}

/// A list of quotes below `/data`.
fn list() -> GenericSettings {
    GenericSettings {
        items: place("/data"),
        symbol: place("/s"),
        bid: place("/b"),
        ask: place("/a"),
        price: place("/p"),
        time: place("/t"),
        error: place("/error"),
        ..GenericSettings::default()
    }
}

const LIST: &str = r#"{"data":[{"s":"EURUSD","b":"1.1","a":"1.2","t":1769430896789},{"s":"XAUUSD","p":2650.2,"t":"2026-01-26T12:34:56Z"},{"s":"OTHER","p":1},{"s":"EURUSD"}]}"#;

#[test]
fn items_are_read_from_a_list() {
    assert_eq!(
        seen(&Generic::<0>(list()), &["EURUSD", "XAUUSD"], LIST),
        ["EURUSD 1.1 1.2 2026-01-26T12:34:56.789Z", "XAUUSD 2650.2 2026-01-26T12:34:56.000Z", "other", "other",]
    );
    for (text, said) in [
        (r#"{"hello":1}"#, "other"),
        (r#"{"error":"no such symbol"}"#, "complaint: no such symbol"),
        (r#"{"error":null,"data":[]}"#, ""),
        (r#"{"data":[{"s":"EURUSD","b":1.2,"a":1.1,"t":1769430896}]}"#, "malformed: Crossed"),
        (r#"{"data":[{"s":"EURUSD","b":1.1,"a":1.2}]}"#, "malformed: Time"),
        (r#"{"data":[{"s":"EURUSD","b":"x","a":1.2,"t":1769430896}]}"#, "malformed: Number"),
        (r#"{"data":5}"#, "malformed: Form"),
        ("5", "malformed: Form"),
    ] {
        assert_eq!(seen(&Generic::<0>(list()), &["EURUSD", "XAUUSD"], text).concat(), said, "{text}");
    }
}

#[test]
fn items_can_be_an_object_by_symbol() {
    let settings = GenericSettings {
        items: place("/rates"),
        symbol: place("@key"),
        price: place("/usd"),
        time: place("/at"),
        ..GenericSettings::default()
    };
    let text = r#"{"at":1769430896,"rates":{"bitcoin":{"usd":88359.8},"dogecoin":{"usd":0.1}}}"#;
    assert_eq!(
        seen(&Generic::<0>(settings), &["bitcoin=BTCUSD"], text),
        ["BTCUSD 88359.8 2026-01-26T12:34:56.000Z", "other"]
    );
}

#[test]
fn a_single_price_needs_no_symbol() {
    let settings = GenericSettings { price: place("/0/1"), items: place("/x"), ..GenericSettings::default() };
    assert_eq!(
        seen(&Generic::<0>(settings.clone()), &["EURUSD"], r#"{"x":{"0":{"1":"1.5"}}}"#),
        ["EURUSD 1.5 2026-01-26T12:00:00.000Z"]
    );
    let list = GenericSettings { price: place("/1"), items: None, ..settings };
    assert_eq!(seen(&Generic::<0>(list), &["EURUSD"], r#"[[0,"1.5"]]"#), ["EURUSD 1.5 2026-01-26T12:00:00.000Z"]);
}

#[test]
fn every_unit_of_time_is_recognized() {
    let listing = Listing::new(
        ("generic", Feed::Live),
        &["EURUSD".to_owned()],
        &Instruments::new(Instruments::documented()).unwrap(),
    )
    .unwrap();
    let settings = GenericSettings { price: place("/p"), time: place("/t"), ..GenericSettings::default() };
    let now: DateTime<Utc> = parse_time("2026-01-26T12:00:00Z").unwrap();
    let read =
        |time: &str| described(message(&settings, &format!(r#"{{"p":1.5,"t":{time}}}"#), &listing, now).remove(0));
    for (time, said) in [
        ("1769430896", "12:34:56.000Z"),
        ("1769430896.5", "12:34:56.500Z"),
        ("\"1769430896.5\"", "12:34:56.500Z"),
        ("1769430896789", "12:34:56.789Z"),
        ("\"1769430896789\"", "12:34:56.789Z"),
        ("1769430896789123", "12:34:56.789Z"),
        ("1769430896789123456", "12:34:56.789Z"),
        ("\"2026-01-26T13:34:56.789+01:00\"", "12:34:56.789Z"),
    ] {
        assert_eq!(read(time), format!("EURUSD 1.5 2026-01-26T{said}"), "{time}");
    }
    for time in ["0", "-1", "1e300", "1234", "\"noon\"", "\"NaN\"", "true", "null", "[]"] {
        assert_eq!(read(time), "malformed: Time", "{time}");
    }
}

#[test]
fn placeholders_are_filled_in() {
    let settings = GenericSettings {
        url: Some(Secret::new("wss://h/{key}?s={symbols}")),
        key: Some(Secret::new("k3y")),
        headers: Some(Secret::new("X-Key: {key}\n\nAccept: text/plain")),
        subscribe: Some("{\"auth\":\"{key}\"}\n{\"s\":{symbols_json}}\n{\"one\":\"{symbol}\"}".into()),
        keep_alive: Some("ping {key}".into()),
        ..GenericSettings::default()
    };
    let (generic, names) = (Generic::<0>(settings), ["A".to_owned(), "B".to_owned()]);
    assert_eq!(generic.address(&names), "wss://h/k3y?s=A,B");
    let sent = ["{\"auth\":\"k3y\"}", "{\"s\":[\"A\",\"B\"]}", "{\"one\":\"A\"}", "{\"one\":\"B\"}"];
    assert_eq!(generic.subscribe(&names), sent);
    let headers = generic.headers();
    assert_eq!((headers["x-key"].to_str().unwrap(), headers["accept"].to_str().unwrap()), ("k3y", "text/plain"));
    assert!(!format!("{headers:?} {generic:?}").contains("k3y"), "a key is shown");
    assert_eq!(generic.keep_alive().unwrap().1, "ping k3y");
}

#[test]
fn damaged_messages_never_panic_or_lie() {
    assert_robust(&Generic::<0>(list()), &["EURUSD", "XAUUSD"], LIST);
    let keys = GenericSettings { symbol: place("@key"), items: None, ..list() };
    assert_robust(&Generic::<0>(keys), &["EURUSD", "XAUUSD"], LIST);
}
