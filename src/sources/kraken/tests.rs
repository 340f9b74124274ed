//! The parser, on fixed and arbitrary input.

use crate::sources::kraken::Kraken;
use crate::sources::parser_tests::{assert_robust, seen};

fn kraken() -> Kraken {
    Kraken { url: "ws://localhost".into() }
}

const NAMES: [&str; 2] = ["BTC/USD", "ETH/USD"];
const RECORDED: &str = include_str!("fixtures/ticker.jsonl");

#[test]
fn the_recorded_messages_are_read_unchanged() {
    assert_eq!(
        seen(&kraken(), &NAMES, RECORDED),
        [
            "other",
            "subscribed",
            "rejected: Currency pair not supported BTC/USDX",
            "BTCUSD 88359.8 88359.9 2026-01-26T12:34:56.201Z",
            "other",
            "BTCUSD 88359.9 88360 2026-01-26T12:00:00.000Z",
            "malformed: Crossed",
            "malformed: NotAsked",
            "other",
            "end: the provider says: Exceeded msg rate",
        ]
    );
}

#[test]
fn damaged_messages_never_panic_or_lie() {
    assert_robust(&kraken(), &NAMES, RECORDED);
}
