//! Binance's WebSocket, played.

use std::time::Duration;

use orion_server::sources::Source;
use orion_server::sources::binance::Binance;
use orion_server::telemetry::SourceState;
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::server::Request;

use super::Rig;
use super::contract::Provider;
use super::stage::{Act, Price, Stage};
use super::streams::{self, Socket, Spoken};

pub(super) struct Played;

const NAMES: [&str; 3] = ["EURUSD", "USDJPY", "XAUUSD"];

fn source(stage: &Stage, silence: Duration) -> impl Source + 'static {
    streams::source(Binance { url: format!("ws://{}", stage.addr) }, &NAMES, silence)
}

impl Provider for Played {
    const TIMED: bool = false;

    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        streams::play::<Self>(plan).await
    }

    fn source(stage: &Stage, _: &str, silence: Duration) -> impl Source + 'static {
        source(stage, silence)
    }
}

impl Spoken for Played {
    fn admits(request: &Request) -> Result<(), u16> {
        let streams = "/stream?streams=eurusd@bookTicker/usdjpy@bookTicker/xauusd@bookTicker";
        assert_eq!(request.uri().path_and_query().unwrap(), streams);
        Ok(())
    }

    async fn greet(_: &mut Socket) -> Option<()> {
        Some(())
    }

    /// One price a message.
    fn messages(prices: &[Price]) -> Vec<String> {
        let message = |Price { symbol, bid, ask, .. }: &Price| {
            let book =
                json!({"u": 1, "s": symbol, "b": format!("{bid:.8}"), "B": "1", "a": format!("{ask:.8}"), "A": "2"});
            json!({"stream": format!("{}@bookTicker", symbol.to_lowercase()), "data": book}).to_string()
        };
        prices.iter().map(message).collect()
    }
}

/// binance.com, as it speaks to a country that it does not serve.
struct Blocked;

impl Spoken for Blocked {
    fn admits(_: &Request) -> Result<(), u16> {
        Err(451)
    }

    async fn greet(_: &mut Socket) -> Option<()> {
        None
    }

    fn messages(_: &[Price]) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_blocked_country_is_told_of_the_other_venue() {
    let stage = streams::play::<Blocked>(Vec::new()).await;
    let rig = Rig::run(source(&stage, Duration::from_secs(30)));
    rig.until(SourceState::Refused).await;
    rig.end().await;
    assert_eq!(stage.came(), 1);
    let logged = String::from_utf8_lossy(&super::logged().0.lock()).into_owned();
    assert!(logged.lines().any(|line| line.contains("451") && line.contains("ORION_BINANCE_VENUE=us")), "no advice");
}
