//! The track record of the real binary over restarts and crashes, and what `verify` says of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::backtesting::{exported, recomputed, stats_of};
use crate::support::{Server, binary, soon};

async fn start(data: &Path) -> Server {
    Server::start_on(data, &[("ORION_SETUPS", "none")]).await
}

/// A long from 1.1 with a stop at 1.09 and targets at 1.11 and 1.12, confirmed as it comes.
async fn push(server: &Server, id: &str, symbol: &str) {
    let signal = json!({
        "id": id, "symbol": symbol, "direction": "long", "status": "confirmed", "entry_price": 1.1, "stop_loss": 1.09,
        "take_profits": [1.11, 1.12], "tp_modes": ["TP1 50%", "TP2 50%"], "confidence": 0.7,
    });
    server.push(&signal).await;
}

async fn price(server: &Server, symbol: &str, price: f64) {
    let (status, answer) = server.post("/api/prices", &json!({"symbol": symbol, "price": price})).await;
    assert_eq!(status, 200, "{answer}");
}

/// The record of a signal, once it is stored.
async fn record(server: &Server, id: &str) -> Value {
    soon("the record is stored", async {
        loop {
            let (_, life) = server.get(&format!("/api/signals/{id}")).await;
            if let Some(outcome) = life.get("outcome") {
                return outcome.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Waits until it is stored that a position was entered.
async fn entered(data: &Path) {
    let database = rusqlite::Connection::open(data.join("orion.db")).unwrap();
    let filled = "SELECT count(*) FROM open_outcomes WHERE body ->> 'fill' IS NOT NULL";
    soon("the position is stored", async {
        while database.query_row(filled, [], |row| row.get::<_, u64>(0)).unwrap() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn verified(data: &Path) -> (Option<i32>, String) {
    let output = binary().args(["verify", "--dir", data.to_str().unwrap()]).output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn records_go_on_over_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path()).await;
    for (id, symbol) in [("stopped", "EURUSD"), ("beyond", "GBPUSD"), ("open", "USDJPY")] {
        price(&server, symbol, 1.1).await;
        push(&server, id, symbol).await;
        price(&server, symbol, 1.1).await;
    }
    server.push(&json!({"id": "empty", "symbol": "EURUSD", "direction": "long", "status": "confirmed"})).await;
    assert_eq!(record(&server, "empty").await["class"], "unmeasured");
    server.stop().await;
    let (code, told) = verified(data.path()).await;
    assert!(
        code == Some(0)
            && told.contains(
                "\nok: 1 records of confirmed signals (0 from before the chain), 0 pruned before, 3 open\nends: "
            ),
        "{told}"
    );

    let server = start(data.path()).await;
    price(&server, "EURUSD", 1.08).await;
    price(&server, "GBPUSD", 1.115).await;
    let stopped = record(&server, "stopped").await;
    assert_eq!(
        (&stopped["class"], &stopped["fill"], stopped["r"].as_f64().unwrap().round()),
        (&json!("stop"), &json!(1.1), -2.0)
    );
    assert!(stopped["gap_seconds"].as_u64().unwrap() > 0, "{stopped}");
    assert_eq!(record(&server, "beyond").await["class"], "ambiguous");
    let (_, stats) = server.get("/api/stats").await;
    let all = &stats["all"];
    assert_eq!((&all["signals"], &all["trades"], &all["with_gap"]), (&json!(3), &json!(2), &json!(2)), "{stats}");
    assert_eq!(all["classes"], json!({"stop": 1, "ambiguous": 1, "unmeasured": 1}));
    assert_eq!(stats["open"], 1);
    assert!(stats["note"].as_str().unwrap().contains("2 went on over a time when the server was down"), "{stats}");
    server.stop().await;
    assert!(verified(data.path()).await.1.contains("ok: 3 records of confirmed signals"));
    let (outcomes, log) = exported(data.path());
    recomputed(&json!({"statistics": stats_of(&stats), "outcomes": outcomes, "changes": log}));
}

#[tokio::test]
async fn a_crash_loses_no_confirmed_record() {
    let data = tempfile::tempdir().unwrap();
    let server = start(data.path()).await;
    push(&server, "a", "EURUSD").await;
    server.kill().await;
    let (code, told) = verified(data.path()).await;
    assert!(code == Some(0) && told.contains(" 1 open\n"), "{told}");

    let server = start(data.path()).await;
    price(&server, "EURUSD", 1.1).await;
    entered(data.path()).await;
    server.kill().await;
    let server = start(data.path()).await;
    price(&server, "EURUSD", 1.08).await;
    let outcome = record(&server, "a").await;
    assert_eq!((&outcome["class"], &outcome["fill"]), (&json!("stop"), &json!(1.1)), "a crash undoes no position");
    push(&server, "b", "EURUSD").await;
    server.stop().await;
    assert_eq!(verified(data.path()).await.0, Some(0));

    let database = rusqlite::Connection::open(data.path().join("orion.db")).unwrap();
    database.execute("DELETE FROM open_outcomes", []).unwrap();
    drop(database);
    let (code, told) = verified(data.path()).await;
    assert_eq!(
        (code, told.as_str()),
        (Some(1), "broken: signal b was confirmed, and has neither a record nor an open one\n")
    );
}
