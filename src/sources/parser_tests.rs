//! What the tests of all parsers have in common.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::listing::{Listing, WireEvent};
use super::streaming::Dialect;
use crate::domain::{Feed, Instruments, Quote, iso, parse_time};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn catalogue() -> Instruments {
    Instruments::new(Instruments::documented().into_iter().chain(Instruments::crypto())).unwrap()
}

/// Returns a line for each event of the recorded messages, which arrive at 12:00.
pub(super) fn seen<D: Dialect>(dialect: &D, wanted: &[&str], recorded: &str) -> Vec<String> {
    let listing = Listing::new((D::NAME, Feed::Live), &names(wanted), &catalogue()).unwrap();
    let received_at = parse_time("2026-01-26T12:00:00Z").unwrap();
    let events = recorded.lines().flat_map(|line| dialect.read(line, &listing, received_at));
    events.map(described).collect()
}

/// Returns an event as a line.
pub(super) fn described(event: super::listing::ReadEvent) -> String {
    match event {
        Ok(WireEvent::Tick(tick)) => match tick.quote {
            Quote::BidAsk { bid, ask } => format!("{} {bid} {ask} {}", tick.symbol, iso(tick.observed_at)),
            Quote::Last(price) => format!("{} {price} {}", tick.symbol, iso(tick.observed_at)),
        },
        Ok(WireEvent::Subscribed) => "subscribed".into(),
        Ok(WireEvent::Rejected(words)) => format!("rejected: {words}"),
        Ok(WireEvent::Other) => "other".into(),
        Ok(WireEvent::End(error)) => format!("end: {error}"),
        Err(why) => format!("malformed: {why:?}"),
    }
}

/// Whatever one byte of a recorded message is replaced by, and whatever else comes: no panic, and no price that is none.
pub(super) fn assert_robust<D: Dialect>(dialect: &D, wanted: &[&str], recorded: &str) {
    let listing = Listing::new((D::NAME, Feed::Live), &names(wanted), &catalogue()).unwrap();
    let received_at = parse_time("2026-01-26T12:00:00Z").unwrap();
    let read = |text: &str| {
        for event in dialect.read(text, &listing, received_at) {
            if let Ok(WireEvent::Tick(tick)) = event {
                let (bid, ask) = match tick.quote {
                    Quote::BidAsk { bid, ask } => (bid, ask),
                    Quote::Last(price) => (price, price),
                };
                assert!(bid > 0.0 && bid <= ask && ask.is_finite(), "{text}");
            }
        }
    };
    for text in ["", "{}", "null", "5", "[]", &"[".repeat(100_000), &"{\"data\":".repeat(100_000)] {
        assert!(dialect.read(text, &listing, received_at).iter().all(|event| !matches!(event, Ok(WireEvent::Tick(_)))));
    }
    let lines: Vec<&str> = recorded.lines().collect();
    let damage = (0..lines.len(), any::<prop::sample::Index>(), 0u8..128);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(256) });
    let damaged = runner.run(&damage, |(line, at, byte)| {
        let mut bytes = lines[line].as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read(std::str::from_utf8(&bytes).unwrap());
        Ok(())
    });
    damaged.unwrap();
    runner
        .run(&"\\PC{0,200}", |text| {
            read(&text);
            Ok(())
        })
        .unwrap();
}
