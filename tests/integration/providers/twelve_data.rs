//! Twelve Data's WebSocket, played.

use std::time::Duration;

use orion_server::config::Secret;
use orion_server::domain::Quote;
use orion_server::sources::Source;
use orion_server::sources::twelve_data::TwelveData;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::Request;

use super::contract::Provider;
use super::stage::{Act, Price, Stage};
use super::streams::{self, Socket, Spoken, heard, pair, say};

pub(super) struct Played;

const NAMES: [&str; 3] = ["EUR/USD", "USD/JPY", "XAU/USD"];

impl Provider for Played {
    /// Whole seconds.
    fn told(price: Price) -> (Quote, i64) {
        (Quote::BidAsk { bid: price.bid, ask: price.ask }, price.at / 1000 * 1000)
    }

    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        streams::play::<Self>(plan).await
    }

    fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static {
        let url = format!("ws://{}/v1/quotes/price", stage.addr);
        streams::source(TwelveData { url, key: Secret::new(key) }, &NAMES, silence)
    }
}

impl Spoken for Played {
    fn admits(request: &Request) -> Result<(), u16> {
        assert_eq!(request.uri().path_and_query().unwrap(), "/v1/quotes/price", "the key goes into a header");
        let key = request.headers().get("x-td-apikey").and_then(|key| key.to_str().ok());
        if key == Some(super::KEY) { Ok(()) } else { Err(401) }
    }

    async fn greet(socket: &mut Socket) -> Option<()> {
        let asked = heard(socket).await?;
        assert_eq!(asked, json!({"action": "subscribe", "params": {"symbols": NAMES.join(",")}}));
        let success: Vec<Value> =
            NAMES.iter().map(|name| json!({"symbol": name, "type": "Physical Currency"})).collect();
        say(socket, json!({"event": "subscribe-status", "status": "ok", "success": success, "fails": null})).await
    }

    /// One price a message.
    fn messages(prices: &[Price]) -> Vec<String> {
        let message = |price: &Price| {
            json!({
                "event": "price", "symbol": pair(price, "/"), "type": "Physical Currency", "timestamp": price.at / 1000,
                "price": price.bid, "bid": price.bid, "ask": price.ask
            })
        };
        prices.iter().map(|price| message(price).to_string()).collect()
    }
}
