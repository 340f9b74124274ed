//! Every message of ARIA byte for byte, the seeds' bodies, and the printing of numbers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dashboards::aria::publish::{TYPES, parse};
use crate::dashboards::aria::types;
use crate::dashboards::bots::types::TRADES;
use crate::domain::{
    Audience, Instrument, Instruments, MessageType, Now, Quality, RelayedMessage, SignalDraft, SignalId, SignalState,
    SourceName, Symbol, parse_time,
};
use crate::telemetry::Usage;
use crate::transport::shape::Parsed;

fn now() -> DateTime<Utc> {
    parse_time("2024-01-01T12:00:00.000Z").unwrap()
}

fn price(bid_ask: Option<(f64, f64)>) -> PriceUpdate {
    PriceUpdate {
        symbol: Symbol::new("EURUSD"),
        price: 1.08502,
        timestamp: now(),
        change: 0.00002,
        change_percent: 0.0018,
        volume: None,
        bid_ask,
        day: None,
        quality: Quality::Live,
        source: SourceName::new("push"),
    }
}

fn draft() -> SignalDraft {
    SignalDraft {
        direction: Some(Direction::Long),
        entry_price: Some(1.085),
        stop_loss: Some(1.082),
        take_profits: Some(vec![1.088, 1.092]),
        reason: Some("MSS+FVG setup".into()),
        confidence: Some(0.875),
        model: Some("LSTM".into()),
        entry_time: parse_time("2024-01-01T11:59:30.000Z"),
        ..SignalDraft::default()
    }
}

fn signal(draft: &SignalDraft) -> Signal {
    let id = SignalId::new("a").unwrap();
    let now = Now { wall: now(), mono: Duration::ZERO };
    Signal::create(id, draft, &instruments()[0], SourceName::new("push"), now, Duration::from_secs(300)).unwrap()
}

fn instruments() -> Vec<Instrument> {
    Instruments::documented().into_iter().chain(Instruments::futures()).collect()
}

fn published(kind: MessageType, body: &Value) -> Event {
    let Parsed { key, data } = parse(kind, body, now()).unwrap().remove(0);
    let (key, data) = (key.into(), data.into());
    Event::RelayedMessage(Arc::new(RelayedMessage { seq: 1, kind, audience: Audience::All, key, data, at: now() }))
}

/// Encodes an event, with a line for each frame.
fn written(event: Event) -> String {
    let publication = Arc::new(Envelope::unplaced(event));
    let lines: Vec<_> = frames(&publication).iter().map(|frame| frame.as_str().to_owned()).collect();
    let kinds: Vec<_> = messages(&publication).map(|(kind, _)| kind).collect();
    for (line, kind) in lines.iter().zip(&kinds) {
        assert!(line.starts_with(&format!("{{\"type\":\"{kind}\",")), "{line}");
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert_eq!(lines.len(), kinds.len());
    lines.join("\n")
}

#[test]
fn a_price_is_a_tick() {
    assert_snapshot!(written(Event::Price(Arc::new(price(Some((1.085, 1.08503)))))), @r#"{"type":"tick","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","bid":1.085,"ask":1.08503,"spread":0.00003,"timestamp":"2024-01-01T12:00:00.000Z","quality":"live","source":"push"}}"#);
    assert_snapshot!(written(Event::Price(Arc::new(price(None)))), @r#"{"type":"tick","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","bid":1.08502,"ask":1.08502,"spread":0,"timestamp":"2024-01-01T12:00:00.000Z","quality":"live","source":"push"}}"#);
}

#[test]
fn a_signal_becomes_a_signal_and_two_ideas() {
    assert_snapshot!(written(Event::Signal(Arc::new(signal(&draft())))), @r#"
    {"type":"signal","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","side":"buy","strength":0.875,"confidence":87.5,"model":"LSTM","timestamp":"2024-01-01T11:59:30.000Z","entry_price":1.085,"stop_loss":1.082,"take_profit":1.088,"id":"a","source":"push"}}
    {"type":"idea","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","type":"buy","timeframe":"M5","confidence":87.5,"entry_price":1.085,"stop_loss":1.082,"take_profit":1.088,"reasoning":"MSS+FVG setup","timestamp":"2024-01-01T11:59:30.000Z","id":"a","source":"push"}}
    {"type":"smc_idea","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","type":"buy","timeframe":"M5","confidence":87.5,"entry_price":1.085,"stop_loss":1.082,"take_profit":1.088,"reasoning":"MSS+FVG setup","timestamp":"2024-01-01T11:59:30.000Z","id":"a","source":"push"}}
    "#);
}

#[test]
fn unknown_fields_of_a_signal_are_left_out() {
    let bare = SignalDraft { direction: Some(Direction::Short), ..SignalDraft::default() };
    assert_snapshot!(written(Event::Signal(Arc::new(signal(&bare)))), @r#"
    {"type":"signal","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","side":"sell","strength":0,"confidence":0,"model":"push","timestamp":"2024-01-01T12:00:00.000Z","id":"a","source":"push"}}
    {"type":"idea","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","type":"sell","timeframe":"M5","confidence":0,"reasoning":"","timestamp":"2024-01-01T12:00:00.000Z","id":"a","source":"push"}}
    {"type":"smc_idea","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","type":"sell","timeframe":"M5","confidence":0,"reasoning":"","timestamp":"2024-01-01T12:00:00.000Z","id":"a","source":"push"}}
    "#);
}

#[test]
fn only_a_signals_immediate_end_is_sent() {
    let pending = signal(&draft());
    let later = now() + Duration::from_secs(60);
    assert_eq!(written(Event::Signal(Arc::new(pending.clone().ended(SignalState::Confirmed, later)))), "");
    let at_once = pending.ended(SignalState::Confirmed, now());
    assert_eq!(written(Event::Signal(Arc::new(at_once))).lines().count(), 3);
}

#[test]
fn seed_bodies_are_converted_for_the_page() {
    let tick = json!({"symbol": "EURUSD", "bid": 1.08500, "ask": 1.08503});
    assert_snapshot!(written(published(types::TICK, &tick)), @r#"{"type":"tick","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","bid":1.085,"ask":1.08503,"spread":0.00003,"timestamp":"2024-01-01T12:00:00.000Z"}}"#);
    let documented = json!({"symbol": "EURUSD", "bid": 1.08500, "ask": 1.08503, "spread": 0.00003});
    assert_eq!(written(published(types::TICK, &documented)), written(published(types::TICK, &tick)));
    let signal = json!({"symbol": "EURUSD", "side": "buy", "strength": 0.85, "confidence": 87.5});
    assert_snapshot!(written(published(types::SIGNAL, &signal)), @r#"{"type":"signal","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","side":"buy","strength":0.85,"confidence":87.5,"timestamp":"2024-01-01T12:00:00.000Z"}}"#);
    let signal = json!({"symbol": "EURUSD", "side": "buy", "strength": 0.85, "confidence": 87.5, "model": "LSTM"});
    assert_snapshot!(written(published(types::SIGNAL, &signal)), @r#"{"type":"signal","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","side":"buy","strength":0.85,"confidence":87.5,"model":"LSTM","timestamp":"2024-01-01T12:00:00.000Z"}}"#);
    let order = json!({
        "order_id": "ORD_1704110400_1234", "symbol": "EURUSD", "side": "buy", "status": "filled", "volume": 0.1,
        "price": 1.08500,
    });
    assert_snapshot!(written(published(types::ORDER_UPDATE, &order)), @r#"{"type":"order_update","timestamp":"2024-01-01T12:00:00.000Z","data":{"order_id":"ORD_1704110400_1234","symbol":"EURUSD","side":"buy","status":"filled","volume":0.1,"price":1.085,"timestamp":"2024-01-01T12:00:00.000Z"}}"#);
}

#[test]
fn the_other_types_are_unchanged() {
    let idea = json!({
        "symbol": "AAPL", "type": "breakout", "timeframe": "H1", "confidence": 72.5, "entry_price": 190.5,
        "stop_loss": 188, "take_profit": 195, "reasoning": "SMC analysis suggests bullish momentum",
        "timestamp": "2024-01-01T11:59:59.123456",
    });
    assert_snapshot!(written(published(types::IDEA, &idea)), @r#"
    {"type":"idea","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"AAPL","type":"breakout","timeframe":"H1","confidence":72.5,"entry_price":190.5,"stop_loss":188,"take_profit":195,"reasoning":"SMC analysis suggests bullish momentum","timestamp":"2024-01-01T11:59:59.123Z"}}
    {"type":"smc_idea","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"AAPL","type":"breakout","timeframe":"H1","confidence":72.5,"entry_price":190.5,"stop_loss":188,"take_profit":195,"reasoning":"SMC analysis suggests bullish momentum","timestamp":"2024-01-01T11:59:59.123Z"}}
    "#);
    let bar = json!({"symbol": "BTC-ZAR", "open": 1, "high": 3.5, "low": 0.5, "close": 2, "volume": 10, "ts": 1});
    assert_snapshot!(written(published(types::BAR, &bar)), @r#"{"type":"bar","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"BTC-ZAR","open":1,"high":3.5,"low":0.5,"close":2,"volume":10,"timestamp":"2024-01-01T12:00:00.000Z","ts":1}}"#);
    let payload = json!({
        "symbol": "EURUSD", "side": "sell", "volume": 0.1, "entry_price": 1.085, "stop_loss": 1.09,
        "take_profit": 1.08, "risk_percent": 1.5, "risk_reward_ratio": 2, "execution_ready": true,
    });
    assert_snapshot!(written(published(types::PREPARED_PAYLOAD, &payload)), @r#"{"type":"prepared_payload","timestamp":"2024-01-01T12:00:00.000Z","data":{"symbol":"EURUSD","side":"sell","volume":0.1,"entry_price":1.085,"stop_loss":1.09,"take_profit":1.08,"risk_percent":1.5,"risk_reward_ratio":2,"execution_ready":true,"timestamp":"2024-01-01T12:00:00.000Z"}}"#);
}

#[test]
fn an_orders_spelling_is_normalized() {
    let order = json!({
        "ticket": 12_345_678, "pair": "EURUSD", "side": "SHORT", "status": "Canceled", "volume": "0.1", "price": 1.085,
    });
    assert_snapshot!(written(published(types::ORDER_UPDATE, &order)), @r#"{"type":"order_update","timestamp":"2024-01-01T12:00:00.000Z","data":{"order_id":"12345678","symbol":"EURUSD","side":"sell","status":"cancelled","volume":0.1,"price":1.085,"timestamp":"2024-01-01T12:00:00.000Z"}}"#);
}

#[test]
fn a_malformed_body_is_rejected_with_all_faults() {
    let fields = |kind, body: &Value| {
        let faults = parse(kind, body, now()).unwrap_err();
        faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
    };
    let order = json!({"symbol": "", "side": "up", "status": "lost", "price": null});
    assert_eq!(fields(types::ORDER_UPDATE, &order), ["order_id", "symbol", "side", "status", "volume", "price"]);
    assert_eq!(fields(types::TICK, &json!({"symbol": "EURUSD", "bid": "x"})), ["bid", "ask"]);
    let signal = json!({"symbol": "x".repeat(33), "side": "buy", "strength": 85, "confidence": 101});
    assert_eq!(fields(types::SIGNAL, &signal), ["symbol", "strength", "confidence"]);
    assert_eq!(fields(types::BAR, &json!({"symbol": "A"})), ["open", "high", "low", "close"]);
    assert_eq!(fields(types::TICK, &json!([])), ["data"]);
    assert_eq!(fields(TRADES, &json!({"symbol": "A"})), ["type"]);
}

#[test]
fn a_state_is_kept_for_each_symbol() {
    let bar = json!({"symbol": "AAPL", "open": 1, "high": 1, "low": 1, "close": 1});
    assert_eq!(parse(types::BAR, &bar, now()).unwrap().remove(0).key, "AAPL");
    let idea = json!({"symbol": "AAPL"});
    assert_eq!(parse(types::IDEA, &idea, now()).unwrap().remove(0).key, "");
}

#[test]
fn connection_messages_are_encoded() {
    let channels = ChannelSet::of(["tick".to_owned(), "all".to_owned()]);
    let messages = [
        welcome("c1", &channels, now()),
        ping(now()),
        pong(now()),
        subscription_confirmed(&channels, now()),
        subscription_updated(&channels, now()),
        identity("c1", &channels, now()),
        echo(&json!({"a": 1}), now()),
        error("invalid_json", "a frame is one JSON object", now()),
    ];
    assert_snapshot!(messages.map(|frame| frame.as_str().to_owned()).join("\n"), @r#"
    {"type":"connection","message":"Connected to orion-server","client_id":"c1","subscriptions":["all","tick"],"timestamp":"2024-01-01T12:00:00.000Z"}
    {"type":"ping","timestamp":"2024-01-01T12:00:00.000Z"}
    {"type":"pong","timestamp":"2024-01-01T12:00:00.000Z"}
    {"type":"subscription_confirmed","channels":["all","tick"],"timestamp":"2024-01-01T12:00:00.000Z"}
    {"type":"subscription_updated","channels":["all","tick"],"timestamp":"2024-01-01T12:00:00.000Z"}
    {"type":"identity","client_id":"c1","subscriptions":["all","tick"],"server_time":"2024-01-01T12:00:00.000Z","timestamp":"2024-01-01T12:00:00.000Z"}
    {"type":"echo","payload":{"a":1},"server_time":"2024-01-01T12:00:00.000Z","timestamp":"2024-01-01T12:00:00.000Z"}
    {"type":"error","error":"a frame is one JSON object","code":"invalid_json","timestamp":"2024-01-01T12:00:00.000Z"}
    "#);
}

#[test]
fn the_history_has_times_in_milliseconds() {
    assert_snapshot!(encode(&SignalObject::historical(&signal(&draft()))).as_str(), @r#"{"symbol":"EURUSD","side":"buy","strength":0.875,"confidence":87.5,"model":"LSTM","timestamp":1704110370000,"entry_price":1.085,"stop_loss":1.082,"take_profit":1.088,"id":"a","source":"push"}"#);
}

#[test]
fn the_servers_state_is_complete_without_measurements() {
    let usage = Usage {
        uptime: Duration::from_millis(90_061_234),
        cpu_percent: Some(1.26),
        resident_bytes: Some(30_000_000),
        resident_percent: None,
        virtual_bytes: Some(1_500_000_000),
        available_percent: Some(73.04),
        threads: Some(5),
        open_files: Some(12),
        ..Usage::default()
    };
    assert_snapshot!(system_metrics(usage, "2024-01-01T12:00:00.000Z").as_str(), @r#"{"type":"system_metrics","metrics":{"system":{"uptime_seconds":90061.2,"cpu_percent":1.3,"memory":{"rss_mb":28.6,"vms_mb":1430.5,"available_percent":73},"threads":5,"open_files":12},"models_tracked":0,"total_inferences":0},"timestamp":"2024-01-01T12:00:00.000Z"}"#);
    assert_snapshot!(encode(&PerformanceObject::from(Usage::default())).as_str(), @r#"{"system":{"system":{"uptime_seconds":0,"cpu_percent":null,"memory":{"rss_mb":null,"vms_mb":null,"available_percent":null},"threads":null,"open_files":null},"models_tracked":0,"total_inferences":0},"models":{},"symbols":{},"thresholds":{}}"#);
    assert_snapshot!(encode(&UsageObject::from(usage)).as_str(), @r#"{"cpu_usage":1.3,"memory_usage":27}"#);
}

#[test]
fn the_symbol_of_every_event_is_known() {
    let idea = published(types::IDEA, &json!({"symbol": "BTC-\"ZAR"}));
    assert_eq!(symbol(&idea).as_deref(), Some("BTC-\"ZAR"));
    assert_eq!(symbol(&Event::Price(Arc::new(price(None)))).as_deref(), Some("EURUSD"));
    assert_eq!(symbol(&Event::Signal(Arc::new(signal(&draft())))).as_deref(), Some("EURUSD"));
}

/// Returns the number of decimals of a number.
fn decimals(number: &Value) -> usize {
    number.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len())
}

fn data(frame: &str) -> Value {
    serde_json::from_str::<Value>(frame).unwrap()["data"].take()
}

/// Prints a number like JavaScript: the shortest text with the same value.
fn printed(number: f64) -> String {
    number.to_string()
}

#[test]
fn memory_prints_without_binary_noise() {
    assert_eq!(printed(100.0 - 93.1), "6.900000000000006", "the page's own arithmetic");
    let usage = Usage { available_percent: Some(93.1), ..Usage::default() };
    assert_eq!(memory_on_the_page(usage), "7");
    for (available, shown) in [(93.24, "7"), (93.26, "6.5"), (0.0, "99.5"), (0.1, "99.5"), (100.0, "0")] {
        assert_eq!(memory_on_the_page(Usage { available_percent: Some(available), ..Usage::default() }), shown);
    }
}

/// `100 - (system.memory.available_percent || 100)`, as the performance page prints it.
fn memory_on_the_page(usage: Usage) -> String {
    let report: Value = serde_json::from_str(&system_metrics(usage, "")).unwrap();
    let available =
        report["metrics"]["system"]["memory"]["available_percent"].as_f64().filter(|percent| *percent != 0.0);
    printed(100.0 - available.unwrap_or(100.0))
}

proptest! {
    /// The memory in use prints with one decimal at most and is accurate to a half, for any available memory.
    #[test]
    fn memory_prints_short(available in 0.0f64..=100.0) {
        let shown = memory_on_the_page(Usage { available_percent: Some(available), ..Usage::default() });
        prop_assert!(shown.len() <= 4 && shown.split_once('.').is_none_or(|(_, decimals)| decimals == "5"), "{shown}");
        prop_assert!((shown.parse::<f64>().unwrap() - (100.0 - available)).abs() <= 0.5, "{shown} of {available}");
    }

    /// Bid, ask and spread have no more digits than the instrument, for any price.
    #[test]
    fn ticks_print_clean(index in 0usize..11, bid in 0.5f64..60_000.0, spread in 0.0f64..20.0) {
        let instrument = &instruments()[index];
        let sides = (instrument.round(bid), instrument.round(bid + spread));
        let update = PriceUpdate { bid_ask: Some(sides), ..price(None) };
        let tick = data(&written(Event::Price(Arc::new(update))));
        for field in ["bid", "ask", "spread"] {
            prop_assert!(decimals(&tick[field]) <= usize::from(instrument.digits), "{field}: {tick}");
        }
        prop_assert!((tick["spread"].as_f64().unwrap() - (sides.1 - sides.0)).abs() < 1e-6);
    }

    /// Any score prints with four decimals at most on 0–1, with two on 0–100.
    #[test]
    fn confidence_prints_clean(confidence in 0.0f64..=1.0) {
        let signal = signal(&SignalDraft { confidence: Some(confidence), ..draft() });
        for frame in written(Event::Signal(Arc::new(signal))).lines() {
            let data = data(frame);
            prop_assert!(decimals(&data["confidence"]) <= 2, "{data}");
            prop_assert!(data.get("strength").is_none_or(|strength| decimals(strength) <= 4), "{data}");
        }
    }

    /// A published tick's spread has no more digits than its prices.
    #[test]
    fn published_ticks_print_clean(bid in 0u32..2_000_000, spread in 0u32..1_000, digits in 0i32..6) {
        let scale = 10f64.powi(digits);
        let (bid, ask) = (f64::from(bid) / scale, f64::from(bid + spread) / scale);
        let tick = data(&written(published(types::TICK, &json!({"symbol": "X", "bid": bid, "ask": ask}))));
        prop_assert!(decimals(&tick["spread"]) <= digits as usize, "{tick}");
    }

    /// No published message causes a panic.
    #[test]
    fn no_published_message_panics(text in "\\PC{0,40}", number in any::<f64>(), at in 0..TYPES.len()) {
        for value in [json!(text), json!(number), json!([text]), json!(null)] {
            let body = json!({"symbol": text, "bid": value, "ask": value, "side": value, "timestamp": value});
            parse(TYPES[at].kind, &body, now()).ok();
        }
    }
}
