//! The log in the order of time.

use super::*;
use crate::domain::OutcomeClass;
use crate::store::{Timeline, TimelineEntry};

fn at(seconds: i64) -> DateTime<Utc> {
    start() + chrono::TimeDelta::seconds(seconds)
}

fn changed(id: &str, state: SignalState, seconds: i64) -> Arc<Signal> {
    Arc::new(Signal { updated_at: at(seconds), ..signal(id, state) })
}

fn bar(symbol: &str, minute: i64) -> Bar {
    Bar::opening(Symbol::new(symbol), at(60 * minute), 1.0, 0.0)
}

async fn read(mut timeline: Timeline) -> Vec<String> {
    let mut told = Vec::new();
    while let Some((known_at, entry)) = timeline.next().await.unwrap() {
        let seconds = (known_at - start()).num_seconds();
        told.push(match entry {
            TimelineEntry::Minute(bar) => format!("{seconds} {}", bar.symbol),
            TimelineEntry::Signal(signal) => format!("{seconds} {} {}", signal.id, signal.state.status().name()),
            TimelineEntry::Outcome(outcome) => format!("{seconds} {} closed", outcome.signal),
        });
    }
    told
}

#[tokio::test]
async fn entries_come_in_the_order_of_time() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    store.save_bars(vec![bar("EURUSD", 0), bar("XAUUSD", 0), bar("EURUSD", 1), bar("EURUSD", 600), bar("EURUSD", 601)]);
    // The log has another order than time: the deadline of `b` was noticed late.
    let events = vec![
        changed("a", SignalState::Pending, 10),
        changed("b", SignalState::Pending, 20),
        changed("a", SignalState::Confirmed, 60),
        changed("b", SignalState::Invalidated(Invalidation::TIMEOUT), 50),
    ];
    let outcome = TradeOutcome { closed_at: at(60), ..TradeOutcome::unwatched(&events[2], OutcomeClass::Stop) };
    store.log(events).await.unwrap();
    store.append_outcomes(vec![outcome], Vec::new()).await.unwrap();
    store.close().await.unwrap();

    let between = |after, until| read(Timeline::between(store.reader(), at(after), at(until)));
    let all = [
        "10 a pending",
        "20 b pending",
        "50 b invalidated",
        "60 EURUSD",
        "60 XAUUSD",
        "60 a confirmed",
        "60 a closed",
        "120 EURUSD",
        "36060 EURUSD",
        "36120 EURUSD",
    ];
    assert_eq!(between(0, 86_400).await, all);
    // Each span is the rest of the one before.
    for (cut, moment) in [(0, 0), (1, 10), (3, 50), (7, 60), (7, 119), (8, 120), (8, 36_059), (9, 36_060), (10, 36_120)]
    {
        assert_eq!(between(-60, moment).await, all[..cut], "up to {moment}");
        assert_eq!(between(moment, 86_400).await, all[cut..], "after {moment}");
    }
    let state = |moment| read(Timeline::state_at(store.reader(), at(moment)));
    assert_eq!(state(55).await, ["10 a pending", "50 b invalidated"]);
    let later = ["50 b invalidated", "60 XAUUSD", "60 a confirmed", "60 a closed", "120 EURUSD"];
    assert_eq!(state(500).await, later);
    // A day later only the last minutes are known, however old they are.
    assert_eq!(state(2 * 86_400).await, ["60 XAUUSD", "36120 EURUSD"]);
}

#[tokio::test]
async fn a_page_ends_anywhere_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    // More than a page of the same millisecond, and more than one of records.
    let signals: Vec<_> =
        (0..600).map(|number| changed(&format!("s{number:03}"), SignalState::Confirmed, 30)).collect();
    let outcomes = signals.iter().map(|signal| TradeOutcome::unwatched(signal, OutcomeClass::Unmeasured)).collect();
    store.log(signals).await.unwrap();
    store.append_outcomes(outcomes, Vec::new()).await.unwrap();
    let told = read(Timeline::between(store.reader(), at(0), at(60))).await;
    let expected: Vec<_> = ["confirmed", "closed"]
        .into_iter()
        .flat_map(|end| (0..600).map(move |number| format!("30 s{number:03} {end}")))
        .collect();
    assert_eq!(told, expected);
}
