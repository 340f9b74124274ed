//! The bare server for comparison: socketioxide as in its manual, on `axum::serve`, with a room for prices, a room for signals, and
//! a snapshot for each subscriber. It has our backlog; without it, most of a storm would wait for the second attempt of a
//! handshake that the kernel has dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;

/// The number of signals in a snapshot.
const RECENT: usize = 50;

/// The content of a snapshot.
#[derive(Debug, Default)]
struct BareState {
    prices: BTreeMap<String, Arc<RawValue>>,
    signals: VecDeque<Arc<RawValue>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    symbol: &'a str,
}

type SharedState = Arc<RwLock<BareState>>;

/// Serves on `PORT` until the process is killed.
pub async fn serve() {
    let (layer, io) = SocketIo::new_layer();
    let known = SharedState::default();
    io.ns("/", {
        let known = known.clone();
        async move |socket: SocketRef| {
            socket.on("subscribe", async move |socket: SocketRef| subscribe(&socket, &known));
        }
    });
    let app = Router::new()
        .route("/health", get(async || "ok"))
        .route("/publish", post(publish))
        .layer(DefaultBodyLimit::max(16 << 20))
        .with_state((io, known))
        .layer(layer);
    let port = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = orion_server::listener::listen(([127, 0, 0, 1], port).into()).unwrap();
    println!("{}", json!({"message": "listening", "address": listener.local_addr().unwrap()}));
    axum::serve(listener, app).await.unwrap();
}

fn subscribe(socket: &SocketRef, known: &SharedState) {
    socket.join(["prices", "signals"]);
    let known = known.read();
    for price in known.prices.values() {
        socket.emit("price_update", &**price).ok();
    }
    for signal in &known.signals {
        socket.emit("signal", &**signal).ok();
    }
    socket.emit("subscribed", &json!({"channels": ["prices", "signals"], "symbols": null, "recovered": null})).ok();
}

async fn publish(State((io, known)): State<(SocketIo, SharedState)>, Json(events): Json<Vec<(String, Box<RawValue>)>>) {
    for (event, object) in events {
        let object: Arc<RawValue> = object.into();
        let room = if event == "signal" { "signals" } else { "prices" };
        {
            let mut known = known.write();
            if event == "signal" {
                known.signals.push_back(object.clone());
                if known.signals.len() > RECENT {
                    known.signals.pop_front();
                }
            } else {
                let named: Named<'_> = serde_json::from_str(object.get()).unwrap();
                known.prices.insert(named.symbol.to_owned(), object.clone());
            }
        }
        // Fails where a queue is full, without naming the client.
        io.to(room).emit(event, &*object).await.ok();
    }
}
