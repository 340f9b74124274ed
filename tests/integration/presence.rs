//! Presence: how many are watching, on every way out, and who they are, for administrators only.

use chrono::TimeDelta;
use orion_server::pipeline::clock::wall;
use serde_json::{Value, json};

use crate::filters::Client;
use crate::support::dashboard::EventStream;
use crate::support::users::{SECRET, get_as, signed, token};
use crate::support::{Native, Server, Socket, soon, until};

const ADMIN: &str = "the-admin-token-of-the-presence";

async fn server() -> Server {
    Server::start(&[("ORION_ADMIN_TOKEN", ADMIN), ("ORION_JWT_SECRET", SECRET)]).await
}

/// Reads until the counts are these, of all clients and of those with the channel.
async fn until_watching(client: &mut Client, counts: [u64; 2], name: &str) {
    soon(&format!("{counts:?} for {name}"), async {
        loop {
            let (kind, payload, _) = client.next().await;
            assert_eq!(kind, "presence", "{name}: {payload}");
            let node = &payload["this_node"];
            if [&node["clients"], &node["presence"]] == [&json!(counts[0]), &json!(counts[1])] {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_tells_how_many_watch() {
    let server = server().await;
    let mut clients = Client::each(&server, "").await;
    for (index, (name, client)) in clients.iter_mut().enumerate() {
        client.subscribe(&json!({"channels": ["presence"]})).await;
        let (_, subscribed) = client.until_subscribed().await;
        assert_eq!(subscribed["channels"], json!(["presence"]), "{name}");
        // The first one counts the client itself.
        let (kind, payload, _) = client.next().await;
        assert_eq!((kind.as_str(), &payload["this_node"]["presence"]), ("presence", &json!(index + 1)), "{name}");
    }
    let mut stream = EventStream::open(server.addr, "/api/stream?channels=presence,signals", "").await.unwrap();
    stream.event("subscribed").await;
    let told = stream.event("presence").await;
    let counts = json!({"clients": 5, "prices": 0, "signals": 1, "messages": 0, "clock": 0, "presence": 5});
    assert_eq!((told.id.as_str(), &told.data["this_node"]), ("", &counts));
    assert_eq!(server.get("/api/presence").await.1["this_node"], counts);
    for (name, client) in &mut clients {
        until_watching(client, [5, 5], name).await;
    }
    drop(stream);
    for (name, client) in &mut clients {
        until_watching(client, [4, 4], name).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_named_to_administrators_only() {
    let server = server().await;
    let mut ana = Native::connect(server.addr, &format!("/ws/signals?token={}", token("ana-who-watches"))).await;
    ana.frame("subscribed").await;
    let mut nobody = Native::connect(server.addr, "/api/websocket").await;
    nobody.send(&json!({"type": "subscribe", "channels": ["prices", "presence"]})).await;
    let mut said = nobody.frame("presence").await.to_string();
    let mut again = Socket::with_auth(server.addr, &json!({ "token": token("ana-who-watches") })).await;
    again.connected().await;
    again.emit("subscribe", &json!(["clock", "user"])).await;
    again.event("subscribed").await;

    said += &server.get("/api/presence").await.1.to_string();
    for (token, status) in [("wrong", 401), (&*token("ana-who-watches"), 403)] {
        let (answered, refusal) = get_as(server.addr, token, "/api/admin/presence").await;
        assert_eq!(answered, status, "{refusal}");
        said += &refusal.to_string();
    }
    assert!(!said.contains("ana-who-watches"), "{said}");

    let of_ana = json!({"user": "ana-who-watches", "clients": 2, "prices": 1, "signals": 1, "messages": 1, "clock": 1,
        "presence": 0});
    let users = async || get_as(server.addr, ADMIN, "/api/admin/presence").await.1;
    let body = users().await;
    assert_eq!((&body["users"], &body["users_total"]), (&json!([of_ana]), &json!(1)), "{body}");
    assert_eq!(body["this_node"]["clients"], 3, "{body}");
    drop((ana, again));
    until("the user is gone", async || users().await["users"] == json!([])).await;
    server.stop().await;
}

/// Presence is no market data: it would only be wrong an hour later.
#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_reader_gets_the_present_counts() {
    let server = server().await;
    let exp = (wall() + TimeDelta::hours(1)).timestamp();
    let late = signed("HS256", SECRET, &json!({ "sub": "late", "exp": exp, "delay": 3_600 }));
    let mut client = Native::connect(server.addr, &format!("/api/websocket?token={late}")).await;
    client.send(&json!({"type": "subscribe", "channels": ["presence"]})).await;
    let counted = |frame: Value| frame["payload"]["this_node"]["clients"].clone();
    assert_eq!(counted(client.frame("presence").await), 1);
    let other = Native::connect(server.addr, "/ws/signals").await;
    assert_eq!(counted(client.frame("presence").await), 2);
    assert_eq!(get_as(server.addr, &late, "/api/presence").await.1["this_node"]["clients"], 2);
    drop(other);
    assert_eq!(counted(client.frame("presence").await), 1);
    server.stop().await;
}
