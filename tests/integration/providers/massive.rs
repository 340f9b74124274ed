//! Massive's WebSocket, played.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use orion_server::config::Secret;
use orion_server::domain::{Feed, Quote};
use orion_server::sources::massive::{Cluster, Massive, Options};
use orion_server::sources::{SocketTimeouts, Source};
use orion_server::telemetry::SourceState;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::Rig;
use super::contract::{Provider, assert_told, contract, price};
use super::stage::{Act, Price, Stage, head};
use crate::support::soon;

pub(super) type Socket = WebSocketStream<TcpStream>;

pub(super) struct Played;

contract!(Played);

impl Provider for Played {
    async fn play(plan: Vec<Vec<Act>>) -> Stage {
        Stage::open(plan, serve).await
    }

    fn source(stage: &Stage, key: &str, silence: Duration) -> impl Source + 'static {
        let mut options = options(stage, key);
        options.timeouts = SocketTimeouts { ping_after: silence / 2, silence: silence / 2 };
        Massive::new(options, &super::catalogue(), super::wall()).unwrap()
    }
}

fn options(stage: &Stage, key: &str) -> Options {
    let mut options = Options::new(format!("ws://{}", stage.addr), Cluster::Forex, Secret::new(key));
    options.instruments = ["C:EURUSD", "C:USDJPY", "C:XAUUSD", "C:AUDUSD"].map(str::to_owned).to_vec();
    options
}

pub(super) fn status(status: &str, message: &str) -> Value {
    json!({"ev": "status", "status": status, "message": message})
}

/// Sends one frame; whether the client is still there.
pub(super) async fn say(socket: &mut Socket, elements: Vec<Value>) -> bool {
    socket.send(Message::text(Value::Array(elements).to_string())).await.is_ok()
}

pub(super) async fn heard(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the form that the library wants")]
fn check(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    assert!(["/forex", "/indices"].contains(&request.uri().path()), "{}", request.uri());
    assert_eq!(request.uri().query(), None, "the key goes into a frame");
    Ok(response)
}

/// The handshake; `None` when it ended there.
async fn greet(stream: TcpStream) -> Option<Socket> {
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await.ok()?;
    say(&mut socket, vec![status("connected", "Connected Successfully")]).await;
    let auth = heard(&mut socket).await?;
    assert_eq!(auth["action"], "auth");
    if auth["params"] != super::KEY {
        say(&mut socket, vec![status("auth_failed", &format!("authentication failed for {}", auth["params"]))]).await;
        // It closes the connection; whoever stays gets nothing.
        return None;
    }
    say(&mut socket, vec![status("auth_success", "authenticated")]).await;
    Some(socket)
}

async fn serve(mut stream: TcpStream, acts: Vec<Act>) {
    let refusal = match acts.first() {
        Some(Act::TooMany) => "429 Too Many Requests\r\nRetry-After: 0",
        Some(Act::Unavailable) => "503 Service Unavailable",
        _ => "",
    };
    if !refusal.is_empty() {
        let answer = format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.ok();
        return;
    }
    let Some(mut socket) = greet(stream).await else { return };
    for channel in ["C.EUR/USD", "C.USD/JPY", "C.XAU/USD"] {
        let Some(asked) = heard(&mut socket).await else { return };
        assert_eq!(asked, json!({"action": "subscribe", "params": channel}), "one at a time");
        say(&mut socket, vec![status("success", &format!("subscribed to: {channel}"))]).await;
    }
    perform(&mut socket, acts).await;
}

async fn perform(socket: &mut Socket, acts: Vec<Act>) {
    let mut frame = Vec::new();
    for act in acts {
        match act {
            // Frames mix events: two prices each, where two follow each other.
            Act::Price(price) => {
                frame.push(quote(price));
                if frame.len() < 2 {
                    continue;
                }
            }
            Act::Garbage => {
                say(socket, std::mem::take(&mut frame)).await;
                for text in ["", "{}", "null", "[", "[5,{}]", "[{\"ev\":\"C\"}]", "[{\"ev\":\"XYZ\"}]"] {
                    socket.send(Message::text(text)).await.ok();
                }
                socket.send(Message::binary(vec![0, 1, 2])).await.ok();
                frame.extend([json!({"ev": "C", "p": "EUR/USD", "a": "1.2", "b": 1.1, "t": 1}), json!(null)]);
                continue;
            }
            Act::Mute => {
                say(socket, std::mem::take(&mut frame)).await;
                return std::future::pending().await;
            }
            Act::Cut => {
                say(socket, std::mem::take(&mut frame)).await;
                return;
            }
            Act::Close => {
                say(socket, std::mem::take(&mut frame)).await;
                socket.close(None).await.ok();
                return;
            }
            Act::TooMany | Act::Unavailable => unreachable!("only at the beginning"),
        }
        if !say(socket, std::mem::take(&mut frame)).await {
            return;
        }
    }
    say(socket, frame).await;
    // Pings are answered by reading.
    while heard(socket).await.is_some() {}
}

pub(super) fn quote(price: Price) -> Value {
    let Price { symbol, bid, ask, at } = price;
    let pair = format!("{}/{}", &symbol[..3], &symbol[3..]);
    json!({"ev": "C", "p": pair, "x": "44", "a": ask, "b": bid, "t": at})
}

/// A provider that goes its own way after the greeting.
pub(super) async fn special<F>(then: impl Fn(Socket) -> F + Clone + Send + Sync + 'static) -> Stage
where
    F: Future<Output = ()> + Send + 'static,
{
    Stage::open(Vec::new(), move |stream, _| {
        let then = then.clone();
        async move {
            if let Some(socket) = greet(stream).await {
                then(socket).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_lost_to_another_program_stays_lost() {
    let stage = special(async |mut socket: Socket| {
        heard(&mut socket).await;
        let limit = "Maximum number of websocket connections exceeded.";
        say(&mut socket, vec![status("max_connections", limit)]).await;
    })
    .await;
    let rig = Rig::run(Massive::new(options(&stage, super::KEY), &super::catalogue(), super::wall()).unwrap());
    rig.until(SourceState::Refused).await;
    rig.end().await;
    assert_eq!(stage.came(), 1);
}

#[tokio::test]
async fn a_plan_gives_the_instruments_it_includes() {
    let stage = special(async |mut socket: Socket| {
        // Unknown channels get no answer, forbidden ones one that names nothing.
        heard(&mut socket).await;
        heard(&mut socket).await;
        say(&mut socket, vec![status("error", "not authorized")]).await;
        assert_eq!(heard(&mut socket).await.unwrap()["params"], "C.XAU/USD");
        let gold = price(1);
        say(&mut socket, vec![status("success", "subscribed to: C.XAU/USD"), quote(gold)]).await;
        while heard(&mut socket).await.is_some() {}
    })
    .await;
    let mut options = options(&stage, super::KEY);
    // Longer than the answer to the second takes on a busy machine: a late one would be taken for the third's.
    options.confirm = Duration::from_secs(2);
    let mut rig = Rig::run(Massive::new(options, &super::catalogue(), super::wall()).unwrap());
    assert_told(&rig.tick().await, price(1));
    rig.end().await;
}

#[tokio::test]
async fn a_plan_without_instruments_is_not_retried() {
    let stage = special(async |mut socket: Socket| {
        while heard(&mut socket).await.is_some() {
            say(&mut socket, vec![status("error", "not authorized")]).await;
        }
    })
    .await;
    let rig = Rig::run(Massive::new(options(&stage, super::KEY), &super::catalogue(), super::wall()).unwrap());
    rig.until(SourceState::Refused).await;
    rig.end().await;
    assert_eq!(stage.came(), 1);
}

#[tokio::test]
async fn late_prices_are_marked_and_indices_separate() {
    let stage = special(async |mut socket: Socket| {
        assert_eq!(heard(&mut socket).await.unwrap()["params"], "V.I:SPX");
        let value = json!({"ev": "V", "val": 5800.25, "T": "I:SPX", "t": 1_769_430_896_789_i64});
        say(&mut socket, vec![status("success", "subscribed to: V.I:SPX"), value]).await;
        while heard(&mut socket).await.is_some() {}
    })
    .await;
    let mut options = Options::new(format!("ws://{}", stage.addr), Cluster::Indices, Secret::new(super::KEY));
    (options.instruments, options.delayed) = (vec!["I:SPX".into()], true);
    let mut rig = Rig::run(Massive::new(options, &super::catalogue(), super::wall()).unwrap());
    let tick = rig.tick().await;
    assert_eq!((tick.symbol.as_str(), tick.quote, tick.feed), ("SPX500", Quote::Last(5800.25), Feed::Delayed));
    assert_eq!(rig.state(), SourceState::Delayed);
    rig.end().await;
}

/// Connected, pings answered, nothing comes: mute in trading hours, and in order on a Saturday.
#[tokio::test]
async fn a_mute_connection_matters_in_trading_hours_only() {
    let mute = async |mut socket: Socket| while heard(&mut socket).await.is_some() {};
    let thursday = || orion_server::domain::parse_time("2026-01-15T15:00:00Z").unwrap();
    let saturday = || orion_server::domain::parse_time("2026-01-17T15:00:00Z").unwrap();
    let source = |stage: &Stage, quiet, now: fn() -> _| {
        let mut options = options(stage, super::KEY);
        (options.quiet, options.confirm) = (Duration::from_millis(quiet), Duration::from_millis(10));
        Massive::new(options, &super::catalogue(), std::sync::Arc::new(now)).unwrap()
    };
    let (open, closed) = (special(mute).await, special(mute).await);
    let closed_rig = Rig::run(source(&closed, 20, saturday));
    let open_rig = Rig::run(source(&open, 100, thursday));
    closed_rig.until(SourceState::Live).await;
    open_rig.until(SourceState::Stalled).await;
    soon("another attempt", open.until(2)).await;
    assert_eq!((closed.came(), closed_rig.state()), (1, SourceState::Live));
    open_rig.end().await;
    closed_rig.end().await;
}

/// Case 51: other wordings of success, answers and prices in one frame, each judged by itself.
#[tokio::test]
async fn success_is_understood_in_both_wordings() {
    let stage = Stage::open(Vec::new(), |stream, _| async move {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        say(&mut socket, vec![status("connected", "Connected Successfully")]).await;
        assert_eq!(heard(&mut socket).await.unwrap()["action"], "auth");
        let elements =
            vec![status("success", "authenticated"), status("success", "subscribed to: C.AUD/USD"), quote(price(0))];
        say(&mut socket, elements).await;
        assert_eq!(heard(&mut socket).await.unwrap()["params"], "C.EUR/USD");
        say(&mut socket, vec![status("error", "not authorized"), quote(price(3))]).await;
        while heard(&mut socket).await.is_some() {}
    })
    .await;
    let mut rig = Rig::run(Massive::new(options(&stage, super::KEY), &super::catalogue(), super::wall()).unwrap());
    assert_told(&rig.tick().await, price(0));
    assert_told(&rig.tick().await, price(3));
    assert_eq!((rig.state(), stage.came()), (SourceState::Live, 1));
    rig.end().await;
}

/// Case 51: a delayed plan is refused on the other address in the words of a wrong key.
#[tokio::test]
async fn a_refused_key_names_the_delayed_plan_first() {
    for (delayed, hint) in [(false, "ORION_MASSIVE_DELAYED=true"), (true, "leave ORION_MASSIVE_DELAYED out")] {
        let stage = Played::play(Vec::new()).await;
        let mut options = options(&stage, super::WRONG_KEY);
        options.delayed = delayed;
        let rig = Rig::run(Massive::new(options, &super::catalogue(), super::wall()).unwrap());
        rig.until(SourceState::Refused).await;
        rig.end().await;
        let logged = String::from_utf8_lossy(&super::logged().0.lock()).into_owned();
        let said = logged.lines().find(|line| line.contains("the key is not accepted") && line.contains(hint));
        let said = said.unwrap_or_else(|| panic!("no refusal names the plan: {hint}"));
        assert!(said.find(hint) < said.find("ORION_MASSIVE_KEY"), "{said}");
    }
}
