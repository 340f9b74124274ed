//! Documented bodies, the forms that the pages read, and faults named by field.

use serde_json::json;

use super::*;
use crate::dashboards::bots::types;
use crate::domain::parse_time;

fn now() -> DateTime<Utc> {
    parse_time("2026-01-14T16:30:05.000Z").unwrap()
}

fn read(kind: MessageType, data: &Value) -> (String, Value) {
    let parsed = parse(kind, data, now()).unwrap().remove(0);
    (parsed.key, serde_json::from_str(&parsed.data).unwrap())
}

fn written(kind: MessageType, data: &Value) -> String {
    parse(kind, data, now()).unwrap().remove(0).data
}

fn faults(kind: MessageType, data: &Value) -> Vec<String> {
    parse(kind, data, now()).unwrap_err().into_iter().map(|fault| format!("{} {}", fault.field, fault.reason)).collect()
}

#[test]
fn documented_bodies_pass_unchanged() {
    for (kind, key, body) in [
        (
            types::TRADES,
            "",
            r#"{"id":"trade_12345","bot_id":"bot_abc","platform":"luno","symbol":"BTC-ZAR","side":"buy","quantity":0.001,"price":850000,"total":850,"fee":2.55,"status":"filled","pnl":null,"timestamp":"2026-01-14T16:30:00.000Z"}"#,
        ),
        (
            types::BOTS,
            "bot_abc",
            r#"{"id":"bot_abc","name":"BTC Scalper","platform":"luno","symbol":"BTC-ZAR","status":"running","trading_mode":"paper","risk_mode":"conservative","capital":5000,"pnl":150.5,"trades_count":42,"win_rate":0.68,"last_trade":"2026-01-14T16:25:00.000Z"}"#,
        ),
        (
            types::BALANCES,
            "luno",
            r#"{"platform":"luno","balances":{"BTC":{"free":0.025,"locked":0.001,"total":0.026},"ZAR":{"free":10000,"locked":500,"total":10500}},"total_value_zar":32500}"#,
        ),
        (
            types::METRICS,
            "",
            r#"{"total_pnl":1250.5,"total_pnl_percent":12.5,"active_bots":5,"total_bots":8,"total_trades":342,"win_rate":0.68,"exposure":0.45,"risk_level":"moderate","uptime_seconds":86400,"trades_per_hour":2.5}"#,
        ),
        (
            types::WHALE,
            "",
            r#"{"coin":"BTC","platform":"binance","flow_type":"inflow","amount":150.5,"value_usd":6500000,"timestamp":"2026-01-14T16:30:00.000Z","signal":"bullish"}"#,
        ),
        (
            types::ALERTS,
            "",
            r#"{"id":"alert_123","severity":"warning","category":"risk","title":"High Exposure Detected","message":"Total exposure at 75% - consider reducing positions","bot_id":"bot_abc","platform":"luno","action_required":true,"timestamp":"2026-01-14T16:30:00.000Z"}"#,
        ),
        (
            types::SYSTEM_HEALTH,
            "",
            r#"{"status":"healthy","uptime":86400,"cpu_percent":45.5,"memory_percent":62.3,"disk_percent":35,"database":"connected","redis":"connected","exchange_connections":{"binance":"connected","kraken":"connected","kucoin":"connected","luno":"connected","valr":"connected"},"last_trade":"2026-01-14T16:25:00.000Z","error_rate":0.01}"#,
        ),
        (
            types::WALLET,
            "",
            r#"{"event":"deposit_confirmed","platform":"luno","asset":"BTC","amount":0.01,"address":"bc1q...","txid":"abc123...","confirmations":3,"status":"confirmed"}"#,
        ),
        (
            types::AI_TASKS,
            "",
            r#"{"task_id":"task_xyz","task_type":"bodyguard_check","status":"completed","progress":1,"result":{"checks_failed":0,"checks_passed":15,"issues":[]},"started_at":"2026-01-14T16:28:00.000Z","completed_at":"2026-01-14T16:30:00.000Z"}"#,
        ),
    ] {
        let parsed = parse(kind, &serde_json::from_str(body).unwrap(), now()).unwrap();
        assert_eq!(parsed, [Parsed { key: key.to_owned(), data: body.to_owned() }]);
    }
}

#[test]
fn a_documented_decision_is_converted_for_its_panel() {
    let body = json!({
        "id": "decision_xyz", "bot_id": "bot_abc", "symbol": "BTC-ZAR", "platform": "luno", "decision": "buy",
        "confidence": 0.85, "reasoning": "Strong bullish momentum, RSI oversold",
        "market_data": {"price": 850_000, "volume_24h": 125_000_000, "rsi": 35, "macd": "bullish"},
        "regime_state": "trending_up", "component_scores": {"technical": 0.82, "sentiment": 0.78, "risk": 0.90},
        "sizing": {"quantity": 0.001, "capital": 850, "risk_per_trade": 0.02},
        "stops": {"stop_loss": 825_000, "take_profit": 875_000}, "timestamp": "2026-01-14T16:30:00.000Z"
    });
    let mut expected = body.clone();
    expected["reasoning"] = json!(["Strong bullish momentum, RSI oversold"]);
    expected["regime_state"] = json!({"regime": "trending_up", "confidence": null});
    expected["market_data"]["volume"] = json!(125_000_000);
    (expected["stop_loss"], expected["take_profit"]) = (json!(825_000), json!(875_000));
    let (_, first) = read(types::DECISIONS, &body);
    assert_eq!(first, expected);
    assert_eq!(read(types::DECISIONS, &first).1, expected, "what left can come in again");
}

#[test]
fn a_bare_decision_has_no_invented_fields() {
    let data =
        json!({"id": 7, "symbol": "BTC-ZAR", "decision": "HOLD", "confidence": "85", "stops": {"stop_loss": "1.5"}});
    let expected = r#"{"id":"7","symbol":"BTC-ZAR","decision":"hold","confidence":0.85,"reasoning":[],"stops":{"stop_loss":"1.5"},"stop_loss":1.5,"timestamp":"2026-01-14T16:30:05.000Z"}"#;
    assert_eq!(written(types::DECISIONS, &data), expected);
    let data = json!({
        "id": "d", "symbol": "X", "decision": "buy", "confidence": 1, "reasoning": ["a", 2], "timestamp": 1_768_408_200,
        "regime_state": {"regime": "range", "confidence": 70, "since": 3}, "position_size_multiplier": 0.5,
        "market_data": {"price": "1.5", "change_24h": null}
    });
    let (_, read) = read(types::DECISIONS, &data);
    assert_eq!(read["reasoning"], json!(["a", "2"]));
    assert_eq!(read["regime_state"], json!({"regime": "range", "confidence": 0.7, "since": 3}));
    assert_eq!(read["market_data"], json!({"price": 1.5}));
    assert_eq!(read["timestamp"], "2026-01-14T16:30:00.000Z");
}

#[test]
fn documented_sums_are_filled_in() {
    let trade = json!({
        "trade_id": "t", "exchange": "valr", "pair": "ETH-ZAR", "side": "SELL", "amount": 0.1, "price": 3, "status": "Filled"
    });
    let expected = r#"{"id":"t","platform":"valr","symbol":"ETH-ZAR","side":"sell","quantity":0.1,"price":3,"total":0.3,"status":"filled","timestamp":"2026-01-14T16:30:05.000Z"}"#;
    assert_eq!(written(types::TRADES, &trade), expected);
    let balances = json!({"platform": "all", "balances": {"BTC": {"free": 0.1, "locked": "0.2"}}});
    let expected = r#"{"platform":"all","balances":{"BTC":{"free":0.1,"locked":0.2,"total":0.3}}}"#;
    assert_eq!(written(types::BALANCES, &balances), expected);
}

#[test]
fn the_pages_whale_sums_are_accepted() {
    let data = json!({
        "exchanges": {"binance": {"BTC": {"inflow": 1, "outflow": 2}}},
        "summary": {"BTC": {"total_inflow": 1, "total_outflow": 2, "net_flow": -1}},
        "signals": [], "last_update": "2026-01-14T16:30:00Z"
    });
    let (_, read) = read(types::WHALE, &data);
    assert_eq!((&read["exchanges"], &read["summary"]), (&data["exchanges"], &data["summary"]));
    assert_eq!(
        faults(types::WHALE, &json!({"exchanges": {"binance": {"BTC": 1}}, "summary": []})),
        [
            "exchanges must be an object exchange → coin → object of numbers",
            "summary must be an object coin → object of numbers"
        ]
    );
}

#[test]
fn all_faults_are_named_at_once() {
    let table = [
        (types::TRADES, json!([]), vec!["data must be an object"]),
        (
            types::TRADES,
            json!({"id": "", "side": "long", "quantity": "x", "price": null, "pnl": {}}),
            vec![
                "id must be text of 1 to 128 characters",
                "platform is required",
                "symbol is required",
                "side must be one of buy, sell",
                "quantity must be a number",
                "price is required",
                "status is required",
                "pnl must be a number",
            ],
        ),
        (
            types::BOTS,
            json!({"status": "active", "win_rate": 101, "trades_count": -1, "last_trade": "soon"}),
            vec![
                "id is required",
                "status must be one of running, stopped, paused, error",
                "trades_count must be a number from 0 to 1000000000000000",
                "win_rate must be a number from 0 to 1, or up to 100 in percent",
                "last_trade must be an ISO 8601 time or a Unix epoch",
            ],
        ),
        (
            types::BALANCES,
            json!({"balances": {"A": 1, "B": {"free": 1}, "C": {"free": "x"}}}),
            vec![
                "platform is required",
                "balances.A must be an object {free, locked}",
                "balances.B.locked is required",
                "balances.C.free must be a number",
                "balances.C.locked is required",
            ],
        ),
        (
            types::DECISIONS,
            json!({
                "id": "d", "symbol": "BTC-ZAR", "decision": "buy", "reasoning": [{}], "regime_state": {"confidence": 1},
                "component_scores": {"risk": 2}, "market_data": {"price": "high"}, "stops": {"stop_loss": []}
            }),
            vec![
                "confidence is required",
                "reasoning must be text, or a list of texts, of at most 2000 characters",
                "market_data price must be a number",
                "regime_state must be a word or an object {regime, confidence}",
                "component_scores.risk must be a number from -1 to 1",
                "stops.stop_loss must be a number",
            ],
        ),
        (types::METRICS, json!({"total_pnl": "lots"}), vec!["total_pnl must be a number"]),
        (
            types::WHALE,
            json!({"coin": "BTC", "flow_type": "in", "amount": -1}),
            vec![
                "platform is required",
                "flow_type must be one of inflow, outflow",
                "amount must be a number from 0 to 1000000000000000000",
            ],
        ),
        (
            types::ALERTS,
            json!({"id": "a", "severity": "bad", "action_required": "yes"}),
            vec![
                "severity must be one of info, warning, error, critical",
                "message is required",
                "action_required must be true or false",
            ],
        ),
        (
            types::SYSTEM_HEALTH,
            json!({"exchange_connections": {"luno": 1}}),
            vec!["exchange_connections must be an object exchange → state"],
        ),
        (types::WALLET, json!({"amount": true}), vec!["event is required", "amount must be a number"]),
        (
            types::AI_TASKS,
            json!({"task_id": "t", "task_type": "prediction", "status": "running"}),
            vec!["progress is required"],
        ),
        (MessageType::state("tick", 0), json!({}), vec!["type tick is no message of the bot platform"]),
    ];
    for (kind, data, expected) in table {
        assert_eq!(faults(kind, &data), expected, "{}", kind.name());
    }
}
