//! OANDA's pricing stream, played.

use std::time::Duration;

use chrono::DateTime;
use orion_server::config::Secret;
use orion_server::domain::{Feed, parse_time};
use orion_server::sources::Source;
use orion_server::sources::oanda::{Oanda, Options};
use orion_server::telemetry::SourceState;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Rig;
use super::contract::{Provider, contract, price};
use super::stage::{Act, Price, Stage, head};

const ACCOUNT: &str = "101-001-1234567-001";
/// The real one sends every 5 s.
const HEARTBEAT: Duration = Duration::from_millis(50);
const GARBAGE: &str = "\r\n<html>502</html>\nnull\n{\"type\":\"PRICE\"}\n{\"errorMessage\":\"?\"}\n\u{0}\u{1}\n{\"type\":\"PRICE\",\"time\":\"2026-01-26T12:34:56Z\",\"instrument\":\"EUR_USD\",\"bids\":[{\"price\":\"NaN\"}],\"asks\":[{\"price\":\"1\"}]}\n{\"type\":\"SOMETHING_NEW\"}\n";

pub(super) struct Played;

contract!(Played);

impl Provider for Played {
    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        Stage::open(plan, serve).await
    }

    fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static {
        Oanda::new(options(stage, key, silence), &super::catalogue(), super::wall()).unwrap()
    }
}

fn options(stage: &Stage, key: &str, silence: Duration) -> Options {
    Options {
        url: format!("http://{}", stage.addr),
        token: Secret::new(key),
        account: ACCOUNT.into(),
        instruments: ["EUR_USD", "USD_JPY", "XAU_USD", "AUD_USD"].map(str::to_owned).to_vec(),
        silence,
    }
}

/// A source that is mute after 200 ms, at this time of the wall clock.
fn impatient(stage: &Stage, now: &'static str) -> Oanda {
    let wall = std::sync::Arc::new(move || parse_time(now).unwrap());
    let options = options(stage, super::KEY, Duration::from_secs(60));
    let source = Oanda::new(options, &super::catalogue(), wall).unwrap();
    source.with_mute_after(Duration::from_millis(200), Duration::from_secs(60))
}

/// Case 50: heartbeats alone are no prices in London hours; on a weekend nothing else is to be expected.
#[tokio::test]
async fn heartbeats_without_prices_are_mute_in_market_hours() {
    let plan = || vec![vec![Act::Price(price(0))]];
    let (open, closed) = (Played::play(plan()).await, Played::play(plan()).await);
    let mut closed_rig = Rig::run(impatient(&closed, "2026-01-17T10:00:00Z"));
    let mut open_rig = Rig::run(impatient(&open, "2026-01-14T10:00:00Z"));
    open_rig.tick().await;
    closed_rig.tick().await;
    open_rig.until(SourceState::Stalled).await;
    assert_eq!((closed_rig.state(), closed.came()), (SourceState::Live, 1));
    assert_eq!(open.came(), 1, "mute is not lost");
    open_rig.end().await;
    closed_rig.end().await;
}

/// Case 50: when OANDA itself says that nothing can be traded, nothing is missed, whatever the timetable says.
#[tokio::test]
async fn what_oanda_has_closed_is_not_missed() {
    let untradeable = |name: &str| {
        format!(
            "{{\"type\":\"PRICE\",\"time\":\"2026-01-16T21:59:58.692522548Z\",\"bids\":[{{\"price\":\"1.18571\"}}],\
             \"asks\":[{{\"price\":\"1.18671\"}}],\"status\":\"non-tradeable\",\"tradeable\":false,\"instrument\":\"{name}\"}}\n"
        )
    };
    let lines: String = ["EUR_USD", "USD_JPY", "XAU_USD"].map(untradeable).concat();
    let stage = Stage::open(Vec::new(), move |mut stream, _| {
        let lines = lines.clone();
        async move {
            head(&mut stream).await;
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.ok();
            chunk(&mut stream, &lines).await;
            perform(&mut stream, Vec::new()).await;
        }
    })
    .await;
    let mut rig = Rig::run(impatient(&stage, "2026-01-14T10:00:00Z"));
    for tick in rig.ticks(3).await {
        assert_eq!(tick.feed, Feed::Indicative);
    }
    // Longer than it takes to be mute.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!((rig.state(), stage.came()), (SourceState::Live, 1));
    rig.end().await;
}

async fn serve(mut stream: TcpStream, acts: Vec<Act>) {
    let head = head(&mut stream).await;
    let wanted = format!(
        "GET /v3/accounts/{ACCOUNT}/pricing/stream?instruments=EUR_USD%2CUSD_JPY%2CXAU_USD&snapshot=true HTTP/1.1\r\n"
    );
    assert!(head.starts_with(&wanted), "{head}");
    assert!(head.contains("accept-datetime-format: RFC3339\r\n"), "{head}");
    if !head.contains(&format!("authorization: Bearer {}\r\n", super::KEY)) {
        let body = r#"{"errorMessage":"Insufficient authorization to perform request."}"#;
        return answer(&mut stream, "401 Unauthorized", "", body).await;
    }
    match acts.first() {
        Some(Act::TooMany) => {
            let body = r#"{"errorMessage":"Too many connections"}"#;
            return answer(&mut stream, "429 Too Many Requests", "Retry-After: 0\r\n", body).await;
        }
        Some(Act::Unavailable) => {
            return answer(&mut stream, "503 Service Unavailable", "", "<html>maintenance</html>").await;
        }
        _ => {}
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    perform(&mut stream, acts).await;
}

async fn perform(stream: &mut TcpStream, acts: Vec<Act>) {
    for act in acts {
        let said = match act {
            Act::Price(price) => chunk(stream, &line(price)).await,
            Act::Garbage => chunk(stream, GARBAGE).await,
            Act::Mute => std::future::pending().await,
            Act::Cut => return,
            Act::Close => {
                stream.write_all(b"0\r\n\r\n").await.ok();
                return;
            }
            Act::TooMany | Act::Unavailable => unreachable!("only at the beginning"),
        };
        if !said {
            return;
        }
    }
    let heartbeat = "{\"type\":\"HEARTBEAT\",\"time\":\"2026-01-26T12:34:56.912345678Z\"}\n";
    while chunk(stream, heartbeat).await {
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// A line of the stream, each in two chunks: nobody promises that they end together.
async fn chunk(stream: &mut TcpStream, text: &str) -> bool {
    let (begin, rest) = text.split_at(text.len() / 2);
    let bytes = format!("{:x}\r\n{begin}\r\n{:x}\r\n{rest}\r\n", begin.len(), rest.len());
    stream.write_all(bytes.as_bytes()).await.is_ok()
}

fn line(price: Price) -> String {
    let Price { symbol, bid, ask, at } = price;
    let name = format!("{}_{}", &symbol[..3], &symbol[3..]);
    // OANDA sends nanoseconds.
    let time = DateTime::from_timestamp_millis(at).unwrap().format("%Y-%m-%dT%H:%M:%S%.3f456789Z");
    format!(
        "{{\"type\":\"PRICE\",\"time\":\"{time}\",\"bids\":[{{\"price\":\"{bid:.5}\",\"liquidity\":10000000}}],\
         \"asks\":[{{\"price\":\"{ask:.5}\",\"liquidity\":10000000}}],\"closeoutBid\":\"{bid:.5}\",\"closeoutAsk\":\"{ask:.5}\",\
         \"status\":\"tradeable\",\"tradeable\":true,\"instrument\":\"{name}\"}}\n"
    )
}

async fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.ok();
}
