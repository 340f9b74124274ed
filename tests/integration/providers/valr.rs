//! VALR's WebSocket, played.

use std::time::Duration;

use orion_server::sources::Source;
use orion_server::sources::valr::Valr;
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::server::Request;

use super::contract::Provider;
use super::stage::{Act, Price, Stage};
use super::streams::{self, Socket, Spoken, heard, rfc3339, say};

pub(super) struct Played;

const NAMES: [&str; 3] = ["EURUSD", "USDJPY", "XAUUSD"];

impl Provider for Played {
    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        streams::play::<Self>(plan).await
    }

    fn source(stage: &Stage, _: &str, silence: Duration) -> impl Source + 'static {
        streams::source(Valr { url: format!("ws://{}/ws/trade", stage.addr) }, &NAMES, silence)
    }
}

impl Spoken for Played {
    fn admits(request: &Request) -> Result<(), u16> {
        assert_eq!(request.uri().path(), "/ws/trade");
        Ok(())
    }

    async fn greet(socket: &mut Socket) -> Option<()> {
        let asked = heard(socket).await?;
        let subscriptions = [json!({"event": "MARKET_SUMMARY_UPDATE", "pairs": NAMES})];
        assert_eq!(asked, json!({"type": "SUBSCRIBE", "subscriptions": subscriptions}));
        for name in NAMES {
            say(socket, json!({"type": "SUBSCRIBED", "message": format!("MARKET_SUMMARY_UPDATE:{name}")})).await?;
        }
        Some(())
    }

    /// One price a message.
    fn messages(prices: &[Price]) -> Vec<String> {
        let message = |price: &Price| {
            let summary = json!({
                "currencyPairSymbol": price.symbol, "askPrice": price.ask.to_string(),
                "bidPrice": price.bid.to_string(), "created": rfc3339(price)
            });
            json!({"type": "MARKET_SUMMARY_UPDATE", "currencyPairSymbol": price.symbol, "data": summary}).to_string()
        };
        prices.iter().map(message).collect()
    }
}
