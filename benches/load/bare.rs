//! The server that is compared with: socketioxide as its manual shows it, on `axum::serve`, with a room for prices and one
//! for signals, and a snapshot for whoever subscribes. It has our backlog: without one, most of a storm is waiting for
//! the second try of a handshake that the kernel threw away.

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

/// Signals that a newcomer is told of.
const RECENT: usize = 50;

/// What a newcomer is told.
#[derive(Debug, Default)]
struct Known {
    prices: BTreeMap<String, Arc<RawValue>>,
    signals: VecDeque<Arc<RawValue>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    symbol: &'a str,
}

type Shared = Arc<RwLock<Known>>;

/// Serves on `PORT` until the process is killed.
pub async fn serve() {
    let (layer, io) = SocketIo::new_layer();
    let known = Shared::default();
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

fn subscribe(socket: &SocketRef, known: &Shared) {
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

async fn publish(State((io, known)): State<(SocketIo, Shared)>, Json(events): Json<Vec<(String, Box<RawValue>)>>) {
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
        // Fails where a queue is full, and does not say whose.
        io.to(room).emit(event, &*object).await.ok();
    }
}
