//! Several nodes on real NATS servers share one log: nothing that was acknowledged is lost or doubled.

mod clients;
mod copies;
mod faults;
mod nats;
mod nodes;
mod notices;

use serde_json::json;

use self::nodes::TestCluster;
use crate::kept_ticks::{kept, push};
use crate::support::{read_log, signal, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_any_node_reaches_all() {
    let Some(mut cluster) = TestCluster::start(1, &[]).await else { return };
    for (number, node) in cluster.nodes.iter().enumerate() {
        node.running().push(&signal(&format!("s{number}"))).await;
        // A client reads its own write, and the same push again changes nothing.
        assert_eq!(node.running().get(&format!("/api/signals/s{number}")).await.0, 200);
        node.running().push(&signal(&format!("s{number}"))).await;
    }
    let (status, answer) = cluster.nodes[0].running().patch("s2", &json!({"status": "confirmed"})).await;
    assert_eq!((status, &answer["status"]), (200, &json!("confirmed")));
    let (status, answer) = cluster.nodes[1].running().patch("s2", &json!({"status": "invalidated"})).await;
    assert_eq!(status, 409, "{answer}");
    cluster.in_step().await;
    let mut cursors = Vec::new();
    for node in &cluster.nodes {
        cursors.push(node.running().cursor().await);
    }
    assert!(cursors.iter().all(|cursor| *cursor == cursors[0]), "{cursors:?}");
    assert_eq!(cluster.equal_copies().await.events, 4);
    assert_eq!(read_log(cluster.nodes[1].data()).await.len(), 4);
}

/// What is private reaches its user on every node, and is not sent again on another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_counts_on_every_node() {
    let secret = "a-secret-of-a-test-that-is-long-enough-for-a-token";
    let settings =
        [("ORION_JWT_SECRET", secret), ("ORION_ADMIN_TOKEN", "integration-admin"), ("ORION_READ_AUTH", "required")];
    let Some(cluster) = TestCluster::prepare(1, &settings).await else { return };
    let mut cluster = cluster;
    for node in &mut cluster.nodes {
        node.start().await;
        node.ready().await;
    }
    let (code, token) = cluster.command(&["token", "--user", "u1", "--ttl", "1h"]).await;
    assert_eq!(code, Some(0), "{token}");
    let reads = async |at: usize| {
        let server = cluster.nodes[at].running();
        let request = server.http.get(server.url("/api/signals")).bearer_auth(token.trim());
        request.send().await.unwrap().status().as_u16()
    };
    for at in 0..3 {
        assert_eq!(reads(at).await, 200);
    }
    let server = cluster.nodes[0].running();
    // A token's time has whole seconds: later than it, or it is not revoked.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let revoked = server.http.post(server.url("/api/admin/revoke")).bearer_auth("integration-admin");
    assert_eq!(revoked.json(&json!({"user": "u1"})).send().await.unwrap().status(), 200);
    until("no node takes the token", async || reads(0).await == 401 && reads(1).await == 401 && reads(2).await == 401)
        .await;
}

/// The nodes that take over begin anew, each in its own data directory.
#[tokio::test(flavor = "multi_thread")]
async fn each_node_keeps_ticks_of_its_terms() {
    let Some(mut cluster) = TestCluster::start(1, &[]).await else { return };
    let mut expected = Vec::new();
    for bid in [1.1, 1.1001] {
        let writer = cluster.writer().await;
        let node = &mut cluster.nodes[writer];
        push(node.running(), bid).await;
        node.stop().await;
        expected.push((writer, vec![None, Some(bid)]));
    }
    for (writer, ticks) in expected {
        assert_eq!(kept(&cluster.nodes[writer].data()), ticks);
    }
}
