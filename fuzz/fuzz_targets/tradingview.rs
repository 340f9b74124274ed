#![no_main]
//! Fuzzes the alerts of TradingView with expanded placeholders.

use std::sync::LazyLock;

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use orion_server::domain::Instruments;
use orion_server::ingest::parse_signal;
use orion_server::ingest::tradingview::{Alert, parse};

static CATALOGUE: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(Instruments::documented()).unwrap());

fuzz_target!(|body: &[u8]| {
    match parse(body, &CATALOGUE, DateTime::UNIX_EPOCH).map(|read| read.alert) {
        Ok(Alert::Price(tick)) => assert!(tick.quote.mid() > 0.0),
        Ok(Alert::Signal(signal)) => assert!(parse_signal(&signal, &CATALOGUE).is_ok()),
        Ok(Alert::Nothing(_)) | Err(_) => {}
    }
});
