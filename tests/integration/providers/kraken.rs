//! Kraken's WebSocket, played.

use std::time::Duration;

use orion_server::sources::Source;
use orion_server::sources::kraken::Kraken;
use orion_server::telemetry::SourceState;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::Request;

use super::Rig;
use super::contract::{Provider, assert_told, price};
use super::stage::{Act, Price, Stage};
use super::streams::{self, Socket, Spoken, heard, say};

pub(super) struct Played;

const NAMES: [&str; 3] = ["EUR/USD", "USD/JPY", "XAU/USD"];

fn kraken(stage: &Stage) -> Kraken {
    Kraken { url: format!("ws://{}/v2", stage.addr) }
}

impl Provider for Played {
    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        streams::play::<Self>(plan).await
    }

    fn source(stage: &Stage, _: &str, silence: Duration) -> impl Source + 'static {
        streams::source(kraken(stage), &NAMES, silence)
    }
}

fn acknowledged(name: &str) -> Value {
    let result = json!({"channel": "ticker", "event_trigger": "bbo", "snapshot": true, "symbol": name});
    json!({"method": "subscribe", "result": result, "success": true, "time_in": "-", "time_out": "-"})
}

impl Spoken for Played {
    fn admits(request: &Request) -> Result<(), u16> {
        assert_eq!(request.uri().path(), "/v2");
        Ok(())
    }

    async fn greet(socket: &mut Socket) -> Option<()> {
        say(socket, json!({"channel": "status", "data": [{"system": "online"}], "type": "update"})).await?;
        let asked = heard(socket).await?;
        let params = json!({"channel": "ticker", "symbol": NAMES, "event_trigger": "bbo", "snapshot": true});
        assert_eq!(asked, json!({"method": "subscribe", "params": params}));
        for name in NAMES {
            say(socket, acknowledged(name)).await?;
        }
        say(socket, json!({"channel": "heartbeat"})).await
    }

    fn message(prices: &[Price]) -> String {
        let item = |price: &Price| {
            let time = chrono::DateTime::from_timestamp_millis(price.at).unwrap().to_rfc3339();
            let name = format!("{}/{}", &price.symbol[..3], &price.symbol[3..]);
            json!({"symbol": name, "bid": price.bid, "bid_qty": 1.0, "ask": price.ask, "timestamp": time})
        };
        let items: Vec<Value> = prices.iter().map(item).collect();
        json!({"channel": "ticker", "type": "update", "data": items}).to_string()
    }
}

/// Speaks as Kraken does, but knows some pairs only.
struct Knows<const GOLD: bool>;

impl<const GOLD: bool> Spoken for Knows<GOLD> {
    fn admits(_: &Request) -> Result<(), u16> {
        Ok(())
    }

    async fn greet(socket: &mut Socket) -> Option<()> {
        heard(socket).await?;
        for name in NAMES {
            let error = format!("Currency pair not supported {name}");
            let refusal = json!({"error": error, "method": "subscribe", "success": false, "symbol": name});
            say(socket, if GOLD && name == "XAU/USD" { acknowledged(name) } else { refusal }).await?;
        }
        Some(())
    }

    fn message(prices: &[Price]) -> String {
        Played::message(prices)
    }
}

#[tokio::test]
async fn a_rejected_pair_does_not_affect_others() {
    let stage = streams::play::<Knows<true>>(vec![vec![Act::Price(price(1))]]).await;
    let mut rig = Rig::run(Played::source(&stage, "", Duration::from_secs(30)));
    assert_told(&rig.tick().await, price(1));
    rig.end().await;
    assert_eq!(stage.came(), 1);
}

#[tokio::test]
async fn a_provider_without_the_pairs_is_not_retried() {
    let stage = streams::play::<Knows<false>>(Vec::new()).await;
    let rig = Rig::run(Played::source(&stage, "", Duration::from_secs(30)));
    rig.until(SourceState::Refused).await;
    rig.end().await;
    assert_eq!(stage.came(), 1);
}

/// Speaks to nobody: from where this server is, it must not.
struct Elsewhere;

impl Spoken for Elsewhere {
    fn admits(_: &Request) -> Result<(), u16> {
        Err(451)
    }

    async fn greet(_: &mut Socket) -> Option<()> {
        None
    }

    fn message(_: &[Price]) -> String {
        String::new()
    }
}

#[tokio::test]
async fn a_blocked_country_is_not_retried() {
    let stage = streams::play::<Elsewhere>(Vec::new()).await;
    let rig = Rig::run(Played::source(&stage, "", Duration::from_secs(30)));
    rig.until(SourceState::Refused).await;
    rig.end().await;
    assert_eq!(stage.came(), 1);
}
