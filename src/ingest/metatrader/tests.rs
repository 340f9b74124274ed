use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::{Accepted, Feed, Input, Rejection, parse_time};
use crate::pipeline::{Handle, Request};
use crate::tasks::Tasks;
use crate::telemetry::{SourceState, SourceStates};

fn now() -> DateTime<Utc> {
    parse_time("2024-11-20T08:00:01Z").unwrap()
}

fn instruments() -> Arc<Instruments> {
    Arc::new(Instruments::new(Instruments::documented()).unwrap())
}

/// The exact bytes that the Expert Advisor sends.
fn batch(seq: u64, ticks: &Value) -> Value {
    json!({"v": 1, "type": "ticks", "src": "mt5", "seq": seq, "utc_off": 10800, "connected": true, "ticks": ticks})
}

fn tick(symbol: &str, bid: f64, millis: i64) -> Value {
    json!({"s": symbol, "b": bid, "a": bid + 0.00012, "d": 5, "t": 1_732_089_600_000_i64 + millis})
}

fn read(value: &Value) -> TickBatch {
    match parse(value, &instruments(), now()).unwrap() {
        Post::Ticks(batch) => batch,
        Post::Signal { .. } => panic!("a signal"),
    }
}

fn fault(value: &Value) -> String {
    parse(value, &instruments(), now()).unwrap_err().to_string()
}

#[test]
fn a_batch_is_read_with_the_brokers_names() {
    let batch = read(&batch(7, &json!([tick("EURUSD.m", 1.08512, 123), tick("US30.cash", 42_000.5, 0)])));
    assert_eq!((batch.source.as_str(), batch.seq, batch.utc_offset, batch.connected), ("mt5", 7, Some(10_800), true));
    let (index, spelling, tick) = &batch.ticks[0];
    assert_eq!((*index, spelling.as_str(), tick.symbol.as_str()), (0, "EURUSD.m", "EURUSD"));
    assert_eq!(iso(tick.observed_at), "2024-11-20T08:00:00.123Z");
    assert_eq!((tick.feed, tick.source.as_str()), (Feed::Live, "mt5"));
    assert_eq!(batch.ticks[1].2.symbol.as_str(), "US30");
    assert!(batch.refused.is_empty() && !batch.ahead);
}

#[test]
fn an_invalid_tick_does_not_affect_others() {
    let ticks = json!([
        tick("EURUSD", 1.1, 0),
        tick("DAX40", 1.1, 0),
        {"s": "EURUSD", "b": 1.2, "a": 1.1, "t": 1},
        {"s": "EURUSD", "b": 0, "a": 1.1, "t": 1},
        {"s": "EURUSD", "b": 1.1, "t": 1},
        {"b": 1.1, "a": 1.1},
        {"s": "EURUSD", "b": 1.1, "a": 1.1, "t": "soon"},
        7,
        {"s": "GBPUSD", "b": "1.3", "a": "1.3001"}
    ]);
    let batch = read(&batch(1, &ticks));
    assert_eq!(batch.ticks.iter().map(|(index, ..)| *index).collect::<Vec<_>>(), [0, 8]);
    assert_eq!(batch.ticks[1].2.observed_at, now(), "undated: the arrival");
    let refused: Vec<_> = batch.refused.iter().map(|refused| (refused.index, refused.code)).collect();
    assert_eq!(
        refused,
        [
            (1, "unknown_symbol"),
            (2, "invalid"),
            (3, "invalid"),
            (4, "invalid"),
            (5, "invalid"),
            (6, "invalid"),
            (7, "invalid")
        ]
    );
    assert_eq!(batch.refused[0].symbol, "DAX40");
    assert_eq!(batch.refused[1].reason, "b must not be above a");
}

#[test]
fn future_ticks_get_their_arrival_time() {
    let late = read(&batch(1, &json!([tick("EURUSD", 1.1, 6_000)])));
    assert!(!late.ahead, "a clock may be some seconds off");
    let hours = read(&batch(1, &json!([tick("EURUSD", 1.1, 3_600_000)])));
    assert!(hours.ahead);
    assert_eq!(hours.ticks[0].2.observed_at, now());
}

#[test]
fn a_level_of_zero_is_absent() {
    let sent = json!({"v": 1, "type": "signal", "src": "mt5", "id": "a", "symbol": "EURUSD", "direction": "buy", "entry": 1.16,
        "sl": 0.0, "tp": "0.00000", "tp2": 0, "take_profits": [{"price": 0, "pct": 50}, {"price": 1.17, "pct": 50}], "confidence": 0});
    let Post::Signal { signal, .. } = parse(&sent, &instruments(), now()).unwrap() else { panic!("no signal") };
    let pushed = crate::ingest::parse_signal(&signal, &instruments()).unwrap();
    assert_eq!((pushed.draft.stop_loss, pushed.draft.take_profits), (None, Some(vec![1.17])));
    assert_eq!((pushed.draft.confidence, pushed.draft.tp_modes), (Some(0.0), Some(vec!["TP1 50%".to_owned()])));
    assert_eq!(pushed.ignored, Vec::<String>::new(), "what the Expert Advisor always sends is not news to it");
}

#[test]
fn an_invalid_post_is_rejected_as_a_whole() {
    let with = |field: &str, value: Value| {
        let mut batch = batch(1, &json!([]));
        batch[field] = value;
        fault(&batch)
    };
    assert!(with("v", json!(2)).contains("must be 1"));
    assert!(with("type", json!("bars")).contains("must be ticks or signal"));
    assert!(with("src", json!("ctrader")).contains("mt5, mt4"));
    assert!(with("seq", json!(-1)).contains("whole number"));
    assert!(with("utc_off", json!(99_999)).contains("from -50400 to 50400"));
    assert!(with("ticks", json!({})).contains("list of at most 1000"));
    assert!(with("ticks", json!(vec![0; 1001])).contains("list of at most 1000"));
    assert_eq!(fault(&json!({"v": 1, "type": "ticks"})), "Missing required fields: seq, ticks");
    assert_eq!(fault(&json!([])), "Invalid field: body must be a JSON object");
}

#[test]
fn a_signal_becomes_a_pushed_signal() {
    let sent = json!({"v": 1, "type": "signal", "src": "mt4", "id": "a", "symbol": "EURUSD.m", "setup": "MSS+FVG", "tf": "M15",
        "direction": "long", "entry": 1.085, "stop_loss": 1.082,
        "take_profits": [{"price": 1.088, "pct": 30}, {"price": 1.092, "pct": 70}], "confidence": 0.85});
    let Post::Signal { source, signal } = parse(&sent, &instruments(), now()).unwrap() else { panic!("no signal") };
    assert_eq!(source.as_str(), "mt4");
    let pushed = crate::ingest::parse_signal(&signal, &instruments()).unwrap().draft;
    assert_eq!(pushed.entry_price, Some(1.085));
    assert_eq!(pushed.reason.as_deref(), Some("MSS+FVG M15"));
    assert_eq!(pushed.take_profits, Some(vec![1.088, 1.092]));
    assert_eq!(pushed.tp_modes, Some(vec!["TP1 30%".to_owned(), "TP2 70%".to_owned()]));
}

/// A receiver with a pipeline that accepts everything, unless it is told not to.
struct Bridge {
    metatrader: MetaTrader,
    states: SourceStates,
    metrics: Arc<Metrics>,
    refuse: Arc<AtomicBool>,
    taken: mpsc::Receiver<Vec<Tick>>,
}

impl Bridge {
    fn new() -> Self {
        let (handle, mut requests) = Handle::channel();
        let (sender, taken) = mpsc::channel(16);
        let refuse = Arc::new(AtomicBool::new(false));
        let refusing = refuse.clone();
        Tasks::new().spawn_connection(async move {
            while let Some(Request { input, answer, .. }) = requests.recv().await {
                let answer = answer.unwrap();
                if refusing.load(Ordering::Relaxed) {
                    answer.send(Err(Rejection::Replaying.into())).unwrap();
                } else {
                    let Input::Ticks(ticks) = input else { panic!("{input:?}") };
                    sender.try_send(ticks).unwrap();
                    answer.send(Ok(Accepted::Ticks(Vec::new()))).unwrap();
                }
            }
        });
        let metrics = Arc::new(Metrics::new().unwrap());
        let states = SourceStates::new(&metrics);
        let push = Push::new(handle, instruments(), Arc::new(now), metrics.clone());
        let metatrader = MetaTrader::new(push, instruments(), Arc::new(now), metrics.clone(), states.clone());
        Self { metatrader, states, metrics, refuse, taken }
    }

    async fn send(&self, value: &Value) -> Result<TicksAnswer, PushError> {
        self.metatrader.receive(value).await.map(|answer| match answer {
            PostAnswer::Ticks(answer) => answer,
            PostAnswer::Signal(answer) => panic!("{answer:?}"),
        })
    }

    fn state(&self, name: &str) -> SourceState {
        self.states.list().into_iter().find(|source| source.name.as_str() == name).unwrap().state
    }
}

#[tokio::test]
async fn an_unacknowledged_batch_is_accepted_once() {
    let mut bridge = Bridge::new();
    let first = batch(1, &json!([tick("EURUSD", 1.1, 0), tick("DAX40", 1.1, 0)]));
    bridge.refuse.store(true, Ordering::Relaxed);
    assert_eq!(bridge.send(&first).await, Err(PushError::Replaying));
    bridge.refuse.store(false, Ordering::Relaxed);
    let answer = bridge.send(&first).await.unwrap();
    assert_eq!((answer.seq, answer.accepted, answer.duplicate, answer.rejected.len()), (1, 1, false, 1));
    let again = bridge.send(&first).await.unwrap();
    assert_eq!((again.seq, again.accepted, again.duplicate, again.rejected.len()), (1, 0, true, 0));
    // A restarted terminal counts from the beginning.
    let restarted = bridge.send(&batch(1, &json!([tick("EURUSD", 1.2, 500)]))).await.unwrap();
    assert_eq!((restarted.accepted, restarted.duplicate), (1, false));
    assert_eq!(bridge.taken.recv().await.unwrap()[0].quote.mid(), 1.100_06);
    assert_eq!(bridge.taken.recv().await.unwrap()[0].quote.mid(), 1.200_06);
    assert!(bridge.taken.try_recv().is_err());
    assert_eq!(bridge.metrics.source_ticks_total.with_label_values(&["mt5"]).get(), 2);
    assert_eq!(bridge.metrics.source_rejected_total.with_label_values(&["mt5", "unknown_symbol"]).get(), 1);
}

#[tokio::test]
async fn a_late_tick_is_rejected() {
    let bridge = Bridge::new();
    bridge.send(&batch(2, &json!([tick("EURUSD", 1.1, 500)]))).await.unwrap();
    let late = bridge.send(&batch(1, &json!([tick("EURUSD", 1.2, 0), tick("GBPUSD", 1.3, 0)]))).await.unwrap();
    assert_eq!((late.accepted, late.rejected[0].code, late.rejected[0].index), (1, "out_of_order", 0));
    let same = bridge.send(&batch(3, &json!([tick("EURUSD", 1.1, 500)]))).await.unwrap();
    assert_eq!(same.rejected[0].code, "duplicate");
    // A tick one hour back shows a changed clock, not a late tick.
    let moved = bridge.send(&batch(4, &json!([tick("EURUSD", 1.1, -3_600_000)]))).await.unwrap();
    assert_eq!(moved.accepted, 1);
    let then = bridge.send(&batch(5, &json!([tick("EURUSD", 1.2, -3_599_000)]))).await.unwrap();
    assert_eq!(then.accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn keep_alives_keep_the_terminal_live() {
    let mut bridge = Bridge::new();
    let stop = CancellationToken::new();
    let (watched, stopping) = (bridge.states.clone(), stop.clone());
    Tasks::new().spawn_connection(watched.watch(stopping, || None));
    assert_eq!((bridge.state("mt5"), bridge.state("mt4")), (SourceState::Off, SourceState::Off));
    assert!(
        !bridge.metrics.render().unwrap().contains("source_up{source=\"mt5\"}"),
        "nobody is alarmed by what is not used"
    );
    for seq in 1..10 {
        bridge.send(&batch(seq, &json!([]))).await.unwrap();
        assert_eq!(bridge.state("mt5"), SourceState::Live);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(bridge.taken.try_recv().is_err(), "nothing was ticked");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(bridge.state("mt5"), SourceState::Stalled);
    assert_eq!(bridge.metrics.source_up.with_label_values(&["mt5"]).get(), 0);
    let mut cut_off = batch(10, &json!([]));
    cut_off["connected"] = json!(false);
    bridge.send(&cut_off).await.unwrap();
    assert_eq!(bridge.state("mt5"), SourceState::Stalled, "the terminal lives, its broker does not answer");
    bridge.send(&batch(11, &json!([]))).await.unwrap();
    assert_eq!((bridge.state("mt5"), bridge.state("mt4")), (SourceState::Live, SourceState::Off));
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_terminal_without_prices_stalls_in_market_hours() {
    let bridge = Bridge::new();
    let stop = CancellationToken::new();
    let open = Arc::new(AtomicBool::new(false));
    let (watched, stopping, is_open) = (bridge.states.clone(), stop.clone(), open.clone());
    let patience = move || is_open.load(Ordering::Relaxed).then_some(Duration::from_secs(60));
    Tasks::new().spawn_connection(watched.watch(stopping, patience));
    let mut seq = 0;
    let mut beats = async |count: u64| {
        for _ in 0..count {
            seq += 1;
            bridge.send(&batch(seq, &json!([]))).await.unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    beats(40).await;
    assert_eq!(bridge.state("mt5"), SourceState::Live, "on a Saturday");
    open.store(true, Ordering::Relaxed);
    beats(11).await;
    assert_eq!(bridge.state("mt5"), SourceState::Live, "it has just opened");
    beats(3).await;
    assert_eq!(bridge.state("mt5"), SourceState::Stalled);
    beats(3).await;
    assert_eq!(bridge.state("mt5"), SourceState::Stalled, "a sign of life is no price");
    bridge.send(&batch(1000, &json!([tick("EURUSD", 1.1, 0)]))).await.unwrap();
    assert_eq!(bridge.state("mt5"), SourceState::Live);
    stop.cancel();
}

#[tokio::test]
async fn memory_of_batches_is_bounded() {
    let bridge = Bridge::new();
    for seq in 0..2 * REMEMBERED as u64 {
        bridge.send(&batch(seq, &json!([]))).await.unwrap();
    }
    assert_eq!(bridge.metatrader.seen.lock().batches.len(), REMEMBERED);
}

fn any_json() -> impl Strategy<Value = Value> {
    const WORDS: [&str; 16] = [
        "v",
        "type",
        "ticks",
        "signal",
        "src",
        "mt5",
        "seq",
        "utc_off",
        "connected",
        "s",
        "b",
        "a",
        "t",
        "EURUSD",
        "take_profits",
        "pct",
    ];
    let word = || prop_oneof![4 => prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 12, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..12)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_tick_is_accepted_or_named(entries in prop::collection::vec(any_json(), 0..20)) {
        let batch = read(&batch(1, &Value::Array(entries.clone())));
        prop_assert_eq!(batch.ticks.len() + batch.refused.len(), entries.len());
        for (_, _, tick) in batch.ticks {
            prop_assert!(tick.quote.mid() > 0.0 && tick.quote.mid().is_finite());
        }
    }

    #[test]
    fn no_json_panics(value in any_json()) {
        parse(&value, &instruments(), now()).ok();
    }
}
