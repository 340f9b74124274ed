//! A log can be followed by client: every line about a connection names it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::users::{SECRET, Stream, Way, token};
use crate::support::{Native, Polling, Protocol, Server, Socket, until};

/// The id of the connection that a line is about.
fn connection(line: &Value) -> String {
    line["span"]["connection"].as_str().unwrap_or_else(|| panic!("no connection in {line}")).to_owned()
}

/// The ids of the connections that lines with this message are about.
fn connections(server: &Server, message: &str) -> BTreeSet<String> {
    server.lines(message).iter().map(connection).collect()
}

/// Waits for so many lines with this message.
async fn told(server: &Server, message: &str, times: usize) -> Vec<Value> {
    until(message, async || server.lines(message).len() == times).await;
    server.lines(message)
}

#[tokio::test]
async fn a_log_can_be_followed_by_client() {
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET)]).await;
    let ana = token("ana");
    let mut native = Native::connect(server.addr, "/ws/signals").await;
    native.frame("subscribed").await;
    let events = Stream::live(server.addr, Way::Events, &ana).await;
    let mut socket = Socket::with_auth(server.addr, &json!({ "token": ana })).await;
    socket.connected().await;
    let mut polling = Polling::open(server.addr, Protocol::Eio4).await;
    polling.subscribe(&json!({ "channels": ["signals"] })).await;
    polling.event("subscribed").await;

    let open = told(&server, "a client connected", 4).await;
    let seen = |line: &Value| format!("{} {} {}", line["transport"], line["endpoint"], line["user"]).replace('"', "");
    let expected = ["native /ws/signals null", "polling / null", "sse /api/realtime/events ana", "websocket / ana"];
    assert_eq!(open.iter().map(seen).collect::<BTreeSet<_>>(), expected.map(str::to_owned).into());
    assert!(open.iter().all(|line| line["peer"] == "127.0.0.1"), "{open:?}");
    let ids = connections(&server, "a client connected");
    assert_eq!(ids.len(), 4, "each has its own: {open:?}");

    drop((native, events, socket));
    polling.say("1").await;
    told(&server, "a client disconnected", 4).await;
    assert_eq!(connections(&server, "a client disconnected"), ids);
    server.stop().await;
}

#[tokio::test]
async fn what_a_client_says_is_logged_with_its_connection() {
    let server = Server::start(&[("ORION_LIMITS__EVENTS_PER_SECOND", "1"), ("ORION_LIMITS__EVENTS_BURST", "1")]).await;
    let mut other = Socket::with_auth(server.addr, &json!({})).await;
    other.connected().await;
    let mut flooding = Socket::with_auth(server.addr, &json!({})).await;
    while flooding.try_say(r#"42["ping"]"#).await {}
    let line = server.logged("disconnecting a Socket.IO client that keeps sending too fast").await;
    told(&server, "a client disconnected", 1).await;
    assert_eq!(connections(&server, "a client disconnected"), [connection(&line)].into());
    drop(other);
    server.stop().await;
}
