//! Finnhub's WebSocket, played.

use std::time::Duration;

use orion_server::config::Secret;
use orion_server::domain::Quote;
use orion_server::sources::Source;
use orion_server::sources::finnhub::Finnhub;
use orion_server::telemetry::SourceState;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::Request;

use super::Rig;
use super::contract::Provider;
use super::stage::{Act, Price, Stage};
use super::streams::{self, Socket, Spoken, heard, pair, say};

pub(super) struct Played;

const NAMES: [&str; 3] = ["OANDA:EUR_USD", "OANDA:USD_JPY", "OANDA:XAU_USD"];

fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static {
    let finnhub = Finnhub { url: format!("ws://{}", stage.addr), key: Secret::new(key) };
    streams::source(finnhub, &NAMES, silence)
}

impl Provider for Played {
    fn told(price: Price) -> (Quote, i64) {
        (Quote::Last(price.bid), price.at)
    }

    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        streams::play::<Self>(plan).await
    }

    fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static {
        source(stage, key, silence)
    }
}

async fn subscribed(socket: &mut Socket) -> Option<()> {
    for name in NAMES {
        assert_eq!(heard(socket).await?, json!({"type": "subscribe", "symbol": name}));
    }
    Some(())
}

fn trades(prices: &[Price]) -> String {
    let trade = |price: &Price| json!({"c": null, "p": price.bid, "s": format!("OANDA:{}", pair(price, "_")), "t": price.at, "v": 0});
    json!({"data": prices.iter().map(trade).collect::<Vec<Value>>(), "type": "trade"}).to_string()
}

impl Spoken for Played {
    fn admits(request: &Request) -> Result<(), u16> {
        let key = request.uri().query().and_then(|query| query.strip_prefix("token="));
        if key == Some(super::KEY) { Ok(()) } else { Err(401) }
    }

    async fn greet(socket: &mut Socket) -> Option<()> {
        subscribed(socket).await?;
        say(socket, json!({"type": "ping"})).await
    }

    fn messages(prices: &[Price]) -> Vec<String> {
        vec![trades(prices)]
    }
}

/// Finnhub, when it says in a message that it does not accept the key.
struct Late;

impl Spoken for Late {
    fn admits(_: &Request) -> Result<(), u16> {
        Ok(())
    }

    async fn greet(socket: &mut Socket) -> Option<()> {
        subscribed(socket).await?;
        say(socket, json!({"type": "error", "msg": format!("Invalid API key {}", super::WRONG_KEY)})).await
    }

    fn messages(_: &[Price]) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_key_refused_in_a_message_is_not_tried_again() {
    let stage = streams::play::<Late>(Vec::new()).await;
    let rig = Rig::run(source(&stage, super::WRONG_KEY, Duration::from_secs(30)));
    rig.until(SourceState::Refused).await;
    rig.end().await;
    assert_eq!(stage.came(), 1);
}
