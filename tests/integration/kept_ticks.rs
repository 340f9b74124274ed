//! The ticks that made bars are kept on disk, in their order, over a kill and a restart; no others.

use std::path::Path;

use chrono::{DateTime, Utc};
use orion_server::domain::{KeptEntry, Quote};
use orion_server::ticks;
use serde_json::json;

use crate::support::Server;

/// Pushes a price of EURUSD.
pub(crate) async fn push(server: &Server, bid: f64) {
    let body = json!({"symbol": "EURUSD", "bid": bid, "ask": bid + 0.0002});
    let (status, answer) = server.post("/api/prices", &body).await;
    assert_eq!(status, 200, "{answer}");
}

/// What was kept, in short: the bids of EURUSD, and `None` for each beginning.
pub(crate) fn kept(data: &Path) -> Vec<Option<f64>> {
    let entries = ticks::read(data, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    entries
        .map(|entry| match entry.unwrap() {
            KeptEntry::Began(_) => None,
            KeptEntry::Tick(used) => {
                assert_eq!((used.tick.symbol.as_str(), used.tick.source.as_str()), ("EURUSD", "push"));
                let Quote::BidAsk { bid, ask } = used.tick.quote else { panic!("{used:?}") };
                assert!((ask - bid - 0.0002).abs() < 1e-9 && used.received_at >= used.tick.observed_at, "{used:?}");
                Some(bid)
            }
            KeptEntry::Lost(..) => panic!("nothing is lost"),
        })
        .collect()
}

#[tokio::test]
async fn pushed_ticks_survive_kill_and_stop() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_on(data.path(), &[]).await;
    for bid in [1.1, 1.1003, 1.1001] {
        push(&server, bid).await;
    }
    server.until("orion_ticks_kept_total", "", |kept| kept == 3.0).await;
    assert!(server.metric("orion_ticks_bytes", "").await > 0.0);
    server.kill().await;
    assert_eq!(kept(data.path()), [None, Some(1.1), Some(1.1003), Some(1.1001)]);
    assert_eq!(ticks::days(data.path()).len(), 1);
    // A clean stop writes what waits.
    let server = Server::start_on(data.path(), &[]).await;
    push(&server, 1.1004).await;
    server.stop().await;
    assert_eq!(kept(data.path())[4..], [None, Some(1.1004)]);
    // Without retention nothing is kept, also not from before.
    let server = Server::start_on(data.path(), &[("ORION_DATA__TICK_RETENTION", "0s")]).await;
    push(&server, 1.1005).await;
    server.stop().await;
    assert_eq!(kept(data.path()), []);
    assert!(!data.path().join("ticks").exists());
}

#[tokio::test]
async fn simulated_ticks_are_not_kept() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("ORION_SOURCES", "simulator"), ("ORION_SIMULATOR__TICK_INTERVAL", "10ms")];
    let server = Server::start_on(data.path(), &settings).await;
    server.until("orion_events_in_total", "source=\"simulator\"", |ticks| ticks > 100.0).await;
    push(&server, 1.1).await;
    let simulated = server.metric("orion_events_in_total", "source=\"simulator\"").await;
    server.until("orion_events_in_total", "source=\"simulator\"", |ticks| ticks > simulated + 100.0).await;
    server.stop().await;
    assert_eq!(kept(data.path()), [None, Some(1.1)]);
}

#[tokio::test]
async fn ticks_of_a_recording_are_not_kept() {
    let data = tempfile::tempdir().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let rows = "2026-01-15T10:00:00Z,1.1,1.1002\n2026-01-15T10:00:01Z,1.1001,1.1003\n";
    std::fs::write(file.path(), format!("time,bid,ask\n{rows}")).unwrap();
    let settings = [
        ("ORION_SOURCES", "replay"),
        ("ORION_REPLAY_FILE", file.path().to_str().unwrap()),
        ("ORION_REPLAY_SYMBOL", "EUR/USD"),
        ("ORION_REPLAY_SPEED", "max"),
    ];
    let server = Server::start_on(data.path(), &settings).await;
    server.until("orion_events_in_total", "source=\"replay\"", |ticks| ticks == 2.0).await;
    server.stop().await;
    assert!(!data.path().join("ticks").exists());
}
