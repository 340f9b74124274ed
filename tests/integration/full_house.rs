//! Checks at a full house, and the listener that is for them alone.

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Duration, interval};

use crate::support::{Native, Server, Wire, binary, soon, until};

const FULL: (&str, &str) = ("ORION_SERVER__MAX_CONNECTIONS", "8");

/// As many clients as there may be.
async fn fill(server: &Server) -> Vec<Native> {
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(Native::connect(server.addr, "/ws/signals").await);
    }
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_no_check_out() {
    let server = Server::start(&[FULL]).await;
    let held = fill(&server).await;
    let addr = server.addr;
    // Four times as many as in the issue, and each stays.
    let flood = tokio::spawn(async move {
        let (mut silent, mut pace) = (Vec::new(), interval(Duration::from_millis(6)));
        loop {
            pace.tick().await;
            silent.push(TcpStream::connect(addr).await);
        }
    });
    until("the flood is there", async || server.metric("orion_refused_total", "connections").await > 60.0).await;
    let mut answered = 0;
    for number in 0..40 {
        let path = if number % 2 == 0 { "/health" } else { "/ready" };
        let mut wire = Wire::connect(addr).await;
        let reply = soon("an answer", wire.get(path, "")).await.unwrap_or_default();
        answered += usize::from(reply.status == 200);
    }
    assert_eq!(answered, 40);
    flood.abort();
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn begun_checks_keep_no_check_out() {
    let server = Server::start(&[FULL]).await;
    let _held = fill(&server).await;
    let mut begun = Vec::new();
    for _ in 0..100 {
        let stream = TcpStream::connect(server.addr).await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(b"GET /health HTTP/1.1\r\nHost: x\r\n").unwrap();
        begun.push(stream);
    }
    for _ in 0..10 {
        let mut wire = Wire::connect(server.addr).await;
        assert_eq!(wire.get("/health", "").await.unwrap().status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_metrics_address_has_checks_and_nothing_else() {
    let settings = [
        FULL,
        ("ORION_METRICS_ADDRESS", "127.0.0.1:0"),
        ("ORION_SERVER__ALLOWED_HOSTS", "example.com"),
        // Needs no token there.
        ("ORION_READ_AUTH", "required"),
        ("ORION_READ_TOKEN", "the-read-token"),
    ];
    let server = Server::start(&settings).await;
    let said = server.logged("checks and metrics have their own listener").await;
    let addr = said["address"].as_str().unwrap().parse().unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut wire = Wire::connect(server.addr).await;
        wire.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        held.push(wire);
    }
    let mut wire = Wire::connect(addr).await;
    for path in ["/health", "/ready", "/metrics"] {
        assert_eq!(wire.get(path, "").await.unwrap().status, 200, "{path}");
    }
    assert!(wire.get("/metrics", "").await.unwrap().body.contains("orion_build_info"));
    for path in ["/", "/api/prices", "/api/signals", "/ws/signals", "/socket.io/?EIO=4&transport=polling"] {
        let reply = wire.get(path, "").await.unwrap();
        assert_eq!((reply.status, reply.code()), (404, json!("not_found")), "{path}");
    }
    assert_eq!(wire.post("/health", "").await.unwrap().status, 405);
    // The command asks there.
    let mut command = binary();
    let address = format!("localhost:{}", said["address"].as_str().unwrap().rsplit(':').next().unwrap());
    let asked = command.env("ORION_METRICS_ADDRESS", address).arg("health").output().await.unwrap();
    assert_eq!((asked.status.code(), asked.stdout.as_slice()), (Some(0), b"ok\n".as_slice()), "{asked:?}");
    // It is there until the end, and says that it comes.
    let draining = async {
        loop {
            let mut wire = Wire::connect(addr).await;
            let reply = wire.get("/ready", "").await.unwrap();
            if reply.status == 503 {
                return serde_json::from_str::<Value>(&reply.body).unwrap();
            }
        }
    };
    server.terminate();
    assert_eq!(soon("it drains", draining).await["status"], "draining");
    let mut server = server;
    assert_eq!(server.exit().await.code(), Some(0));
}
