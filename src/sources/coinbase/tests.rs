//! The parser, on fixed and arbitrary input.

use crate::sources::coinbase::Coinbase;
use crate::sources::parser_tests::{assert_robust, seen};

fn coinbase() -> Coinbase {
    Coinbase { url: "ws://localhost".into() }
}

const NAMES: [&str; 2] = ["BTC-USD", "ETH-USD"];
const RECORDED: &str = include_str!("fixtures/ticker.jsonl");

#[test]
fn the_recorded_messages_are_read_unchanged() {
    assert_eq!(
        seen(&coinbase(), &NAMES, RECORDED),
        [
            "subscribed",
            "rejected: Failed to subscribe: XYZ-USD is not a valid product",
            "ETHUSD 1285.04 1285.27 2022-10-19T23:28:22.061Z",
            "other",
            "BTCUSD 88359.79 88359.8 2026-01-26T12:00:00.000Z",
            "malformed: Crossed",
            "malformed: NotAsked",
            "end: the provider says: Too many requests: rate limit exceeded",
        ]
    );
}

#[test]
fn damaged_messages_never_panic_or_lie() {
    assert_robust(&coinbase(), &NAMES, RECORDED);
}
