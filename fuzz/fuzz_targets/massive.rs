#![no_main]
//! Fuzzes the frames of Massive's WebSocket.

use std::sync::{Arc, LazyLock};

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use orion_server::config::Secret;
use orion_server::domain::Instruments;
use orion_server::sources::massive::{Cluster, Massive, Options};

static SOURCE: LazyLock<Massive> = LazyLock::new(|| {
    let catalogue = Instruments::new(Instruments::documented()).unwrap();
    let mut options = Options::new("ws://localhost", Cluster::Forex, Secret::new("key"));
    options.instruments = vec!["C:EURUSD".into()];
    Massive::new(options, &catalogue, Arc::new(|| DateTime::UNIX_EPOCH)).unwrap()
});

fuzz_target!(|frame: &str| {
    assert!(SOURCE.read(frame).iter().all(|tick| tick.quote.mid() > 0.0));
});
