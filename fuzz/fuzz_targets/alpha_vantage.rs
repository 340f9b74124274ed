#![no_main]
//! Fuzzes the responses of Alpha Vantage.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use orion_server::config::Secret;
use orion_server::domain::Instruments;
use orion_server::sources::alpha_vantage::{AlphaVantage, Options};

static SOURCE: LazyLock<AlphaVantage> = LazyLock::new(|| {
    let catalogue = Instruments::new(Instruments::documented()).unwrap();
    let options = Options {
        url: "http://localhost".into(),
        key: Secret::new("key"),
        instruments: vec!["EURUSD".into()],
        daily: 25,
        file: Options::FILE.into(),
        gap: Duration::ZERO,
        pause: Options::PAUSE,
        response_timeout: Options::RESPONSE_TIMEOUT,
    };
    AlphaVantage::new(options, &catalogue, Arc::new(|| DateTime::UNIX_EPOCH)).unwrap()
});

fuzz_target!(|body: &[u8]| {
    assert!(SOURCE.read(body).iter().all(|tick| tick.quote.mid() > 0.0));
});
