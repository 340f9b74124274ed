#![no_main]
//! Fuzzes queries, paths and bodies: the first byte chooses the route, the first line is the rest of the URL.

#[allow(dead_code, reason = "this target opens no streams")]
mod server;

use std::cell::RefCell;
use std::fmt::Write as _;

use libfuzzer_sys::fuzz_target;
use server::{ADDRESS, Http};

const ROUTES: &[(&str, &str)] = &[
    ("GET", "/api/signals?"),
    ("GET", "/api/signals/"),
    ("GET", "/api/signals/known?"),
    ("GET", "/api/prices?"),
    ("GET", "/api/bars?"),
    ("GET", "/api/bars?symbol=EURUSD&"),
    ("GET", "/api/stats?"),
    ("GET", "/api/trades/recent?"),
    ("GET", "/api/advanced/decisions/recent?"),
    ("GET", "/signals/history?"),
    ("GET", "/api/v1/dashboard/trade-signals?"),
    ("GET", "/api/v1/market/quote/"),
    ("GET", "/api/v1/market/quotes?"),
    ("GET", "/api/v1/market/history/EURUSD?"),
    ("GET", "/"),
    ("POST", "/api/signals?"),
    ("POST", "/api/prices?"),
    ("POST", "/api/events?"),
    ("POST", "/api/mt/ticks?"),
    ("POST", "/api/webhooks/tradingview/tradingview-token?"),
    ("PATCH", "/api/signals/known?"),
    ("POST", "/api/admin/revoke?"),
];

thread_local! {
    static CLIENT: RefCell<Http> = RefCell::new(Http::connect(*ADDRESS));
}

fuzz_target!(|data: &[u8]| {
    let Some((route, rest)) = data.split_first() else { return };
    let (url, body) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    let (method, path) = ROUTES[usize::from(*route) % ROUTES.len()];
    let mut target = path.to_owned();
    for byte in url.iter().take(4_000) {
        match byte {
            b'#' | 0..=b' ' | 0x7f.. => write!(target, "%{byte:02x}").unwrap(),
            _ => target.push(char::from(*byte)),
        }
    }
    // Streams do not end; the target `conversations` covers them.
    if target.starts_with("/api/realtime") {
        return;
    }
    let status = CLIENT.with_borrow_mut(|client| client.ask(method, &target, body.get(1..).unwrap_or_default()));
    assert!((200..500).contains(&status), "{status} {target}");
});
