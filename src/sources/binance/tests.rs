//! The parser, on fixed and arbitrary input.

use crate::sources::binance::Binance;
use crate::sources::parser_tests::{assert_robust, seen};
use crate::sources::streaming::Dialect;

fn binance() -> Binance {
    Binance { url: "wss://localhost".into() }
}

const NAMES: [&str; 2] = ["BTCUSDT", "ETHUSDT"];
const RECORDED: &str = include_str!("fixtures/book_ticker.jsonl");

#[test]
fn the_recorded_messages_are_read_unchanged() {
    assert_eq!(
        seen(&binance(), &NAMES, RECORDED),
        [
            "BTCUSDT 88359.8 88359.81 2026-01-26T12:00:00.000Z",
            "malformed: Crossed",
            "malformed: NotAsked",
            "malformed: Number",
            "other",
            "end: the provider restarts the server of this connection",
        ]
    );
}

#[test]
fn the_streams_are_named_in_the_address() {
    let address = binance().address(&NAMES.map(str::to_owned));
    assert_eq!(address, "wss://localhost/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker");
}

#[test]
fn damaged_messages_never_panic_or_lie() {
    assert_robust(&binance(), &NAMES, RECORDED);
}
