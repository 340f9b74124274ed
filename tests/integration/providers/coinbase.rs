//! Coinbase Exchange's WebSocket, played.

use std::time::Duration;

use orion_server::sources::Source;
use orion_server::sources::coinbase::Coinbase;
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::server::Request;

use super::contract::Provider;
use super::stage::{Act, Price, Stage};
use super::streams::{self, Socket, Spoken, heard, pair, rfc3339, say};

pub(super) struct Played;

const NAMES: [&str; 3] = ["EUR-USD", "USD-JPY", "XAU-USD"];

impl Provider for Played {
    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        streams::play::<Self>(plan).await
    }

    fn source(stage: &Stage, _: &str, silence: Duration) -> impl Source + 'static {
        streams::source(Coinbase { url: format!("ws://{}", stage.addr) }, &NAMES, silence)
    }
}

impl Spoken for Played {
    fn admits(request: &Request) -> Result<(), u16> {
        assert_eq!(request.uri().path(), "/");
        Ok(())
    }

    async fn greet(socket: &mut Socket) -> Option<()> {
        for (number, name) in NAMES.iter().enumerate() {
            let asked = heard(socket).await?;
            let message = json!({"type": "subscribe", "product_ids": [name], "channels": ["ticker", "heartbeat"]});
            assert_eq!(asked, message);
            let channel = |channel| json!({"name": channel, "product_ids": NAMES[..=number], "account_ids": null});
            let channels = [channel("ticker"), channel("heartbeat")];
            say(socket, json!({"type": "subscriptions", "channels": channels})).await?;
        }
        Some(())
    }

    /// One price a message.
    fn messages(prices: &[Price]) -> Vec<String> {
        let message = |price: &Price| {
            json!({
                "type": "ticker", "sequence": 37_475_248_783_i64, "product_id": pair(price, "-"),
                "price": price.bid.to_string(), "best_bid": price.bid.to_string(), "best_bid_size": "0.5",
                "best_ask": price.ask.to_string(), "best_ask_size": "1.5", "side": "buy", "time": rfc3339(price),
                "trade_id": 1, "last_size": "11.4"
            })
        };
        let heartbeat = json!({"type": "heartbeat", "sequence": 90, "last_trade_id": 20, "product_id": "EUR-USD"});
        prices.iter().map(message).chain([heartbeat]).map(|message| message.to_string()).collect()
    }
}
