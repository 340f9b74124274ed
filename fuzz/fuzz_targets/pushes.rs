//! What is pushed: signals, prices, published events, batches of an Expert Advisor.
#![no_main]

use std::sync::LazyLock;

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use orion_server::domain::Instruments;
use orion_server::gateways::events;
use orion_server::sources::metatrader;
use orion_server::sources::push::{parse_end, parse_prices, parse_signal};

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(Instruments::documented()).unwrap());

fuzz_target!(|data: &[u8]| {
    let Ok(value) = serde_json::from_slice(data) else { return };
    let now = DateTime::UNIX_EPOCH;
    parse_signal(&value, &INSTRUMENTS).ok();
    parse_end(&value).ok();
    parse_prices(&value, &INSTRUMENTS, now).ok();
    events::read(&value, now).ok();
    metatrader::parse(&value, &INSTRUMENTS, now).ok();
});
