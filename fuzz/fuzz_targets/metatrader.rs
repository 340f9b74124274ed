#![no_main]
//! Fuzzes the requests of an Expert Advisor.

use std::sync::LazyLock;

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use orion_server::domain::Instruments;
use orion_server::ingest::metatrader::{Post, parse};

static CATALOGUE: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(Instruments::documented()).unwrap());

fuzz_target!(|body: &[u8]| {
    let Ok(value) = serde_json::from_slice(body) else { return };
    if let Ok(Post::Ticks(batch)) = parse(&value, &CATALOGUE, DateTime::UNIX_EPOCH) {
        assert!(batch.ticks.iter().all(|(.., tick)| tick.quote.mid() > 0.0));
    }
});
