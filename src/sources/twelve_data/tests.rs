//! The parser, on fixed and arbitrary input.

use crate::config::Secret;
use crate::sources::parser_tests::{assert_robust, seen};
use crate::sources::twelve_data::TwelveData;

fn twelve_data() -> TwelveData {
    TwelveData { url: "ws://localhost".into(), key: Secret::new("k3y") }
}

const NAMES: [&str; 2] = ["EUR/USD", "BTC/USD"];
const RECORDED: &str = include_str!("fixtures/price.jsonl");

#[test]
fn the_recorded_messages_are_read_unchanged() {
    assert_eq!(
        seen(&twelve_data(), &NAMES, RECORDED),
        [
            "subscribed",
            "rejected: NOPE is not available",
            "BTCUSD 13102.1 13104.2 2020-10-27T09:33:03.000Z",
            "EURUSD 1.08512 2026-01-26T12:34:56.000Z",
            "other",
            "malformed: Number",
            "malformed: NotAsked",
            "end: the provider says: too many connections",
            "end: the key is not accepted (**apikey** parameter *** is incorrect or not specified.): check \
             ORION_TWELVE_DATA_KEY, and whether its plan has the WebSocket",
        ]
    );
}

#[test]
fn damaged_messages_never_panic_or_lie() {
    assert_robust(&twelve_data(), &NAMES, RECORDED);
}
