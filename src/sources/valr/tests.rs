//! The parser, on fixed and arbitrary input.

use crate::sources::parser_tests::{assert_robust, seen};
use crate::sources::valr::Valr;

fn valr() -> Valr {
    Valr { url: "ws://localhost".into() }
}

const NAMES: [&str; 2] = ["BTCZAR", "ETHZAR"];
const RECORDED: &str = include_str!("fixtures/summary.jsonl");

#[test]
fn the_recorded_messages_are_read_unchanged() {
    assert_eq!(
        seen(&valr(), &NAMES, RECORDED),
        [
            "subscribed",
            "rejected: Channel MARKET_SUMMARY_UPDATE, pair NOPEZAR combination invalid",
            "BTCZAR 1512476 1512491 2026-01-26T12:34:35.175Z",
            "other",
            "other",
            "malformed: Crossed",
            "malformed: Number",
            "malformed: Time",
            "end: the provider says: RATE_LIMIT_EXCEEDED",
        ]
    );
}

#[test]
fn damaged_messages_never_panic_or_lie() {
    assert_robust(&valr(), &NAMES, RECORDED);
}
