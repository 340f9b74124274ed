//! Two terminals with the same symbol: one stream at a time, whoever is silent.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Native, Server, soon};

async fn tick(server: &Server, source: &str, seq: u64, bid: f64) -> Value {
    let at = chrono::Utc::now().timestamp_millis();
    let tick = json!({"s": "EURUSD", "b": bid, "a": bid + 0.0001, "t": at});
    let batch = json!({"v": 1, "type": "ticks", "src": source, "seq": seq, "connected": true, "ticks": [tick]});
    let (status, answer) = server.post("/api/mt/ticks", &batch).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn the_better_source_comes_back_after_a_failover() {
    // Short enough for a test, and the same on a weekend; so long that nobody is silent because the machine is busy.
    let server = Server::start(&[
        ("ORION_PRICES__DELAYED_AFTER", "4s"),
        ("ORION_PRICES__STALE_AFTER", "4s"),
        ("ORION_PRICES__STALE_AFTER_QUIET", "4s"),
        ("ORION_PRICES__SWITCH_AFTER", "4s"),
        ("ORION_PRICES__RETURN_AFTER", "5s"),
    ])
    .await;
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    client.frame("subscribed").await;
    let mut seq = 0;
    tick(&server, "mt5", seq, 1.1).await;
    let first = client.frame("price_update").await;
    assert_eq!(first["payload"]["source"], "mt5");

    let mut sources = Vec::new();
    for (alive, wanted) in [(&["mt4"][..], "mt4"), (&["mt4", "mt5"][..], "mt5")] {
        soon(wanted, async {
            loop {
                seq += 1;
                for source in alive {
                    // Each is told apart by its prices.
                    tick(&server, source, seq, if *source == "mt5" { 1.1 } else { 1.2 } + seq as f64 * 1e-5).await;
                }
                // The terminals tick on, whether or not anything is published.
                let Ok(frame) = timeout(Duration::from_millis(100), client.frame("price_update")).await else {
                    continue;
                };
                let payload = frame["payload"].clone();
                let is_mt5 = payload["bid"].as_f64().unwrap() < 1.15;
                assert_eq!(payload["source"], if is_mt5 { "mt5" } else { "mt4" }, "{payload}");
                sources.push(payload["source"].as_str().unwrap().to_owned());
                if payload["source"] == wanted {
                    break;
                }
            }
        })
        .await;
    }
    sources.dedup();
    assert_eq!(sources.iter().filter(|source| *source == "mt4").count(), 1, "one stretch: {sources:?}");
    assert!((server.metric("orion_source_switches_total", "").await - 2.0).abs() < 0.1);
    assert_eq!(server.logged("another source takes over: the one in force is silent").await["to"], "mt4");
    assert_eq!(server.logged("a better source takes over").await["to"], "mt5");
    let (status, told) = server.get("/api/sources").await;
    let of = |name: &str| told["sources"].as_array().unwrap().iter().find(|source| source["name"] == name).unwrap();
    assert_eq!((status, &of("mt5")["state"], &of("tradingview")["state"]), (200, &json!("live"), &json!("off")));
    assert!(of("mt4")["ticks_per_minute"].as_u64().unwrap() > 1, "{told}");
    let in_force = |name: &str| of(name)["symbols"][0]["in_force"].clone();
    soon("the list follows within a second", async {
        while server.get("/api/sources").await.1["sources"][1]["symbols"][0]["in_force"] != true {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_ne!(in_force("mt4"), in_force("mt5"), "one of them");
    server.stop().await;
}

#[tokio::test]
async fn an_impossible_price_is_counted_and_not_shown() {
    let server = Server::push_only().await;
    tick(&server, "mt5", 1, 1.1).await;
    let answer = tick(&server, "mt5", 2, 11.0).await;
    assert_eq!((&answer["accepted"], &answer["rejected"][0]["code"]), (&json!(0), &json!("jump")));
    server.until("orion_source_rejected_total", "jump", |count| count > 0.5).await;
    server.until("orion_events_published_total", "price", |count| count > 0.5).await;
    let (_, prices) = server.get("/api/prices").await;
    assert!(prices.to_string().contains("1.1"), "{prices}");
    assert!(!prices.to_string().contains("11."), "{prices}");
    assert_eq!(server.logged("a price is not believed").await["reason"], "jump");
    server.stop().await;
}
