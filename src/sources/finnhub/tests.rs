//! The parser, on fixed and arbitrary input.

use crate::config::Secret;
use crate::sources::finnhub::Finnhub;
use crate::sources::parser_tests::{assert_robust, seen};

fn finnhub() -> Finnhub {
    Finnhub { url: "ws://localhost".into(), key: Secret::new("k3y") }
}

const NAMES: [&str; 2] = ["BINANCE:BTCUSDT", "OANDA:EUR_USD"];
const RECORDED: &str = include_str!("fixtures/trades.jsonl");

#[test]
fn the_recorded_messages_are_read_unchanged() {
    assert_eq!(
        seen(&finnhub(), &NAMES, RECORDED),
        [
            "BTCUSDT 7296.89 2019-12-05T06:18:11.134Z",
            "other",
            "EURUSD 1.08512 2026-01-26T12:34:56.789Z",
            "malformed: Number",
            "malformed: NotAsked",
            "rejected: Subscribing to too many symbols",
            "end: the provider says: API limit reached",
            "end: the key is not accepted (Invalid API key ***): check ORION_FINNHUB_KEY",
        ]
    );
}

#[test]
fn damaged_messages_never_panic_or_lie() {
    assert_robust(&finnhub(), &NAMES, RECORDED);
}
