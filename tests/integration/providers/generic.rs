//! Two made-up providers, which the source `generic` knows by its settings only.

use std::time::Duration;

use orion_server::config::Secret;
use orion_server::domain::Quote;
use orion_server::sources::Source;
use orion_server::sources::generic::{Generic, GenericSettings};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::Request;

use super::contract::Provider;
use super::polls::{self, Asked};
use super::stage::{Act, Price, Stage};
use super::streams::{self, Socket, Spoken, heard, rfc3339, say};

#[expect(clippy::unnecessary_wraps, reason = "the form of the settings")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A WebSocket with names of its own, lists of quotes, times in microseconds, and the key in a message.
pub(super) struct Streamed;

const NAMES: [&str; 3] = ["t:eur=EURUSD", "t:jpy=USDJPY", "t:xau=XAUUSD"];

fn own_name(symbol: &str) -> &str {
    let name = NAMES.iter().find(|name| name.ends_with(symbol)).unwrap();
    name.split_once('=').unwrap().0
}

impl Provider for Streamed {
    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        streams::play::<Self>(plan).await
    }

    fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static {
        let settings = GenericSettings {
            url: Some(Secret::new(format!("ws://{}/feed", stage.addr))),
            key: Some(Secret::new(key)),
            headers: Some(Secret::new("X-Client: {key}")),
            subscribe: text("{\"login\":\"{key}\"}\n{\"want\":{symbols_json}}"),
            keep_alive: text("{\"op\":\"ping\"}"),
            items: text("/quotes"),
            symbol: text("/name"),
            bid: text("/book/0"),
            ask: text("/book/1"),
            time: text("/us"),
            ..GenericSettings::default()
        };
        streams::source(Generic::<0>(settings), &NAMES, silence)
    }
}

impl Spoken for Streamed {
    fn admits(request: &Request) -> Result<(), u16> {
        assert_eq!(request.uri().path(), "/feed");
        if request.headers()["x-client"] == super::KEY { Ok(()) } else { Err(403) }
    }

    async fn greet(socket: &mut Socket) -> Option<()> {
        assert_eq!(heard(socket).await?, json!({"login": super::KEY}));
        assert_eq!(heard(socket).await?, json!({"want": ["t:eur", "t:jpy", "t:xau"]}));
        say(socket, json!({"welcome": true})).await
    }

    fn messages(prices: &[Price]) -> Vec<String> {
        let quote = |price: &Price| json!({"name": own_name(price.symbol), "book": [price.bid, price.ask.to_string()], "us": price.at * 1000});
        let quotes: Vec<Value> = prices.iter().map(quote).chain([json!({"name": "t:chf"})]).collect();
        vec![json!({"quotes": quotes}).to_string()]
    }
}

/// A page that is asked, with an object of last prices by symbol and one time for all.
pub(super) struct Polled;

impl Provider for Polled {
    const POLLED: bool = true;

    fn told(price: Price) -> (Quote, i64) {
        (Quote::Last(price.bid), price.at)
    }

    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        polls::play::<Self>(plan).await
    }

    fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static {
        let settings = GenericSettings {
            url: Some(Secret::new(format!("http://{}/rates?of={{symbols}}&key={{key}}", stage.addr))),
            key: Some(Secret::new(key)),
            items: text("/rates"),
            symbol: text("@key"),
            price: text("/last"),
            time: text("/at"),
            ..GenericSettings::default()
        };
        polls::source(Generic::<0>(settings), &["EURUSD", "USDJPY", "XAUUSD"], silence)
    }
}

impl Asked for Polled {
    fn admits(head: &str) -> bool {
        let (target, _) =
            head.strip_prefix("GET /rates?of=EURUSD,USDJPY,XAUUSD&key=").unwrap().split_once(' ').unwrap();
        target == super::KEY
    }

    fn answer(price: Option<Price>) -> Value {
        let Some(price) = price else { return json!({"rates": {}}) };
        json!({"at": rfc3339(&price), "rates": {price.symbol: {"last": price.bid.to_string()}, "CHFJPY": {"last": 1}}})
    }
}
