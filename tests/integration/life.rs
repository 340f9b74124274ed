//! The life of signals by the clock, and the simulator's share in it.

use std::collections::BTreeMap;

use crate::support::{Native, Server, signal};

#[tokio::test]
async fn a_pending_signal_times_out_once_at_expiry() {
    let server = Server::start(&[("ORION_SIGNAL_TTL", "2s")]).await;
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    client.frame("subscribed").await;
    server.push(&signal("short")).await;
    let pending = client.frame("signal").await["payload"].clone();
    let ended = client.frame("signal").await["payload"].clone();
    assert_eq!((&pending["status"], &pending["invalidation"]), (&"pending".into(), &serde_json::Value::Null));
    assert_eq!((&ended["status"], &ended["invalidation"]), (&"invalidated".into(), &"timeout".into()));
    assert_eq!(ended["updated_at"], pending["expires_at"], "dated when it was due");
    let time = |field: &serde_json::Value| chrono::DateTime::parse_from_rfc3339(field.as_str().unwrap()).unwrap();
    assert_eq!((time(&pending["expires_at"]) - time(&pending["updated_at"])).num_milliseconds(), 2_000);
    // The next signal's whole life passes, and the first one is not heard of again.
    server.push(&signal("next")).await;
    for _ in 0..2 {
        assert_eq!(client.frame("signal").await["payload"]["id"], "next");
    }
    let (_, history) = server.get("/api/signals/short").await;
    assert_eq!(history["history"].as_array().map(Vec::len), Some(2), "{history}");
    server.stop().await;
}

#[tokio::test]
async fn without_configuration_marked_demo_data_flows() {
    let server = Server::start_with(BTreeMap::new()).await;
    let mut client = Native::connect(server.addr, "/ws/signals").await;
    let price = client.frame("price_update").await;
    assert_eq!((&price["payload"]["source"], &price["payload"]["quality"]), (&"simulator".into(), &"simulated".into()));
    let signal = client.frame("signal").await;
    assert_eq!(signal["payload"]["source"], "simulator");
    assert!(signal["payload"]["reason"].as_str().unwrap().starts_with("Simulated:"), "{signal}");
    server.stop().await;
}
