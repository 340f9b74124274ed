//! Fuzzes the commands of clients, native and over Socket.IO, and their cursors.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use orion_server::domain::{Instruments, Position};
use orion_server::transport::command::SubscriptionRequest;
use orion_server::transport::cursor::MessageCursor;

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(Instruments::documented()).unwrap());

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = serde_json::from_slice(data) {
        let request = SubscriptionRequest::parse(&value, &INSTRUMENTS);
        assert!(request.max_hz.is_none_or(|hz| (0.1..=20.0).contains(&hz)));
        assert!(!request.clone().without_user().user);
        request.unsubscribed();
        MessageCursor::read(&value).ok();
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let query = ["channels", "symbols", "max_hz", "killzones", "setups", text].map(|name| (name.to_owned(), text.to_owned()));
        SubscriptionRequest::of_query(&query, &INSTRUMENTS).field_faults();
        text.parse::<Position>().ok();
    }
});
