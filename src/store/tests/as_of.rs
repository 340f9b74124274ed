//! The log as it was at an earlier time.

use super::*;
use crate::store::as_of::Cutoff;
use crate::store::{HistoryQuery, Since};

/// Seconds after [`start`] that the store's clock shows.
static PASSED: AtomicI64 = AtomicI64::new(0);

fn ticking() -> DateTime<Utc> {
    start() + chrono::TimeDelta::seconds(PASSED.load(Ordering::SeqCst))
}

fn all() -> HistoryQuery {
    HistoryQuery { status: None, symbol: None, killzone: None, filter: None, since: None, before: None, limit: 10 }
}

#[tokio::test]
async fn a_reader_of_then_sees_nothing_later() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open_with(dir.path(), Options { clock: ticking, ..options() }).unwrap();
    let at = |seconds| start() + chrono::TimeDelta::seconds(seconds);
    let append = async |seconds: i64, signal: Arc<Signal>| {
        PASSED.store(seconds, Ordering::SeqCst);
        store.append(vec![signal], Vec::new(), Vec::new()).await.unwrap();
    };
    append(0, pending("a")).await;
    append(10, pending("b")).await;
    append(20, confirmed("a")).await;
    append(30, pending("c")).await;
    let bar = |minute: i64| Bar {
        symbol: Symbol::new("EURUSD"),
        opened_at: at(60 * minute),
        open: 1.0,
        high: 1.0,
        low: 1.0,
        close: 1.0,
        volume: 0.0,
        simulated: false,
    };
    store.save_bars((0..3).map(bar).collect());
    store.append(vec![pending("d")], Vec::new(), Vec::new()).await.unwrap();
    let (live, symbol) = (store.reader(), Symbol::new("EURUSD"));
    while live.bars(&symbol, BarInterval::OneMinute, 10).await.unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }

    let seq = live.last_event_at(at(15)).await.unwrap();
    assert_eq!(seq, 2);
    let cutoff = Arc::new(Cutoff::new(seq, at(15)));
    let then = live.as_of(&cutoff);
    let ids = |page: crate::store::HistoryPage| {
        page.signals.iter().map(|signal| format!("{} {}", signal.id, signal.state.status().name())).collect::<Vec<_>>()
    };
    assert_eq!(ids(then.history(all()).await.unwrap()), ["b pending", "a pending"]);
    assert_eq!(then.events_after(0, 100).await.unwrap().len(), 2);
    let (a, life) = then.signal(&SignalId::new("a").unwrap()).await.unwrap().unwrap();
    assert!(a.state.is_pending() && life.len() == 1);
    assert!(then.signal(&SignalId::new("c").unwrap()).await.unwrap().is_none());
    let confirmed = HistoryQuery { status: Some(SignalStatus::Confirmed), ..all() };
    assert_eq!(ids(then.history(confirmed.clone()).await.unwrap()), [""; 0]);
    assert_eq!(then.open_records().await.unwrap().len(), 0);
    let changed = HistoryQuery { since: Some(Since::Seq(1)), ..all() };
    assert_eq!(ids(then.history(changed).await.unwrap()), ["b pending"]);
    let recovered = then.recover(start() - DAY, message_type).await.unwrap();
    assert_eq!((recovered.position.seq, recovered.recent.len(), recovered.pending.len()), (2, 2, 2));
    assert_eq!(then.bars(&symbol, BarInterval::OneMinute, 10).await.unwrap().len(), 0);

    cutoff.set_seq(3);
    cutoff.set_time(at(120));
    assert_eq!(ids(then.history(confirmed).await.unwrap()), ["a confirmed"]);
    assert_eq!(then.open_records().await.unwrap().len(), 1);
    // A bar is there when its minute is over.
    assert_eq!(then.bars(&symbol, BarInterval::OneMinute, 10).await.unwrap().len(), 2);
    // Neither moves back.
    cutoff.set_seq(1);
    cutoff.set_time(start());
    assert_eq!(then.events_after(0, 100).await.unwrap().len(), 3);
    assert_eq!(live.history(all()).await.unwrap().signals.len(), 4);
}
