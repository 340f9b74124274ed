//! Notices in a cluster: the node that writes sends, and the next writer goes on with the same messages.

use std::sync::atomic::Ordering;

use rusqlite::OpenFlags;
use serde_json::{Value, json};

use super::nodes::TestCluster;
use crate::notices::{BOT, StandIn, telegram};
use crate::support::{signal, until};

/// Waits until the writer has saved that so many messages were sent, and edited, since it started.
async fn saved(cluster: &TestCluster, writer: usize, sent: f64, edited: f64) {
    for (name, wanted) in [("orion_notify_sent_total", sent), ("orion_notify_edited_total", edited)] {
        cluster.nodes[writer].running().until(name, "telegram", |count| count == wanted).await;
    }
}

/// Waits until the writer has noted where its channel begins: it tells what happens from then on.
async fn begun(cluster: &TestCluster, writer: usize) {
    let database = cluster.nodes[writer].data().join("orion.db");
    until("the channel begins", async || {
        let connection = rusqlite::Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let marks =
            connection.query_row("SELECT count(*) FROM users WHERE seen IS NOT NULL", [], |row| row.get::<_, u64>(0));
        marks.unwrap() > 0
    })
    .await;
}

/// Kills the writer, and returns the next one.
async fn replaced(cluster: &mut TestCluster, writer: usize) -> usize {
    cluster.nodes[writer].kill().await;
    let next = cluster.writer().await;
    assert_ne!(next, writer);
    next
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_writer_goes_on_with_the_same_messages() {
    let mut bot = StandIn::start(false).await;
    let url = bot.url.clone();
    let Some(mut cluster) = TestCluster::start(1, &telegram(&url)).await else { return };
    let call = async |bot: &mut StandIn, method: &str, message: Value| {
        let (path, _, body) = bot.next().await;
        assert_eq!((path, &body["message_id"]), (format!("/bot{BOT}/{method}"), &message), "{body}");
    };
    let push = async |cluster: &TestCluster, at: usize, body: &Value| cluster.nodes[at].running().push(body).await;

    // Its life begins with one writer, goes on with the next one, and ends with the third.
    let first = cluster.writer().await;
    begun(&cluster, first).await;
    push(&cluster, (first + 1) % 3, &signal("one")).await;
    call(&mut bot, "sendMessage", Value::Null).await;
    saved(&cluster, first, 1.0, 0.0).await;
    let second = replaced(&mut cluster, first).await;
    push(&cluster, second, &signal("two")).await;
    call(&mut bot, "sendMessage", Value::Null).await;
    push(&cluster, second, &json!({"id": "one", "status": "confirmed"})).await;
    call(&mut bot, "editMessageText", json!(501)).await;
    saved(&cluster, second, 1.0, 1.0).await;

    // What the service has refused when its writer is killed is sent by the third one, once. The edit was number 503.
    bot.refuses.store(true, Ordering::SeqCst);
    push(&cluster, second, &signal("three")).await;
    call(&mut bot, "sendMessage", Value::Null).await;
    cluster.nodes[second].running().until("orion_notify_failed_total", "telegram", |count| count == 1.0).await;
    bot.refuses.store(false, Ordering::SeqCst);
    let third = replaced(&mut cluster, second).await;
    call(&mut bot, "sendMessage", Value::Null).await;
    saved(&cluster, third, 1.0, 0.0).await;
    push(&cluster, third, &json!({"id": "two", "status": "invalidated"})).await;
    call(&mut bot, "editMessageText", json!(502)).await;
    push(&cluster, third, &json!({"id": "three", "status": "confirmed"})).await;
    call(&mut bot, "editMessageText", json!(504)).await;
    saved(&cluster, third, 1.0, 2.0).await;
    assert!(bot.calls.try_recv().is_err(), "nothing is sent twice");
}
