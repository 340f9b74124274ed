//! Alpha Vantage's REST service, played: one answer a connection.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use orion_server::config::Secret;
use orion_server::domain::Feed;
use orion_server::sources::Source;
use orion_server::sources::alpha_vantage::{AlphaVantage, Options};
use orion_server::telemetry::SourceState;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Rig;
use super::contract::{Provider, assert_told, contract, price};
use super::stage::{Act, Price, Stage, head};
use crate::support::soon;

pub(super) struct Played;

contract!(Played,
    survives_garbage
    comes_back_from_silence
    comes_back_from_every_loss
    a_refused_key_is_not_tried_again
    waits_and_comes_back_when_it_asked_too_much
    comes_back_after_an_outage
);

impl Provider for Played {
    const POLLED: bool = true;

    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        // Whatever connection an act belongs to: each is an answer.
        let acts: VecDeque<Act> = plan.into_iter().flatten().collect();
        let acts = Arc::new(Mutex::new(acts));
        Stage::open(Vec::new(), move |stream, _| {
            let act = acts.lock().pop_front();
            serve(stream, act)
        })
        .await
    }

    fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(stage, key, folder.path());
        options.response_timeout = silence / 2;
        Kept(AlphaVantage::new(options, &super::catalogue(), super::wall()).unwrap(), folder)
    }
}

/// A source and the folder that it writes to.
struct Kept(AlphaVantage, #[expect(dead_code, reason = "removed when it is dropped")] tempfile::TempDir);

impl Source for Kept {
    fn name(&self) -> orion_server::domain::SourceName {
        self.0.name()
    }

    fn feed(&self) -> Feed {
        self.0.feed()
    }

    async fn run(
        &mut self,
        out: &orion_server::sources::SourceHandle,
    ) -> Result<orion_server::sources::Finished, orion_server::sources::SourceError> {
        self.0.run(out).await
    }
}

fn options(stage: &Stage, key: &str, folder: &Path) -> Options {
    Options {
        url: format!("http://{}", stage.addr),
        key: Secret::new(key),
        instruments: vec!["EURUSD".into()],
        // Spread over the day they are a millisecond apart.
        daily: 86_400_000,
        file: folder.join(Options::FILE),
        gap: Duration::ZERO,
        pause: Duration::from_millis(5),
        response_timeout: Options::RESPONSE_TIMEOUT,
    }
}

/// The provider's words for everything that it counts; some of them repeat the key.
fn busy() -> Value {
    json!({"Information": format!("{}: please consider spreading out your requests more sparingly", super::KEY)})
}

async fn serve(mut stream: TcpStream, act: Option<Act>) {
    let head = head(&mut stream).await;
    let (_, query) = head.split_once("/query?function=CURRENCY_EXCHANGE_RATE&from_currency=").unwrap();
    let (pair, rest) = query.split_once("&apikey=").unwrap();
    let (from, to) = pair.split_once("&to_currency=").unwrap();
    let key = rest.split_once(' ').unwrap().0;
    if key != super::KEY {
        let text = format!("the parameter apikey is invalid or missing ({key})");
        return answer(&mut stream, "200 OK", &json!({"Error Message": text}).to_string()).await;
    }
    match act {
        Some(Act::Price(price)) => {
            assert_eq!(format!("{from}{to}"), price.symbol);
            answer(&mut stream, "200 OK", &rate(price).to_string()).await;
        }
        Some(Act::Garbage) => answer(&mut stream, "200 OK", &format!("<html>{key}</html>")).await,
        Some(Act::Mute) => std::future::pending().await,
        Some(Act::Cut) => {}
        Some(Act::Close) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{").await.ok();
        }
        Some(Act::Unavailable) => answer(&mut stream, "503 Service Unavailable", "").await,
        Some(Act::TooMany) | None => answer(&mut stream, "200 OK", &busy().to_string()).await,
    }
}

fn rate(price: Price) -> Value {
    let Price { symbol, bid, ask, at } = price;
    // The real one has seconds; the parser reads what there is.
    let refreshed = DateTime::from_timestamp_millis(at).unwrap().format("%Y-%m-%d %H:%M:%S%.3f").to_string();
    json!({"Realtime Currency Exchange Rate": {
        "1. From_Currency Code": symbol[..3], "2. From_Currency Name": "-", "3. To_Currency Code": symbol[3..],
        "4. To_Currency Name": "-", "5. Exchange Rate": format!("{bid:.8}"), "6. Last Refreshed": refreshed,
        "7. Time Zone": "UTC", "8. Bid Price": format!("{bid:.8}"), "9. Ask Price": format!("{ask:.8}"),
    }})
}

async fn answer(stream: &mut TcpStream, status: &str, body: &str) {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.ok();
}

/// What it was asked for, one after the other.
async fn asked_in_turn(instruments: &[&str], daily: u32, folder: &Path) -> (Stage, Rig) {
    let stage = Stage::open(Vec::new(), async |mut stream: TcpStream, _| {
        let head = head(&mut stream).await;
        let number = ["EUR", "XAU", "USD"].iter().position(|from| head.contains(&format!("from_currency={from}")));
        let body = match number {
            Some(number) => rate(price(number as i64)).to_string(),
            None => json!({"Error Message": "Invalid API call."}).to_string(),
        };
        answer(&mut stream, "200 OK", &body).await;
    })
    .await;
    let mut options = options(&stage, super::KEY, folder);
    options.instruments = instruments.iter().map(ToString::to_string).collect();
    options.daily = daily;
    let rig = Rig::run(AlphaVantage::new(options, &super::catalogue(), super::wall()).unwrap());
    (stage, rig)
}

#[tokio::test]
async fn instruments_take_turns_without_those_not_offered() {
    let folder = tempfile::tempdir().unwrap();
    let (_stage, mut rig) = asked_in_turn(&["EURUSD", "GBPUSD", "XAUUSD", "USDJPY"], 86_400_000, folder.path()).await;
    for number in 0..3 {
        let tick = rig.tick().await;
        assert_told(&tick, price(number));
        assert_eq!(tick.feed, Feed::Delayed, "hours old is not live");
    }
    rig.until(SourceState::Delayed).await;
    rig.end().await;
}

#[tokio::test]
async fn a_spent_budget_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = ["EURUSD", "XAUUSD", "USDJPY"];
    let (stage, mut rig) = asked_in_turn(&pairs, 2, folder.path()).await;
    for number in 0..2 {
        assert_told(&rig.tick().await, price(number));
    }
    soon("nothing is left", async {
        while rig.metrics.source_budget.with_label_values(&["alpha_vantage"]).get() != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    rig.end().await;
    assert_eq!(stage.came(), 2);

    let (stage, rig) = asked_in_turn(&pairs, 2, folder.path()).await;
    let budget = rig.metrics.source_budget.with_label_values(&["alpha_vantage"]);
    budget.set(-1);
    soon("it has looked into its file", async {
        while budget.get() == -1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((budget.get(), stage.came()), (0, 0));
    rig.end().await;
    assert_eq!(stage.came(), 0);
}
