//! Every documented spelling and error, and invariants for arbitrary input.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::domain::{
    Contradiction, Fault, FaultKind, Feed, Now, Quote, Rejection, Signal, SignalDraft, SignalId, SignalStatus, Tick,
    parse_time,
};
use crate::pipeline::{Request, SubmitError};
use crate::tasks::Tasks;
use crate::transport::messages::SignalObject;

const TTL: Duration = Duration::from_mins(5);

fn now() -> DateTime<Utc> {
    parse_time("2024-09-01T10:30:00.000Z").unwrap()
}

fn instruments() -> Arc<Instruments> {
    Arc::new(Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap())
}

fn parse(body: &Value) -> Result<PushedSignal, PushError> {
    parse_signal(body, &instruments())
}

/// Returns the signal object that the server sends for a pushed body.
fn object(body: &Value) -> Value {
    let PushedSignal { id, draft, .. } = parse(body).unwrap();
    let instruments = instruments();
    let instrument = instruments.get(draft.symbol.as_ref().unwrap()).unwrap();
    let now = Now { wall: now(), mono: Duration::ZERO };
    let signal = Signal::create(id, &draft, instrument, SourceName::new(SOURCE), now, TTL).unwrap();
    serde_json::to_value(SignalObject::from(&signal)).unwrap()
}

fn fields(fault: &PushError) -> Vec<&str> {
    fault.faults().iter().map(|fault| fault.field.as_str()).collect()
}

fn faulty(body: &Value) -> Vec<String> {
    fields(&parse(body).unwrap_err()).into_iter().map(ToOwned::to_owned).collect()
}

fn documented() -> Value {
    json!({
        "id": "sig_001", "status": "pending", "direction": "long", "symbol": "EURUSD",
        "entry_time": "2024-09-01T10:30:00.000Z", "entry_price": 1.085, "stop_loss": 1.082,
        "take_profits": [1.088, 1.092, 1.096], "tp_modes": ["TP1 30%", "TP2 40%", "Runner 30%"],
        "reason": "MSS+FVG setup", "confidence": 0.85, "rr_target": 2.5, "killzone": "london"
    })
}

/// Returns `documented()` with some fields replaced; null removes a field.
fn with(changes: Value) -> Value {
    let mut body = documented();
    let (Value::Object(fields), Value::Object(changes)) = (&mut body, changes) else { unreachable!() };
    for (name, value) in changes {
        if value.is_null() {
            fields.remove(&name)
        } else {
            fields.insert(name, value)
        };
    }
    body
}

#[test]
fn every_spelling_leaves_as_the_documented_object() {
    let expected = json!({
        "id": "sig_001", "status": "pending", "direction": "long", "symbol": "EURUSD",
        "entry_time": "2024-09-01T10:30:00.000Z", "entry_price": 1.085, "stop_loss": 1.082,
        "take_profits": [1.088, 1.092, 1.096], "tp_modes": ["TP1 30%", "TP2 40%", "Runner 30%"],
        "reason": "MSS+FVG setup", "confidence": 0.85, "rr_target": 2.5, "killzone": "london",
        "killzone_active": false, "price": 1.085, "updated_at": "2024-09-01T10:30:00.000Z",
        "expires_at": "2024-09-01T10:35:00.000Z", "invalidation": null, "source": "push"
    });
    let spellings = [
        json!({}),
        json!({"status": null}),
        json!({"status": "PENDING"}),
        json!({"direction": "LONG"}),
        json!({"direction": "buy"}),
        json!({"direction": null, "side": "LONG"}),
        json!({"direction": null, "side": " Buy "}),
        json!({"side": "BUY"}),
        json!({"symbol": "eur/usd"}),
        json!({"symbol": "OANDA:EUR_USD"}),
        json!({"symbol": "EURUSD.pro"}),
        json!({"confidence": 85}),
        json!({"confidence": "85"}),
        json!({"confidence": "0.85"}),
        json!({"killzone": "LONDON"}),
        json!({"killzone": "London Open"}),
        json!({"killzone": null}),
        json!({"killzone": ""}),
        json!({"entry_time": null}),
        json!({"entry_time": null, "time": "2024-09-01T10:30:00Z"}),
        json!({"entry_time": null, "timestamp": "2024-09-01T17:30:00+07:00"}),
        json!({"entry_time": null, "timestamp": 1_725_186_600_000_i64}),
        json!({"entry_time": null, "time": "1725186600"}),
        json!({"entry_price": null, "price": 1.085}),
        json!({"entry_price": "1.0850", "price": 1.086}),
        json!({"entry_price": 1.085_000_4}),
        json!({"stop_loss": null, "sl": "1.082"}),
        json!({"take_profits": null, "tp": [1.088, "1.092", {"price": 1.096, "pct": 30}]}),
        json!({"take_profits": null, "take_profit": [1.088, 1.092, 1.096]}),
        json!({"rr_target": "2.5"}),
        json!({"dry_run": false, "signal_type": "entry", "anything": {"else": [1]}}),
    ];
    for spelling in spellings {
        assert_eq!(object(&with(spelling.clone())), expected, "{spelling}");
    }
    for envelope in [
        json!({"signal": documented()}),
        json!({"type": "signal", "data": documented()}),
        json!({"type": "signal", "payload": documented()}),
    ] {
        assert_eq!(object(&envelope), expected, "{envelope}");
    }
}

/// `docs/backend-schema.md` and `docs/orion-ai-integration.md` of the ORION dashboard.
#[test]
fn orion_ai_speaks_two_dialects() {
    let backend_schema = json!({
        "id": "7", "side": "SHORT", "status": "PENDING", "symbol": "MNQ", "time": "2024-09-03T14:00:00Z",
        "price": 19250.3, "stop_loss": 19300, "take_profits": [19200, 19150], "confidence": 91, "killzone": "NY_AM",
        "reason": "BOS"
    });
    let integration = json!({
        "id": 7, "signal_type": "entry", "direction": "sell", "symbol": "MNQZ2026",
        "timestamp": "2024-09-03T14:00:00.000Z", "price": "19250.25", "entry_price": 19250.25, "stop_loss": 19300,
        "take_profits": [19200, 19150], "reason": "BOS", "confidence": 91, "killzone": "NY AM", "dry_run": false
    });
    let expected = json!({
        "id": "7", "status": "pending", "direction": "short", "symbol": "MNQ",
        "entry_time": "2024-09-03T14:00:00.000Z", "entry_price": 19250.25, "stop_loss": 19300,
        "take_profits": [19200, 19150], "tp_modes": [], "reason": "BOS", "confidence": 0.91, "rr_target": 2.02,
        "killzone": "ny_am", "killzone_active": true, "price": 19250.25, "updated_at": "2024-09-01T10:30:00.000Z",
        "expires_at": "2024-09-01T10:35:00.000Z", "invalidation": null, "source": "push"
    });
    assert_eq!(object(&backend_schema), expected);
    assert_eq!(object(&integration), expected);
}

#[test]
fn a_single_target_may_stand_alone() {
    for tp in [json!(1.088), json!("1.088"), json!({"price": 1.088}), json!([1.088]), json!([{"price": "1.088"}])] {
        let pushed = parse(&with(json!({"take_profits": null, "tp": tp}))).unwrap();
        assert_eq!(pushed.draft.take_profits, Some(vec![1.088]), "{tp}");
    }
}

#[test]
fn all_faults_are_named_by_the_senders_spelling() {
    let body = json!({
        "id": "", "side": "up", "symbol": "ABC", "status": "open", "time": "soon", "price": -1, "sl": "low",
        "tp": [1.1, 0, null, {"pct": 3}], "tp_modes": ["a", 1], "reason": 5, "confidence": 150, "rr_target": 1001,
        "killzone": "sydney", "model": "x".repeat(65), "dry_run": "maybe", "invalidation": "why"
    });
    assert_eq!(
        faulty(&body),
        [
            "id",
            "status",
            "invalidation",
            "side",
            "symbol",
            "time",
            "price",
            "sl",
            "tp[1]",
            "tp[2]",
            "tp[3]",
            "tp_modes[1]",
            "reason",
            "confidence",
            "rr_target",
            "killzone",
            "model",
            "dry_run"
        ]
    );
}

#[test]
fn missing_fields_are_named_for_new_signals() {
    assert_eq!(faulty(&json!({})), ["id", "symbol", "direction"]);
    assert_eq!(faulty(&json!({"id": "a"})), ["symbol", "direction"]);
    assert_eq!(faulty(&json!({"symbol": "EURUSD"})), ["id", "direction"]);
    assert_eq!(faulty(&json!({"status": "confirmed"})), ["id"]);
    assert_eq!(faulty(&json!({"id": "a", "status": "done"})), ["status"]);
    assert_eq!(faulty(&json!({"id": "a", "symbol": "EURUSD", "confidence": 101})), ["confidence", "direction"]);
    // These may update a known signal: the pipeline decides.
    assert!(parse(&json!({"id": "a", "status": "confirmed"})).is_ok());
    assert!(parse(&json!({"id": "a", "stop_loss": 1.08})).is_ok());
}

#[test]
fn contradicting_levels_and_words_are_faults() {
    assert_eq!(faulty(&with(json!({"side": "sell"}))), ["side"]);
    assert_eq!(faulty(&with(json!({"confidence": -1, "stop_loss": null, "sl": 1.09}))), ["confidence", "sl"]);
    assert_eq!(faulty(&with(json!({"invalidation": "news"}))), ["invalidation"]);
    let ended = parse(&with(json!({"status": "Invalidated", "invalidation": "news"}))).unwrap();
    assert_eq!(ended.draft.invalidation.unwrap().as_str(), "news");
}

#[test]
fn bounds_hold() {
    for (field, good, bad) in [
        ("id", json!("é".repeat(128)), json!("é".repeat(129))),
        ("id", json!(0), json!(true)),
        ("reason", json!("é".repeat(2000)), json!("é".repeat(2001))),
        ("model", json!("m".repeat(64)), json!(["m"])),
        ("confidence", json!(0), json!(100.5)),
        ("confidence", json!(100), json!("NaN")),
        ("rr_target", json!(1000), json!("inf")),
        ("tp_modes", json!(vec!["m"; 10]), json!(vec!["m"; 11])),
        ("tp_modes", json!(["m".repeat(64)]), json!(["m".repeat(65)])),
        ("take_profits", json!([]), json!((0..11).map(|i| 1.1 + f64::from(i)).collect::<Vec<_>>())),
        ("entry_price", json!(1.083), json!(1e9)),
        ("entry_price", json!(1.083), json!(1e-9)),
        ("entry_time", json!(0), json!(-1)),
    ] {
        assert!(parse(&with(json!({ field: good }))).is_ok(), "{field} {good}");
        let faults = faulty(&with(json!({ field: bad })));
        assert!(faults.iter().all(|name| name.starts_with(field)), "{field} {bad}: {faults:?}");
    }
}

#[test]
fn a_dry_run_is_never_missed() {
    for body in [
        with(json!({"dry_run": true})),
        with(json!({"dry_run": "TRUE"})),
        json!({"signal": documented(), "dry_run": true}),
        json!({"type": "signal", "data": with(json!({"dry_run": true})), "dry_run": false}),
    ] {
        assert!(parse(&body).unwrap().dry_run, "{body}");
    }
    assert_eq!(faulty(&json!({"signal": documented(), "dry_run": 1})), ["dry_run"]);
}

#[test]
fn an_end_needs_a_terminal_status() {
    let fault = |body| fields(&parse_end(&body).unwrap_err()).join(" ");
    assert_eq!(fault(json!({})), "status");
    assert_eq!(fault(json!({"status": "pending", "reason": 1})), "status reason");
    assert_eq!(fault(json!({"status": "confirmed", "reason": "why"})), "reason");
    let draft = parse_end(&json!({"status": "INVALIDATED", "reason": "news"})).unwrap();
    assert_eq!((draft.status, draft.reason), (Some(SignalStatus::Invalidated), None));
    assert_eq!(draft.invalidation.unwrap().as_str(), "news");
}

#[test]
fn prices_come_alone_or_in_batches() {
    let instruments = instruments();
    let parse = |body: Value| parse_prices(&body, &instruments, now(), now());
    let tick = |symbol: &str, quote| Tick {
        symbol: crate::domain::Symbol::new(symbol),
        quote,
        volume: None,
        observed_at: now(),
        feed: Feed::Live,
        source: SourceName::new("push"),
    };
    let one = parse(json!({"symbol": "EUR/USD", "price": "1.0852", "change": "x", "change_percent": null})).unwrap();
    assert_eq!(one, PushedPrices::One(tick("EURUSD", Quote::Last(1.0852))));
    let at = parse_time("2024-09-01T10:29:58Z").unwrap();
    let quoted =
        Tick { volume: Some(5420.0), observed_at: at, ..tick("GOLD", Quote::BidAsk { bid: 2500.1, ask: 2500.3 }) };
    let gold = Tick { symbol: crate::domain::Symbol::new("XAUUSD"), ..quoted };
    let body = json!({"symbol": "GOLD", "price": 2500.2, "bid": 2500.1, "ask": "2500.3", "volume": 5420,
        "timestamp": "2024-09-01T10:29:58Z"});
    assert_eq!(parse(json!({"type": "price_update", "data": body})).unwrap(), PushedPrices::One(gold.clone()));
    let batch = parse(json!({"prices": [body, {"symbol": "NQ", "price": 1}]})).unwrap();
    assert_eq!(batch, PushedPrices::Batch(vec![gold, tick("NQ", Quote::Last(1.0))]));
}

#[test]
fn a_batch_is_all_or_nothing() {
    let fault = |body: Value| parse_prices(&body, &instruments(), now(), now()).unwrap_err();
    let faults = fault(json!({"prices": [
        {"symbol": "EURUSD", "price": 1.1}, {"symbol": "ABC", "price": 0}, 7, {"symbol": "NQ", "bid": 2, "ask": 1},
        {"symbol": "NQ", "bid": 1}, {"symbol": "NQ", "price": 1, "volume": -1, "timestamp": "2024-09-01T10:35:00.001Z"}
    ]}));
    assert_eq!(
        fields(&faults),
        [
            "prices[1].symbol",
            "prices[1].price",
            "prices[2].symbol",
            "prices[2].price",
            "prices[3].bid",
            "prices[4].ask",
            "prices[5].volume",
            "prices[5].timestamp"
        ]
    );
    assert!(matches!(fault(json!({"prices": [{"symbol": "X", "price": 1}]})), PushError::UnknownSymbol(_)));
    for bad in [json!([]), json!({}), json!(vec![1; 1001])] {
        assert_eq!(fields(&fault(json!({"prices": bad}))), ["prices"]);
    }
    assert_eq!(fields(&fault(json!({}))), ["symbol", "price"]);
    assert_eq!(fields(&fault(json!([]))), ["body"]);
}

#[test]
fn each_error_has_its_text() {
    let of = |fault: PushError| serde_json::to_value(fault.body()).unwrap();
    assert_eq!(
        of(parse(&json!({})).unwrap_err()),
        json!({
            "error": "Missing required fields: id, symbol, direction", "code": "validation_failed",
            "details": {"fields": {
                "id": "is required", "symbol": "is required for a new signal",
                "direction": "is required for a new signal"
            }}
        })
    );
    assert_eq!(
        of(parse(&with(json!({"confidence": 150}))).unwrap_err()),
        json!({
            "error": "Invalid field: confidence must be a number from 0 to 1, or up to 100 in percent",
            "code": "validation_failed",
            "details": {"fields": {"confidence": "must be a number from 0 to 1, or up to 100 in percent"}}
        })
    );
    assert_eq!(
        of(parse(&with(json!({"symbol": "US300"}))).unwrap_err()),
        json!({
            "error": "Unknown symbol 'US300'", "code": "unknown_symbol",
            "details": {"fields": {"symbol": "unknown symbol 'US300'"}}
        })
    );
    let many = (0..13).map(|i| Fault::new(format!("f{i}"), "must be")).collect();
    assert_eq!(
        PushError::Invalid(many).to_string(),
        "Invalid fields: f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 and 3 more"
    );
}

/// Creates a push into a pipeline that answers with `answer`.
fn push_to(
    answer: impl Fn(Input) -> Result<Accepted, SubmitError> + Send + 'static,
) -> (Push, Arc<Metrics>, mpsc::Receiver<Input>) {
    let (handle, mut requests) = Handle::channel();
    let (seen, inputs) = mpsc::channel(16);
    Tasks::new().spawn_connection(async move {
        while let Some(Request { input, answer: Some(to), .. }) = requests.recv().await {
            // Some tests do not read the inputs.
            seen.try_send(input.clone()).ok();
            to.send(answer(input)).unwrap();
        }
    });
    let metrics = Arc::new(Metrics::new().unwrap());
    (Push::new(handle, instruments(), Arc::new(now), metrics.clone()), metrics, inputs)
}

#[tokio::test]
async fn the_answers_are_the_documented_ones() {
    let ended = |input| {
        let Input::Signal { id, draft, source, .. } = input else { return Ok(Accepted::Ticks(Vec::new())) };
        let now = Now { wall: now(), mono: Duration::ZERO };
        let draft = SignalDraft { status: draft.status, ..parse(&documented()).unwrap().draft };
        let instrument = Instruments::documented().swap_remove(0);
        Ok(Accepted::Signal(Arc::new(Signal::create(id, &draft, &instrument, source, now, TTL).unwrap())))
    };
    let (push, metrics, mut inputs) = push_to(ended);
    let json = |answer: Answered<SignalAnswer>| serde_json::to_value(answer).unwrap();
    let answer = |status: &str, dry_run| {
        json!({
            "success": true, "message": "Signal received successfully", "signal_id": "sig_001", "status": status,
            "dry_run": dry_run, "line_sent": false, "timestamp": "2024-09-01T10:30:00.000Z"
        })
    };
    assert_eq!(json(push.signal(&documented()).await.unwrap()), answer("pending", false));
    assert!(matches!(inputs.recv().await.unwrap(), Input::Signal { feed: Feed::Live, .. }));
    assert_eq!(json(push.signal(&with(json!({"dry_run": true}))).await.unwrap()), answer("pending", true));
    assert!(inputs.try_recv().is_err(), "a dry run reached the pipeline");
    let lacking = json!({"id": "a", "symbol": "EURUSD", "dry_run": true});
    let fault = push.signal(&lacking).await.unwrap_err().body();
    assert_eq!(fault.details, Some(json!({"fields": {"direction": "is required for a new signal"}})));
    let levels = with(json!({"dry_run": true, "stop_loss": null, "sl": 1.09}));
    let fault = push.signal(&levels).await.unwrap_err().body();
    let stop = "must be below the entry price of a long signal";
    assert_eq!(fault.details, Some(json!({"fields": {"sl": stop}})));
    let end = json!({"status": "confirmed"});
    assert_eq!(json(push.update("sig_001", &end).await.unwrap()), answer("confirmed", false));

    let price = json!({"symbol": "eurusd", "bid": 1.0852, "ask": 1.08526});
    assert_eq!(
        serde_json::to_value(push.prices(&price).await.unwrap()).unwrap(),
        json!({
            "success": true, "message": "Price update received", "symbol": "EURUSD", "price": 1.08523,
            "timestamp": "2024-09-01T10:30:00.000Z"
        })
    );
    let batch = json!({"prices": [price, price]});
    assert_eq!(
        serde_json::to_value(push.prices(&batch).await.unwrap()).unwrap(),
        json!({"success": true, "message": "Price updates received", "accepted": 2})
    );
    let text = metrics.render().unwrap();
    assert!(text.contains("orion_rejected_total{kind=\"signal\",reason=\"validation_failed\"} 2"), "{text}");
}

#[tokio::test]
async fn pipeline_rejections_have_texts_for_the_sender() {
    let id = SignalId::new("sig_001").unwrap();
    let stop = || vec![Fault::new("stop_loss", "must be below")];
    let terminal = Contradiction::Terminal { id: id.clone(), status: SignalStatus::Confirmed };
    for (answer, code) in [
        (SubmitError::Rejected(Rejection::Faults(stop())), "validation_failed"),
        (SubmitError::Rejected(Contradiction::Faults(stop()).into()), "validation_failed"),
        (SubmitError::Rejected(terminal.into()), "signal_terminal"),
        (SubmitError::Rejected(Rejection::UnknownSignal(id)), "signal_not_found"),
        (SubmitError::Rejected(Rejection::TooManyPending), "overloaded"),
        (SubmitError::Rejected(Rejection::Replaying), "replaying"),
        (SubmitError::NotStored("the disk with /data is full".into()), "not_stored"),
        (SubmitError::Overloaded, "overloaded"),
        (SubmitError::Stopped, "draining"),
    ] {
        let (push, ..) = push_to(move |_| Err(answer.clone()));
        let body = push.signal(&with(json!({"stop_loss": null, "sl": 1.08}))).await.unwrap_err().body();
        assert_eq!(body.code.name(), code);
        assert!(!body.error.contains("/data"), "{}", body.error);
        if code == "validation_failed" {
            assert_eq!(body.details, Some(json!({"fields": {"sl": "must be below"}})));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_pipeline_times_out() {
    let (handle, _requests) = Handle::channel();
    let push = Push::new(handle, instruments(), Arc::new(now), Arc::new(Metrics::new().unwrap()));
    assert_eq!(push.signal(&documented()).await, Err(PushError::TimedOut));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            prop::collection::vec((any_word(), inner), 0..12)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Words that the parsers know, mixed with unknown ones.
fn any_word() -> impl Strategy<Value = String> {
    const WORDS: [&str; 34] = [
        "id",
        "status",
        "direction",
        "side",
        "symbol",
        "entry_time",
        "time",
        "timestamp",
        "entry_price",
        "price",
        "stop_loss",
        "sl",
        "take_profits",
        "take_profit",
        "tp",
        "tp_modes",
        "reason",
        "confidence",
        "rr_target",
        "killzone",
        "model",
        "invalidation",
        "dry_run",
        "signal",
        "type",
        "data",
        "payload",
        "prices",
        "bid",
        "ask",
        "volume",
        "EURUSD",
        "long",
        "1.1",
    ];
    prop_oneof![4 => prop::sample::select(WORDS.to_vec()).prop_map(ToOwned::to_owned), 1 => any::<String>()]
}

/// Returns whether a fault names a field of the body, or a required one.
fn names_something(value: &Value, fault: &Fault) -> bool {
    let name = fault.field.rsplit('.').next().unwrap().split('[').next().unwrap();
    let required = fault.kind == FaultKind::Missing;
    required || name == "body" || value.to_string().contains(&format!("\"{name}\":"))
}

proptest! {
    #[test]
    fn no_json_panics_and_faults_name_fields(value in any_json()) {
        let instruments = instruments();
        let faults = [
            parse_signal(&value, &instruments).err(),
            parse_prices(&value, &instruments, now(), now()).err(),
            parse_end(&value).err(),
        ];
        for fault in faults.into_iter().flatten() {
            prop_assert!(!fault.faults().is_empty());
            for each in fault.faults() {
                prop_assert!(names_something(&value, each), "{each:?} in {value}");
            }
        }
    }

    #[test]
    fn an_accepted_signal_is_within_bounds(value in any_json(), price in -2.0f64..3.0, score in -1.0f64..120.0) {
        let body = with(json!({"entry_price": price, "confidence": score, "rr_target": value, "tp_modes": value}));
        if let Ok(pushed) = parse(&body) {
            let draft = pushed.draft;
            prop_assert!(draft.confidence.is_none_or(|score| (0.0..=1.0).contains(&score)));
            prop_assert!(draft.entry_price.is_none_or(|price| price > 0.0 && price.is_finite()));
            prop_assert!(draft.rr_target.is_none_or(|ratio| (0.0..=1000.0).contains(&ratio)));
        }
    }
}
