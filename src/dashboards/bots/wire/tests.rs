//! The frames byte for byte, and the answers of the polled routes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::*;
use crate::dashboards::bots::publish;
use crate::dashboards::bots::types;
use crate::domain::{
    Audience, Direction, Event, Instruments, MessageType, Now, Position, RelayedMessage, Signal, SignalDraft, SignalId,
    SignalState, SourceName, parse_time,
};
use crate::hub::Envelope;
use crate::telemetry::Usage;
use crate::transport::cursor::MessageCursor;

fn now() -> DateTime<Utc> {
    parse_time("2026-01-14T16:30:00Z").unwrap()
}

fn log() -> Position {
    Position { epoch: "e".into(), seq: 0 }
}

fn published(seq: u64, kind: MessageType, data: &Value) -> RelayedMessage {
    let parsed = publish::parse(kind, data, now()).unwrap().remove(0);
    RelayedMessage { seq, kind, audience: Audience::All, key: parsed.key.into(), data: parsed.data.into(), at: now() }
}

fn written(message: RelayedMessage, history: &[RelayedMessage]) -> String {
    let publication = |message: RelayedMessage| Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message))));
    let history = history.iter().cloned().map(publication).collect();
    frames(&publication(message), &log(), || history, || None)[0].to_string()
}

/// The form that only the dashboard reads.
fn written_for_the_dashboard(message: RelayedMessage, bot: Option<Bot>) -> String {
    let publication = Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message))));
    frames(&publication, &log(), Vec::new, || bot)[1].to_string()
}

#[test]
fn a_trade_is_executed_for_the_dashboard() {
    let bot = published(1, types::BOTS, &json!({"id": "b", "status": "running", "name": "Scalper", "total_profit": 7}));
    let trade = json!({"id": "t", "bot_id": "b", "exchange": "luno", "symbol": "BTC-ZAR", "side": "sell", "quantity": 1,
        "price": 2, "status": "filled", "profit_loss": 1.5});
    let frame = written_for_the_dashboard(published(7, types::TRADES, &trade), Some(Bot::read(&bot)));
    assert_eq!(
        frame,
        concat!(
            r#"{"type":"trade_executed","trade":{"id":"t","bot_id":"b","platform":"luno","symbol":"BTC-ZAR","side":"sell","#,
            r#""quantity":1,"price":2,"total":2,"status":"filled","pnl":1.5,"timestamp":"2026-01-14T16:30:00.000Z","#,
            r#""exchange":"luno","profit_loss":1.5,"is_profitable":true,"bot_name":"Scalper"},"bot_id":"b","#,
            r#""bot_name":"Scalper","total_profit":7,"ts":"2026-01-14T16:30:00.000Z","#,
            r#""timestamp":"2026-01-14T16:30:00.000Z","sequence":7,"cursor":"e:m7"}"#
        )
    );
    let bare = json!({"id": "t", "platform": "luno", "symbol": "S", "side": "buy", "quantity": 1, "price": 2, "status": "failed",
        "more": {"deep": {}}});
    let frame: Value = written_for_the_dashboard(published(7, types::TRADES, &bare), None).parse().unwrap();
    assert_eq!((&frame["trade"]["more"], &frame["sequence"]), (&json!({"deep": {}}), &json!(7)));
    assert_eq!(
        written_for_the_dashboard(bot, None),
        concat!(
            r#"{"type":"bot_updated","bot_id":"b","changes":{"id":"b","name":"Scalper","status":"running","pnl":7,"#,
            r#""total_profit":7},"ts":"2026-01-14T16:30:00.000Z","timestamp":"2026-01-14T16:30:00.000Z"}"#
        )
    );
}

#[test]
fn only_ordered_messages_have_a_sequence() {
    let wallet = published(7, types::WALLET, &json!({"event": "balance_update"}));
    assert_eq!(
        written(wallet, &[]),
        r#"{"type":"wallet","data":{"event":"balance_update"},"ts":"2026-01-14T16:30:00.000Z","timestamp":"2026-01-14T16:30:00.000Z","sequence":7,"cursor":"e:m7"}"#
    );
    let bot = published(8, types::BOTS, &json!({"id": "b", "status": "running"}));
    assert_eq!(
        written(bot, &[]),
        r#"{"type":"bots","data":{"id":"b","status":"running"},"ts":"2026-01-14T16:30:00.000Z","timestamp":"2026-01-14T16:30:00.000Z"}"#
    );
}

#[test]
fn metrics_have_the_texts_of_the_tiles() {
    let metrics =
        json!({"total_pnl": 1250.5, "active_bots": 5, "exposure": 0.45, "risk_level": "moderate", "win_rate": 0.68});
    let frame: Value = serde_json::from_str(&written(published(1, types::METRICS, &metrics), &[])).unwrap();
    assert_eq!(frame["data"], metrics);
    let tiles = json!({"totalProfit": "R1250.50", "activeBots": "5", "exposure": "45.00%", "riskLevel": "moderate"});
    assert_eq!(frame["payload"], tiles);
    let frame: Value = serde_json::from_str(&written(published(1, types::METRICS, &json!({})), &[])).unwrap();
    assert_eq!(frame["payload"], json!({}));
}

#[test]
fn prices_in_rand_have_the_dashboards_names() {
    for (symbol, pair) in [("BTCZAR", Some("BTC/ZAR")), ("BTC-ZAR", Some("BTC/ZAR")), ("USDZAR", Some("USD/ZAR"))] {
        assert_eq!(frames::pair_in_zar(symbol).as_deref(), pair, "{symbol}");
    }
    for symbol in ["EURUSD", "ZAR", "ZARJPY", "BTC/ZAR"] {
        assert_eq!(frames::pair_in_zar(symbol), None, "{symbol}");
    }
    let price = frames::in_percent(r#"{"price":850000,"change":350,"change_percent":0.0412}"#);
    assert_eq!(price, json!({"price": 850_000, "change": 0.0412, "change_percent": 0.0412}));
}

#[test]
fn a_whale_includes_the_sums_so_far() {
    let movement = |seq, flow: &str, amount: f64| {
        let data = json!({"coin": "BTC", "platform": "binance", "flow_type": flow, "amount": amount});
        published(seq, types::WHALE, &data)
    };
    let history = [movement(1, "inflow", 0.1), movement(2, "inflow", 0.2), movement(4, "outflow", 9.0)];
    let frame: Value = serde_json::from_str(&written(movement(3, "outflow", 0.1), &history)).unwrap();
    assert_eq!(
        frame["data"]["exchanges"],
        json!({"binance": {"BTC": {"inflow": 0.3, "outflow": 0.1, "net_flow": 0.2}}})
    );
    let summary = json!({"BTC": {"total_inflow": 0.3, "total_outflow": 0.1, "net_flow": 0.2}});
    assert_eq!(frame["data"]["summary"], summary);
    assert_eq!((&frame["data"]["coin"], &frame["data"]["amount"]), (&json!("BTC"), &json!(0.1)));

    let sums = json!({"exchanges": {"luno": {"BTC": {"inflow": 5, "outflow": 1}}}, "summary": {}});
    let history = [movement(1, "inflow", 0.1), published(2, types::WHALE, &sums), movement(3, "inflow", 1.0)];
    let all = lists::whales(history.iter());
    let flow = |inflow: u32, outflow: u32| json!({"inflow": inflow, "outflow": outflow, "net_flow": inflow - outflow});
    let exchanges = json!({"binance": {"BTC": flow(1, 0)}, "luno": {"BTC": flow(5, 1)}});
    assert_eq!((&all["exchanges"], &all["signals"]), (&exchanges, &json!([])));
    assert_eq!(all["summary"], json!({"BTC": {"total_inflow": 6, "total_outflow": 1, "net_flow": 5}}));
    assert_eq!((&all["status"], &all["data"]["exchanges"]), (&json!("success"), &exchanges));
    for name in ["summary", "signals", "last_update"] {
        assert!(!all[name].is_null() && all["data"][name] == all[name], "{name}: {all}");
    }
    // The derived fields of published sums are filled in.
    let frame: Value = serde_json::from_str(&written(published(2, types::WHALE, &sums), &[])).unwrap();
    assert_eq!(frame["data"]["exchanges"], json!({"luno": {"BTC": flow(5, 1)}}));
    assert_eq!(frame["data"]["summary"]["BTC"]["net_flow"], 4);
}

#[test]
fn the_servers_own_frames_suit_both_clients() {
    let cursor = MessageCursor::new(&log(), 42);
    assert_eq!(
        connected("demo", Mode::WebSocket, &cursor, Some(true), now()).as_str(),
        r#"{"type":"connection","status":"Connected","data":{"mode":"ws","status":"connected"},"user_id":"demo","current_sequence":42,"cursor":"e:m42","recovered":true,"ts":"2026-01-14T16:30:00.000Z","timestamp":"2026-01-14T16:30:00.000Z"}"#
    );
    let closing = Closing { code: "TOKEN_EXPIRED", message: "log in again" };
    assert_eq!(
        disconnected(Mode::ServerSentEvents, closing, now()).as_str(),
        r#"{"type":"connection","status":"Disconnected","data":{"code":"TOKEN_EXPIRED","mode":"sse","reason":"log in again","status":"disconnected"},"ts":"2026-01-14T16:30:00.000Z","timestamp":"2026-01-14T16:30:00.000Z"}"#
    );
    assert_eq!(
        error("UNKNOWN_TYPE", "unknown type 'x'", now()).as_str(),
        r#"{"type":"error","data":{"code":"UNKNOWN_TYPE","message":"unknown type 'x'"},"message":"unknown type 'x'","ts":"2026-01-14T16:30:00.000Z","timestamp":"2026-01-14T16:30:00.000Z"}"#
    );
    assert_eq!(ping(now()).as_str(), r#"{"timestamp":1768408200000,"type":"ping"}"#);
    assert_eq!(
        pong(Some(&json!(1_705_251_000_000_u64)), now()).as_str(),
        r#"{"server_time":"2026-01-14T16:30:00.000Z","timestamp":1705251000000,"type":"pong"}"#
    );
    assert_eq!(
        replayed(3, &cursor, false, now()).as_str(),
        r#"{"type":"replay_complete","data":{"count":3},"current_sequence":42,"cursor":"e:m42","recovered":false,"ts":"2026-01-14T16:30:00.000Z","timestamp":"2026-01-14T16:30:00.000Z"}"#
    );
}

#[test]
fn the_platforms_state_is_merged_in() {
    let usage = Usage { uptime: std::time::Duration::from_secs(60), cpu_percent: Some(1.234), ..Usage::default() };
    let state = ServerState { healthy: false, database: true, usage };
    let platform = published(
        1,
        types::SYSTEM_HEALTH,
        &json!({"status": "healthy", "uptime": 5, "redis": "connected", "exchange_connections": {"luno": "connected"}}),
    );
    let later = published(2, types::SYSTEM_HEALTH, &json!({"redis": "lost"}));
    let health = system_health(&state, [&platform, &later].into_iter(), now());
    assert_eq!(
        Value::from(health),
        json!({
            "status": "degraded", "uptime": 60, "database": "connected", "cpu_percent": 1.23, "redis": "lost",
            "exchange_connections": {"luno": "connected"}, "timestamp": "2026-01-14T16:30:00.000Z"
        })
    );
}

#[test]
fn only_a_new_signal_becomes_a_decision() {
    let instrument = Instruments::documented().swap_remove(0);
    let draft = SignalDraft {
        direction: Some(Direction::Short),
        reason: Some("FVG".into()),
        confidence: Some(0.85),
        stop_loss: Some(1.09),
        ..SignalDraft::default()
    };
    let at = Now { wall: now(), mono: std::time::Duration::ZERO };
    let ttl = std::time::Duration::from_secs(300);
    let id = SignalId::new("s1").unwrap();
    let signal = Signal::create(id, &draft, &instrument, SourceName::new("push"), at, ttl).unwrap();
    let decision = decision_of(&signal, now()).unwrap();
    assert_eq!((decision.kind, &decision.audience), (types::DECISIONS, &Audience::All));
    let data: Value = serde_json::from_str(&decision.data).unwrap();
    assert_eq!(
        data,
        json!({
            "id": "s1", "bot_id": "orion", "symbol": instrument.symbol.as_str(), "platform": "orion", "decision": "sell",
            "confidence": 0.85, "reasoning": ["FVG"], "stops": {"stop_loss": 1.09}, "stop_loss": 1.09,
            "timestamp": "2026-01-14T16:30:00.000Z"
        })
    );
    // The frame is a valid published message.
    assert!(publish::parse(types::DECISIONS, &data, now()).is_ok());
    let later = now() + ttl;
    let ended = Signal { state: SignalState::Confirmed, updated_at: later, ..signal };
    assert!(decision_of(&ended, later).is_none());
}

#[test]
fn a_published_sum_replaces_the_wallets_total() {
    let amounts = |free: f64| json!({"free": free, "locked": 0, "total": free});
    let luno =
        json!({"platform": "luno", "balances": {"ZAR": amounts(100.0), "BTC": amounts(0.1)}, "total_value_zar": 900});
    let valr = json!({"platform": "valr", "balances": {"ZAR": amounts(50.5), "BTC": amounts(0.2)}});
    let all = json!({"platform": "all", "balances": {}, "total_value_zar": 1000});
    let [luno, valr, all] = [luno, valr, all].map(|data| published(1, types::BALANCES, &data));
    let wallet = lists::wallet("demo", [&luno, &valr].into_iter(), now());
    let master = json!({"total_zar": 950.5, "zar_balance": 150.5, "btc_balance": 0.3});
    assert_eq!((&wallet["user_id"], &wallet["master_wallet"]), (&json!("demo"), &master));
    assert_eq!(wallet["exchanges"]["valr"]["balances"]["BTC"], amounts(0.2));
    let wallet = lists::wallet("demo", [&luno, &valr, &all].into_iter(), now());
    assert_eq!(wallet["master_wallet"]["total_zar"], 1000);

    let metrics = published(2, types::METRICS, &json!({"total_pnl": 12.5, "win_rate": 0.5}));
    let trade = |pnl: Value| {
        let trade = json!({"id": "t", "platform": "luno", "symbol": "BTC-ZAR", "side": "buy", "quantity": 1, "price": 2,
            "fee": 0.1, "status": "filled", "pnl": pnl});
        published(3, types::TRADES, &trade)
    };
    let trades = [trade(json!(null)), trade(json!(2.5))];
    let summary = lists::portfolio([&luno].into_iter(), Some(&metrics), Some(trades.iter()), now());
    assert_eq!(
        (&summary["equity"], &summary["net_pnl"], &summary["win_rate"]),
        (&json!(900), &json!(12.5), &json!(0.5))
    );
    assert_eq!((&summary["realized_pnl"], &summary["fees_total"]), (&json!(2.5), &json!(0.2)));
    let unknown = lists::portfolio([].into_iter(), None, None::<std::iter::Empty<_>>, now());
    assert!(["equity", "realized_pnl", "drawdown_max", "win_rate"].iter().all(|name| unknown[*name].is_null()));
}
