#![allow(clippy::needless_pass_by_value, reason = "a body is written where it is used")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Quote, parse_time};
use crate::ingest::parse_signal;
use crate::pipeline::{Handle, SubmitError};
use crate::tasks::Tasks;

fn now() -> chrono::DateTime<chrono::Utc> {
    parse_time("2026-01-15T10:30:30Z").unwrap()
}

fn instruments() -> Arc<Instruments> {
    Arc::new(Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap())
}

fn read(body: impl ToString) -> Read {
    parse(body.to_string().as_bytes(), &instruments(), now()).unwrap()
}

fn signal(body: impl ToString) -> crate::ingest::PushedSignal {
    match read(body).alert {
        Alert::Signal(signal) => parse_signal(&signal, &instruments()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn price(body: impl ToString) -> Tick {
    match read(body).alert {
        Alert::Price(tick) => tick,
        other => panic!("{other:?}"),
    }
}

fn fault(body: impl ToString) -> String {
    parse(body.to_string().as_bytes(), &instruments(), now()).unwrap_err().to_string()
}

#[test]
fn every_documented_spelling_is_accepted() {
    let full = json!({"id": "a", "symbol": "OANDA:EURUSD", "direction": "long", "entry_price": "1.085", "stop_loss": 1.082,
        "take_profits": ["1.088", 1.092], "confidence": "85", "reason": "MSS", "time": "2026-01-15T10:30:00Z"});
    let long = signal(full).draft;
    assert_eq!(long.symbol.unwrap().as_str(), "EURUSD");
    assert_eq!((long.entry_price, long.stop_loss), (Some(1.085), Some(1.082)));
    assert_eq!((long.take_profits, long.confidence), (Some(vec![1.088, 1.092]), Some(0.85)));
    assert_eq!(long.entry_time.map(iso).as_deref(), Some("2026-01-15T10:30:00.000Z"));
    for (body, targets) in [
        (json!({"ticker": "EURUSD", "action": "sell", "price": 1.1, "take_profits": "[1.09, 1.08]"}), vec![1.09, 1.08]),
        (
            json!({"ticker": "EURUSD", "action": "SELL", "close": "1.1", "tp1": "1.09", "tp2": 1.08, "tp3": "NaN"}),
            vec![1.09, 1.08],
        ),
        (
            json!({"Ticker": "EURUSD", "side": "short", "entry": 1.1, "tp": 1.09, "sl": "{{plot(\"stop\")}}"}),
            vec![1.09],
        ),
    ] {
        let short = signal(&body).draft;
        assert_eq!((short.entry_price, short.take_profits), (Some(1.1), Some(targets)), "{body}");
        assert_eq!((short.direction, short.stop_loss), (Some(crate::domain::Direction::Short), None));
    }
}

#[test]
fn a_strategys_position_decides_the_direction() {
    let order = |action: &str, held: &str| {
        read(json!({"ticker": "NQ1!", "exchange": "CME_MINI", "action": action, "price": "20000", "market_position": held})).alert
    };
    assert!(matches!(order("buy", "long"), Alert::Signal(_)));
    assert!(matches!(order("sell", "short"), Alert::Signal(_)));
    for (action, held) in [("sell", "flat"), ("buy", "flat"), ("sell", "long"), ("buy", "short"), ("close", "")] {
        assert!(matches!(order(action, held), Alert::Nothing(_)), "{action} {held}");
    }
    let sentence = "MACD (12, 26): order buy @ 1 filled on XAUUSD. New strategy position is 1";
    let default = signal(sentence).draft;
    assert_eq!((default.symbol.unwrap().as_str(), default.reason.as_deref()), ("XAUUSD", Some("MACD (12, 26)")));
    let exit = read("MACD (12, 26): order sell @ 1 filled on XAUUSD. New strategy position is 0").alert;
    assert!(matches!(exit, Alert::Nothing(_)));
}

#[test]
fn a_signal_can_be_ended() {
    let end = signal(
        json!({"id": "a", "status": "invalidated", "action": "sell", "symbol": "EURUSD", "invalidation": "news"}),
    );
    assert!(end.draft.direction.is_some(), "it can also come whole");
    let end = signal(json!({"id": "a", "status": "confirmed", "ticker": "EURUSD", "price": 1.2}));
    assert!(end.draft.entry_price.is_none() && end.draft.direction.is_none(), "what was agreed on stays");
}

#[test]
fn a_price_is_a_message_without_a_direction() {
    let bar = json!({"ticker": "EURUSD", "exchange": "OANDA", "close": "1.0852", "time": "2026-01-15T10:15:00Z", "interval": "15",
        "volume": "NaN"});
    let tick = price(bar);
    assert_eq!((tick.quote, tick.feed, tick.source.as_str()), (Quote::Last(1.0852), Feed::Live, "tradingview"));
    assert_eq!(iso(tick.observed_at), "2026-01-15T10:30:00.000Z", "the bar's end");
    let fired = price(
        json!({"symbol": "EURUSD", "price": 1.1, "timenow": "2026-01-15T10:30:29Z", "time": "2026-01-15T10:00:00Z"}),
    );
    assert_eq!(iso(fired.observed_at), "2026-01-15T10:30:29.000Z");
    let future = price(json!({"symbol": "EURUSD", "price": 1.1, "time": "2026-01-15T10:30:00Z", "interval": "60"}));
    assert_eq!(future.observed_at, now());
    assert_eq!(price("symbol=GOLD\nbid=2650.1\nask=2650.4").quote, Quote::BidAsk { bid: 2650.1, ask: 2650.4 });
    for late in [
        json!({"ticker": "ES1!", "exchange": "CME_MINI_DL", "close": 5000}),
        json!({"ticker": "ES1!", "exchange": "cme_dly", "close": 5000}),
        json!({"symbol": "CME_MINI_DL:ES1!", "close": 5000}),
    ] {
        assert_eq!(price(&late).feed, Feed::Delayed, "{late}");
    }
}

#[test]
fn faults_are_named() {
    assert_eq!(fault(json!({"ticker": "DAX", "price": 1})), "Unknown symbol 'DAX'");
    assert!(fault(json!({"ticker": "EURUSD"})).contains("price"));
    assert!(fault(json!({"ticker": "EURUSD", "action": "maybe"})).contains("action must be buy, sell"));
    assert!(fault(json!({"ticker": "EURUSD", "action": "buy", "price": -1})).contains("price"));
    assert!(fault(json!({"price": 1, "ticker": "EURUSD", "time": "soon"})).contains("time"));
    assert!(
        fault(
            json!({"id": "a", "status": "confirmed", "symbol": 5, "price": {}})
                .to_string()
                .replace("\"id\":\"a\",", "")
        )
        .contains("id")
    );
    assert!(parse(b"\xff\xfe", &instruments(), now()).is_err());
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(fault(deep).contains("quote every placeholder"));
}

#[test]
fn repeats_are_detected_by_id_or_body() {
    let alert = |id: &str, price: f64| json!({"id": id, "ticker": "EURUSD", "action": "buy", "price": price});
    assert_eq!(read(alert("a", 1.1)).key, read(alert("a", 1.2)).key);
    assert_ne!(read(alert("a", 1.1)).key, read(alert("b", 1.1)).key);
    let mut end = alert("a", 1.1);
    end["status"] = json!("confirmed");
    assert_ne!(read(alert("a", 1.1)).key, read(end).key, "its end is another message");
    let bare = |price: f64| json!({"ticker": "EURUSD", "action": "buy", "price": price});
    assert_eq!(read(bare(1.1)).key, read(bare(1.1)).key);
    assert_ne!(read(bare(1.1)).key, read(bare(1.2)).key);
    let id = |body: &Value, at: &str| {
        let read = parse(body.to_string().as_bytes(), &instruments(), parse_time(at).unwrap()).unwrap();
        let Alert::Signal(signal) = read.alert else { panic!("no signal") };
        signal["id"].clone()
    };
    let mut dated = bare(1.1);
    dated["timenow"] = json!("2026-01-15T00:59:00Z");
    assert_eq!(
        id(&dated, "2026-01-15T01:00:00Z"),
        id(&dated, "2026-01-15T23:00:00Z"),
        "known to the log after a restart"
    );
    assert_eq!(
        id(&bare(1.1), "2026-01-15T01:00:05Z"),
        id(&bare(1.1), "2026-01-15T01:00:25Z"),
        "repeated over a restart"
    );
    assert_ne!(id(&bare(1.1), "2026-01-15T01:00:00Z"), id(&bare(1.1), "2026-01-15T07:00:00Z"), "another event");
}

/// A receiver whose pipeline answers, rejects or stays silent, as the test says.
fn way_in(answer: Option<Result<crate::domain::Accepted, SubmitError>>) -> TradingView {
    let (handle, mut requests) = Handle::channel();
    Tasks::new().spawn_connection(async move {
        let mut silent = Vec::new();
        while let Some(request) = requests.recv().await {
            match &answer {
                Some(answer) => request.answer.unwrap().send(answer.clone()).unwrap(),
                None => silent.push(request),
            }
        }
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    let push = Push::new(handle, instruments(), Arc::new(now), metrics.clone());
    TradingView::new(push, instruments(), Arc::new(now), metrics.clone(), SourceStates::new(&metrics))
}

const PRICE: &[u8] = br#"{"ticker":"EURUSD","price":1.1}"#;

#[tokio::test]
async fn an_accepted_alert_counts_once() {
    let tradingview = way_in(Some(Ok(crate::domain::Accepted::Ticks(Vec::new()))));
    assert!(matches!(tradingview.receive(PRICE).await, Ok(AlertAnswer::Price { delayed: false, .. })));
    assert!(matches!(tradingview.receive(PRICE).await, Ok(AlertAnswer::Duplicate { .. })));
    let full = way_in(Some(Err(SubmitError::Overloaded)));
    for _ in 0..2 {
        assert_eq!(full.receive(PRICE).await, Err(PushError::Overloaded));
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_timely_with_a_slow_disk() {
    let tradingview = way_in(None);
    let began = Instant::now();
    assert!(matches!(tradingview.receive(PRICE).await, Ok(AlertAnswer::Queued { .. })));
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(matches!(tradingview.receive(PRICE).await, Ok(AlertAnswer::Duplicate { .. })));
}

fn any_body() -> impl Strategy<Value = String> {
    const PARTS: [&str; 28] = [
        "{",
        "}",
        "\"",
        ":",
        ",",
        "[",
        "]",
        "symbol",
        "ticker",
        "EURUSD",
        "action",
        "buy",
        "price",
        "1.1",
        "NaN",
        "\n",
        "=",
        "order ",
        " @ ",
        " filled on ",
        ". New strategy position is ",
        "{{",
        "}}",
        "\\",
        "-",
        "time",
        "interval",
        " ",
    ];
    let part = prop_oneof![6 => prop::sample::select(PARTS.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        parse(&body, &instruments(), now()).ok();
    }

    #[test]
    fn nothing_that_looks_like_an_alert_panics(body in any_body()) {
        parse(body.as_bytes(), &instruments(), now()).ok();
    }
}
