//! A client of the crate `rust_socketio`, as its documentation writes one: subscribes on every connect and notes what comes.
//!
//! `rust-socketio-client URL polling|websocket|both SECONDS` prints one JSON object on the way out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rust_socketio::{ClientBuilder, Event, Payload, RawClient, TransportType};
use serde_json::{Value, json};

#[derive(Debug, Default)]
struct Told {
    connects: usize,
    disconnects: usize,
    errors: Vec<String>,
    signals: Vec<Value>,
    subscribed: usize,
    prices: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(transport), Some(seconds)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: rust-socketio-client URL polling|websocket|both SECONDS".into());
    };
    let transport = match transport.as_str() {
        "polling" => TransportType::Polling,
        "websocket" => TransportType::Websocket,
        _ => TransportType::WebsocketUpgrade,
    };
    let told = Arc::new(Mutex::new(Told::default()));
    let note = |change: fn(&mut Told, Payload)| {
        let told = told.clone();
        move |payload: Payload, _: RawClient| change(&mut told.lock().unwrap(), payload)
    };
    let connects = told.clone();
    let client = ClientBuilder::new(url)
        .transport_type(transport)
        .reconnect(true)
        .reconnect_delay(200, 500)
        .on(Event::Connect, move |_, client| {
            let subscribed = client.emit("subscribe", json!({ "channels": ["signals", "prices"] }));
            let mut told = connects.lock().unwrap();
            told.connects += 1;
            told.errors.extend(subscribed.err().map(|error| error.to_string()));
        })
        .on(Event::Close, note(|told, _| told.disconnects += 1))
        .on(Event::Error, note(|told, payload| told.errors.push(format!("{payload:?}"))))
        .on("price_update", note(|told, _| told.prices += 1))
        .on("subscribed", note(|told, _| told.subscribed += 1))
        .on(
            "signal",
            note(|told, payload| {
                if let Payload::Text(arguments) = payload {
                    let cursor = arguments.get(1).map(|meta| meta["cursor"].clone());
                    told.signals.push(json!([arguments[0]["id"], cursor]));
                }
            }),
        )
        .connect()?;
    std::thread::sleep(Duration::from_secs_f64(seconds.parse()?));
    {
        let told = told.lock().unwrap();
        let report = json!({
            "connects": told.connects, "disconnects": told.disconnects, "errors": told.errors, "signals": told.signals,
            "subscribed": told.subscribed, "prices": told.prices,
        });
        println!("{report}");
    }
    client.disconnect()?;
    Ok(())
}
