//! The body of an alert, which need not even be JSON.
#![no_main]

use std::sync::LazyLock;

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use orion_server::domain::Instruments;
use orion_server::sources::tradingview;

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(Instruments::documented()).unwrap());

fuzz_target!(|data: &[u8]| {
    tradingview::parse(data, &INSTRUMENTS, DateTime::UNIX_EPOCH).ok();
});
