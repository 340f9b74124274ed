//! Batches, audiences, and faults named by their place.

use serde_json::json;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn types() -> PublishedTypes {
    crate::app::published_types()
}

fn one(body: &Value) -> RelayedMessage {
    match types().read(body, now()).unwrap() {
        PushedEvents::One(_, mut messages) if messages.len() == 1 => messages.remove(0),
        other => panic!("{other:?}"),
    }
}

fn faults(body: &Value) -> Vec<String> {
    types()
        .read(body, now())
        .unwrap_err()
        .into_iter()
        .map(|fault| format!("{}: {}", fault.field, fault.reason))
        .collect()
}

fn wallet(user: &str) -> Value {
    json!({"type": "wallet", "data": {"event": "balance_update"}, "user": user})
}

#[test]
fn an_event_reaches_the_named_audience() {
    let user = |id: &str| Audience::User(id.into());
    let data = json!({"event": "balance_update"});
    for (more, audience) in [
        (json!({}), Audience::All),
        (json!({"user": null, "audience": null}), Audience::All),
        (json!({"audience": "All"}), Audience::All),
        (json!({"audience": "admin"}), Audience::Admin),
        (json!({"user": "u 1"}), user("u 1")),
        (json!({"user": 42, "audience": "user"}), user("42")),
        (json!({"user": "ü".repeat(128)}), user(&"ü".repeat(128))),
    ] {
        let mut event = json!({"type": "wallet", "data": data, "ts": "2026-01-14T16:30:00.000Z"});
        event.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        let message = one(&event);
        assert_eq!((message.kind.name(), message.audience, message.at), ("wallet", audience, now()));
        assert_eq!(&*message.data, r#"{"event":"balance_update"}"#);
    }
}

#[test]
fn contradictory_audiences_are_rejected() {
    for (kind, more, expected) in [
        ("wallet", json!({"user": "u", "audience": "all"}), "user: must be absent beside an audience of all or admin"),
        (
            "wallet",
            json!({"user": "u", "audience": "admin"}),
            "user: must be absent beside an audience of all or admin",
        ),
        ("wallet", json!({"audience": "user"}), "user: is required for the audience user"),
        ("wallet", json!({"audience": "everybody"}), "audience: must be all, user or admin"),
        ("wallet", json!({"audience": ["all"]}), "audience: must be all, user or admin"),
        ("wallet", json!({"user": ""}), "user: must be text of 1 to 128 characters"),
        ("wallet", json!({"user": "x".repeat(129)}), "user: must be text of 1 to 128 characters"),
        ("wallet", json!({"user": ["u"]}), "user: must be text of 1 to 128 characters"),
        ("admin_users", json!({"user": "u"}), "user: must be absent: administrators' messages go to all of them"),
        ("admin_users", json!({"audience": "all"}), "audience: must be admin for administrators' messages"),
    ] {
        let mut event = json!({"type": kind, "data": {"event": "x", "users": []}});
        event.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        let faults = faults(&event);
        assert_eq!(faults.last().map(String::as_str), Some(expected), "{faults:?}");
    }
}

#[test]
fn faults_of_a_batch_name_their_place() {
    let body = json!({"events": [
        wallet("a"),
        {"type": "trade", "data": {}},
        {"type": "trades", "data": {"id": "t", "platform": "luno", "symbol": "BTC-ZAR", "side": "buy", "quantity": 1,
                                    "price": "high", "status": "filled"}, "audience": "user"},
        {"data": null},
        {"type": 7, "data": []},
        "wallet",
        {"type": "metrics", "data": []}
    ]});
    let mut faults = faults(&body);
    assert!(faults[0].starts_with("events[1].type: 'trade' is no message type; the types are order_update, idea,"));
    faults.remove(0);
    assert_eq!(
        faults,
        [
            "events[2].data.price: must be a number",
            "events[2].user: is required for the audience user",
            "events[3].type: is required",
            "events[3].data: is required",
            "events[4].type: must be the name of a message type",
            "events[5]: must be an object {type, data}",
            "events[6].data: must be an object"
        ]
    );
}

#[test]
fn malformed_bodies_are_rejected() {
    assert_eq!(faults(&json!([])), ["body: must be a JSON object"]);
    assert_eq!(faults(&json!({})), ["type: is required", "data: is required"]);
    for events in [json!([]), json!({}), json!("x"), json!(vec![wallet("u"); MAX_BATCH + 1])] {
        assert_eq!(faults(&json!({"events": events})), ["events: must be a list of 1 to 1000 events"]);
    }
}

#[test]
fn a_batch_keeps_its_order() {
    let events: Vec<_> = (0..MAX_BATCH).map(|n| wallet(&n.to_string())).collect();
    let PushedEvents::Batch(1000, messages) = types().read(&json!({"events": events}), now()).unwrap() else {
        panic!()
    };
    for (n, message) in messages.iter().enumerate() {
        assert_eq!(message.audience, Audience::User(n.to_string().into()));
    }
}

#[test]
fn documented_broadcasts_are_published_as_written() {
    for (kind, audience, data) in [
        ("tick", Audience::All, json!({"symbol": "EURUSD", "bid": 1.08500, "ask": 1.08503})),
        ("signal", Audience::All, json!({"symbol": "EURUSD", "side": "buy", "strength": 0.85, "confidence": 87.5})),
        (
            "order_update",
            Audience::All,
            json!({"order_id": "ORD_1704110400_1234", "symbol": "EURUSD", "side": "buy", "status": "filled", "volume": 0.1,
                   "price": 1.08500}),
        ),
        (
            "trade_signals",
            Audience::All,
            json!([{"symbol": "AAPL", "signal": "buy", "confidence": 0.85, "timestamp": "2024-10-05T10:30:00"}]),
        ),
        (
            "earnings",
            Audience::User("user_001".into()),
            json!({"portfolio_value": 100_000.0, "total_return": 5000.0, "daily_pnl": 250.0, "win_rate": 0.65}),
        ),
        (
            "notification",
            Audience::User("user_001".into()),
            json!({"type": "success", "title": "Trade Executed", "message": "Your AAPL buy order has been executed",
                   "timestamp": "2024-10-05T10:30:00"}),
        ),
        (
            "admin_users",
            Audience::Admin,
            json!({"total_users": 150, "active_subscriptions": 120, "monthly_revenue": 15_000.0}),
        ),
    ] {
        let user = if let Audience::User(user) = &audience { json!(**user) } else { json!(null) };
        let message = one(&json!({"type": kind, "data": data, "user": user}));
        assert_eq!((message.kind.name(), message.audience), (kind, audience), "{}", message.data);
    }
    let earnings = one(&json!({"type": "earnings", "data": {"user_id": "u", "portfolio_value": 1}}));
    assert_eq!(earnings.audience, Audience::User("u".into()), "it names whose they are");
    let faults = faults(&json!({"events": [
        {"type": "trade_signals", "data": [{"symbol": "AAPL", "confidence": 1}]},
        {"type": "notification", "data": {"type": "bad", "message": "x"}}
    ]}));
    assert_eq!(
        faults,
        ["events[0].data[0].signal: is required", "events[1].data.type: must be one of success, warning, error, info"]
    );
}

#[test]
fn numbers_print_clean_at_any_depth() {
    let event: Value = serde_json::from_str(
        r#"{"type":"wallet","data":{"event":"x","amount":1.0,"more":[5000.0,{"a":-0.0,"b":0.1,"c":12345678901234567890}]}}"#,
    )
    .unwrap();
    let clean = r#"{"event":"x","amount":1,"more":[5000,{"a":0,"b":0.1,"c":12345678901234567890}]}"#;
    assert_eq!(&*one(&event).data, clean);
}
