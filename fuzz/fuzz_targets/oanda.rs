#![no_main]
//! Fuzzes the lines of OANDA's stream.

use std::sync::{Arc, LazyLock};

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use orion_server::config::Secret;
use orion_server::domain::Instruments;
use orion_server::sources::oanda::{Oanda, Options};

static SOURCE: LazyLock<Oanda> = LazyLock::new(|| {
    let catalogue = Instruments::new(Instruments::documented()).unwrap();
    let options = Options {
        url: "http://localhost".into(),
        token: Secret::new("token"),
        account: "1".into(),
        instruments: vec!["EUR_USD".into()],
        silence: Options::SILENCE,
    };
    Oanda::new(options, &catalogue, Arc::new(|| DateTime::UNIX_EPOCH)).unwrap()
});

fuzz_target!(|stream: &[u8]| {
    assert!(SOURCE.read(stream).iter().all(|tick| tick.quote.mid() > 0.0));
});
