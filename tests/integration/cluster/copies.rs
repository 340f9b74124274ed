//! Copies of the log: how a node gets one, and when it stops rather than serve another.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::nats::{Nats, test_key};
use super::nodes::{Node, TestCluster};
use crate::support::{Server, read_log, seq, signal, soon, until};

/// Longer than the lease.
const PAUSE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_has_everything() {
    let Some(mut cluster) = TestCluster::start(1, &[]).await else { return };
    for number in 0..20 {
        cluster.nodes[0].running().push(&signal(&format!("s{number}"))).await;
    }
    let price = json!({"symbol": "EURUSD", "price": 1.0871});
    assert_eq!(cluster.nodes[0].running().post("/api/prices", &price).await.0, 200);
    cluster.nodes[2].stop().await;
    let mut fresh = Node::new("d", &cluster.nats, &[]);
    fresh.start().await;
    fresh.ready().await;
    assert_eq!(seq(&fresh.running().cursor().await), 20);
    // Prices are not in the log: it has asked the writer.
    until("it has the price", async || {
        let (_, prices) = fresh.running().get("/api/prices").await;
        prices.to_string().contains("1.0871")
    })
    .await;
    cluster.nodes[2] = fresh;
    assert_eq!(cluster.equal_copies().await.events, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_continues_a_log_of_one_machine() {
    let Some(nats) = Nats::start_in_memory(1) else { return };
    let mut nodes = Vec::new();
    for name in ["a", "b"] {
        nodes.push(Node::new(name, &nats, &[]));
    }
    let alone = Server::start_on(nodes[0].data(), &[]).await;
    for number in 0..5 {
        alone.push(&signal(&format!("s{number}"))).await;
    }
    let cursor = alone.cursor().await;
    alone.stop().await;
    let mut cluster = TestCluster { nats, nodes };
    let (code, says) = cluster.command(&["cluster", "init"]).await;
    assert_eq!(code, Some(0), "{says}");
    assert!(says.contains("after event 5"), "{says}");
    // It is made once.
    let (code, says) = cluster.command(&["cluster", "init"]).await;
    assert_eq!(code, Some(1), "{says}");
    cluster.nodes[0].start().await;
    cluster.nodes[0].ready().await;
    assert_eq!(cluster.nodes[0].running().cursor().await, cursor, "cursors stay valid");
    cluster.writer().await;
    cluster.nodes[0].running().push(&signal("s5")).await;
    // The events before the cluster are not in the stream: the other node needs a backup.
    let data = cluster.nodes[1].data();
    std::fs::create_dir_all(&data).unwrap();
    let to = data.join("orion.db");
    let (code, says) = cluster.command(&["backup", to.to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{says}");
    cluster.nodes[0].running().push(&signal("s6")).await;
    cluster.nodes[1].start().await;
    cluster.nodes[1].ready().await;
    cluster.in_step().await;
    for node in &mut cluster.nodes {
        node.stop().await;
    }
    assert_eq!(cluster.nodes[0].verified(), cluster.nodes[1].verified());
    assert_eq!(read_log(cluster.nodes[1].data()).await.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_beginning_says_what_to_do() {
    let Some(nats) = Nats::start_in_memory(1) else { return };
    let (mut first, other) = (Node::new("a", &nats, &[]), Node::new("b", &nats, &[]));
    let alone = Server::start_on(first.data(), &[]).await;
    alone.push(&signal("s")).await;
    alone.stop().await;
    let cluster = TestCluster { nats, nodes: vec![other] };
    // Before there is a log.
    first.cut(false);
    let env: std::collections::BTreeMap<_, _> = first.env().into_iter().collect();
    let made = crate::support::binary().args(["cluster", "init"]).envs(env).output().await.unwrap();
    assert!(made.status.success(), "{made:?}");
    let (code, says) = cluster.command(&["serve"]).await;
    assert_eq!(code, Some(1), "{says}");
    assert!(says.contains("put a backup of another node"), "{says}");
    first.start().await;
    first.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_a_new_epoch_replaces_the_copy() {
    let Some(mut cluster) = TestCluster::start(1, &[]).await else { return };
    cluster.nodes[0].running().push(&signal("old")).await;
    let old = cluster.nodes[0].running().cursor().await;
    cluster.in_step().await;
    for node in &mut cluster.nodes {
        node.stop().await;
    }
    cluster.nats = Nats::start_in_memory(1).unwrap();
    let mut again = Vec::new();
    for (name, node) in ["a", "b", "c"].into_iter().zip(&cluster.nodes) {
        let data = node.data();
        again.push(Node::new(name, &cluster.nats, &[("ORION_DATA_DIR", data.to_str().unwrap())]));
    }
    // The log is made from an empty directory, as after the loss of all NATS servers.
    let fresh = Node::new("z", &cluster.nats, &[]);
    let before = std::mem::replace(&mut cluster.nodes, vec![fresh]);
    let (code, says) = cluster.command(&["cluster", "init"]).await;
    assert_eq!(code, Some(0), "{says}");
    cluster.nodes = again;
    for node in &mut cluster.nodes {
        node.start().await;
    }
    cluster.begun().await;
    let new = cluster.nodes[0].running().cursor().await;
    assert_ne!(old.as_str().unwrap().split(':').next(), new.as_str().unwrap().split(':').next());
    assert_eq!(seq(&new), 0);
    let set_aside = std::fs::read_dir(before[0].data()).unwrap().map(|entry| entry.unwrap().file_name());
    let set_aside: Vec<_> = set_aside.filter(|name| name.to_string_lossy().starts_with("set-aside-")).collect();
    assert_eq!(set_aside.len(), 1);
    assert_eq!(read_log(before[0].data().join(&set_aside[0])).await.len(), 1, "nothing of it is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_newer_version_stops_the_nodes() {
    let Some(cluster) = TestCluster::start(1, &[]).await else { return };
    cluster.nodes[0].running().push(&signal("s")).await;
    let options = async_nats::ConnectOptions::with_user_and_password("orion".into(), "secret".into());
    let client = options.custom_inbox_prefix("_INBOX.orion-node").connect(cluster.nats.urls().as_str()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    context.publish("orion.log", r#"{"v":2}"#.into()).await.unwrap().await.unwrap();
    for node in &cluster.nodes {
        until("the node says so", async || {
            let (status, answer) = node.running().get("/ready").await;
            status == 503 && answer.to_string().contains("has version 2")
        })
        .await;
        // It serves what it has, and takes nothing.
        assert_eq!(node.running().get("/api/signals/s").await.0, 200);
    }
    let refused = soon("a refusal", cluster.nodes[0].running().post("/api/signals", &signal("t"))).await;
    assert_eq!(refused.0, 503, "{}", refused.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_is_not_ready() {
    let Some(cluster) = TestCluster::start(1, &[]).await else { return };
    let at = cluster.follower().await;
    let node = &cluster.nodes[at];
    node.cut(true);
    until("it is not ready", async || node.running().get("/ready").await.0 == 503).await;
    assert_eq!(node.running().get("/health").await.0, 200);
    let other = &cluster.nodes[cluster.writer().await];
    other.running().push(&signal("meanwhile")).await;
    node.cut(false);
    node.ready().await;
    until("it has caught up", async || node.running().get("/api/signals/meanwhile").await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_waits_for_another_nodes_cursor() {
    let Some(cluster) = TestCluster::start(1, &[]).await else { return };
    let writer = cluster.writer().await;
    let behind = &cluster.nodes[(writer + 1) % 3];
    behind.cut(true);
    cluster.nodes[writer].running().push(&signal("s")).await;
    let cursor = cluster.nodes[writer].running().cursor().await;
    let path = format!("/api/signals?since={}", cursor.as_str().unwrap());
    let asked = behind.running().get(&path);
    tokio::pin!(asked);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut asked).await.is_err(), "it has not waited");
    behind.cut(false);
    let (status, answer) = soon("an answer", asked).await;
    assert_eq!((status, &answer["cursor"]), (200, &cursor));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_nodes_and_stream() {
    let Some(cluster) = TestCluster::start(3, &[]).await else { return };
    let (code, says) = cluster.command(&["cluster", "status", "--json"]).await;
    assert_eq!(code, Some(0), "{says}");
    let status: serde_json::Value = serde_json::from_str(&says).unwrap();
    let states: Vec<_> = status["nodes"].as_array().unwrap().iter().map(|node| node["state"].clone()).collect();
    assert_eq!(states.iter().filter(|state| **state == "writer").count(), 1, "{says}");
    assert_eq!(states.iter().filter(|state| **state == "follower").count(), 2, "{says}");
    assert_eq!((&status["stream"]["replicas"], &status["stream"]["server"]), (&json!(3), &json!("2.15.1")));
}

/// The server has a certificate of one authority, and asks for one of another.
#[tokio::test(flavor = "multi_thread")]
async fn both_sides_check_the_others_certificate() {
    let Some(nats) = Nats::start_with_tls() else { return };
    let url = format!("tls://127.0.0.1:{}", nats.servers[0].port);
    let [ca, strange, cert, key] =
        ["authority.pem", "client-authority.pem", "client.pem", "client.private.pem"].map(test_key);
    let node = |settings: &[(&str, &str)]| {
        let urls = [("ORION_CLUSTER__URLS", &*url)];
        TestCluster {
            nats: Nats::start_in_memory(0).unwrap(),
            nodes: vec![Node::new("a", &nats, &[&urls, settings].concat())],
        }
    };
    let own = [("ORION_CLUSTER__TLS_CERT", &*cert), ("ORION_CLUSTER__TLS_KEY", &*key)];
    let mut whole = node(&[&[("ORION_CLUSTER__TLS_CA", &*ca)], &own[..]].concat());
    let mut made = (None, String::new());
    until("the server listens", async || {
        made = whole.command(&["cluster", "init"]).await;
        !made.1.contains("cannot be reached")
    })
    .await;
    assert_eq!(made.0, Some(0), "{}", made.1);
    let wrong = [
        (node(&[&[("ORION_CLUSTER__TLS_CA", &*strange)], &own[..]].concat()), "UnknownIssuer"),
        (node(&[("ORION_CLUSTER__TLS_CA", &*ca)]), "CertificateRequired"),
        (
            node(
                &[&[("ORION_CLUSTER__TLS_CA", &*ca), ("ORION_CLUSTER__CREDENTIALS", "orion:wrong")], &own[..]].concat(),
            ),
            "refuse",
        ),
    ];
    for (node, why) in &wrong {
        for command in [&["serve"][..], &["cluster", "status"]] {
            let (code, says) = node.command(command).await;
            assert!(code == Some(1) && says.contains(why) && says.contains("cluster."), "{command:?}: {says}");
        }
    }
    whole.nodes[0].start().await;
    whole.nodes[0].ready().await;
    until("it writes", async || whole.metric("orion_cluster_writer").await == 1.0).await;
    whole.nodes[0].running().push(&signal("s")).await;
    whole.nodes[0].stop().await;
}

/// It has heard no beats, and the log stands at the same place: nothing but its own doubt keeps it from taking over.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_stood_still_replaces_nobody() {
    let Some(cluster) = TestCluster::start(1, &[]).await else { return };
    let at = cluster.follower().await;
    let node = &cluster.nodes[at];
    for round in 0..3 {
        if round % 2 == 0 {
            node.running().signal("-STOP");
            sleep(PAUSE).await;
            node.running().signal("-CONT");
        } else {
            node.cut(true);
            sleep(PAUSE).await;
            node.cut(false);
        }
        node.ready().await;
        node.running().push(&signal(&format!("s{round}"))).await;
    }
    assert_eq!(cluster.metric("orion_cluster_takeovers_total").await, 1.0);
}
