//! Luno's tickers, played: one answer a connection.

use std::time::Duration;

use orion_server::sources::Source;
use orion_server::sources::luno::Luno;
use serde_json::{Value, json};

use super::contract::Provider;
use super::polls::{self, Asked};
use super::stage::{Act, Price, Stage};

pub(super) struct Played;

impl Provider for Played {
    const POLLED: bool = true;

    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        polls::play::<Self>(plan).await
    }

    fn source(stage: &Stage, _: &str, silence: Duration) -> impl Source + 'static {
        let luno = Luno { url: format!("http://{}", stage.addr) };
        polls::source(luno, &["EURUSD", "USDJPY", "XAUUSD"], silence)
    }
}

impl Asked for Played {
    fn admits(head: &str) -> bool {
        assert!(head.starts_with("GET /api/1/tickers?pair=EURUSD&pair=USDJPY&pair=XAUUSD HTTP/1.1\r\n"), "{head}");
        true
    }

    fn answer(price: Option<Price>) -> Value {
        let ticker = |Price { symbol, bid, ask, at }| {
            json!({
                "pair": symbol, "timestamp": at, "bid": format!("{bid:.8}"), "ask": format!("{ask:.8}"),
                "last_trade": format!("{bid:.8}"), "rolling_24_hour_volume": "519.677128", "status": "ACTIVE"
            })
        };
        json!({"tickers": price.map(ticker).into_iter().collect::<Vec<Value>>()})
    }
}
