#![no_main]
//! Fuzzes pushed prices and signals.

use std::sync::LazyLock;

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use orion_server::app::published_types;
use orion_server::domain::Instruments;
use orion_server::transport::events::PublishedTypes;
use orion_server::ingest::{parse_end, parse_prices, parse_signal};

static CATALOGUE: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(Instruments::documented()).unwrap());
static TYPES: LazyLock<PublishedTypes> = LazyLock::new(published_types);

fuzz_target!(|body: &[u8]| {
    let Ok(value) = serde_json::from_slice(body) else { return };
    parse_signal(&value, &CATALOGUE).ok();
    parse_prices(&value, &CATALOGUE, DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH).ok();
    parse_end(&value).ok();
    TYPES.read(&value, DateTime::UNIX_EPOCH).ok();
});
