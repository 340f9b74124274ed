//! `kill -TERM` with everybody connected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{
    Ended, Native, Packet, Polling, Protocol, Server, Socket, descriptor_limit, flood, narrow, open, seq, soon,
};

const NATIVE: usize = 200;
const SOCKETS: usize = 250;
const POLLING: usize = 50;
const DRAIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_500_clients_drains_in_time() {
    assert!(descriptor_limit() > 1_500, "`ulimit -n` is too low for this test");
    let drain = format!("{}s", DRAIN.as_secs());
    // The simulator as it comes, and no token, so that nothing is there to warn of.
    // Clients of Socket.IO 2 have to ping by themselves, which ours do not; connecting all may take longer than that.
    let settings = [("ORION_DRAIN_TIMEOUT", drain.as_str()), ("ORION_SOCKETIO__PING_TIMEOUT", "10m")];
    let mut server = Server::start_with(BTreeMap::from(settings)).await;
    let addr = server.addr;
    let (mut natives, mut sockets, mut polling) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for number in 0..NATIVE {
        let path = if number % 2 == 0 { "/ws/signals" } else { "/ws/signals/" };
        let mut client = Native::connect(addr, path).await;
        // Who asks does not wait for what comes without asking.
        client.send(&json!({ "type": "subscribe" })).await;
        client.frame("subscribed").await;
        natives.spawn(async move {
            loop {
                if let Err(code) = client.next().await {
                    return code;
                }
            }
        });
    }
    for _ in 0..SOCKETS {
        let mut client = Socket::open(addr).await;
        client.subscribe(&json!(null)).await;
        client.event("subscribed").await;
        sockets.spawn(async move {
            loop {
                match client.next().await {
                    Ok(Packet::Disconnected) => panic!("a Socket.IO client was told to stay away"),
                    Ok(_) => {}
                    Err(ended) => return ended,
                }
            }
        });
    }
    for number in 0..POLLING {
        let protocol = if number % 2 == 0 { Protocol::Eio4 } else { Protocol::Eio3 };
        let mut client = Polling::open(addr, protocol).await;
        client.subscribe(&json!(null)).await;
        client.event("subscribed").await;
        polling.spawn(async move {
            loop {
                match client.next().await {
                    Ok(Packet::Disconnected) => panic!("a polling client was told to stay away"),
                    Ok(_) => {}
                    Err(status) => return status,
                }
            }
        });
    }
    // Does not answer its close for a while, so that the drain can be looked at.
    let mut lingering = Native::connect(addr, "/ws/signals").await;
    lingering.frame("subscribed").await;
    server.until("orion_connections", "", |count| count == (NATIVE + SOCKETS + POLLING + 1) as f64).await;
    // A head that is not finished yet when the listener closes: its request is a new session of the time after.
    let mut late = TcpStream::connect(addr).await.unwrap();
    late.write_all(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: orion\r\n").await.unwrap();

    let began = Instant::now();
    server.terminate();
    let (status, body) = soon("/ready turns 503", not_ready(&server)).await;
    assert_eq!((status, body["status"].as_str()), (503, Some("draining")));
    assert!(server.get("/health").await.0 == 200, "alive while it says that it is not ready");

    soon("the listener closes", closed(addr)).await;
    late.write_all(b"\r\n").await.unwrap();
    let mut answer = String::new();
    // Cut at the end of the drain, after the answer.
    soon("the late answer", late.read_to_string(&mut answer)).await.ok();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"code\":\"draining\""), "{answer}");

    let code = async {
        loop {
            if let Err(code) = lingering.next().await {
                return code;
            }
        }
    };
    assert_eq!(soon("the lingering client is closed", code).await, 1012);
    let codes = soon("all native clients are closed", natives.join_all()).await;
    assert_eq!(codes, vec![1012; NATIVE]);
    let ends = soon("all Socket.IO clients lose their transport", sockets.join_all()).await;
    assert_eq!(ends, vec![Ended(None); SOCKETS]);
    soon("all polling clients lose their transport", polling.join_all()).await;
    let exit = server.exit().await;
    let took = began.elapsed();
    assert_eq!(exit.code(), Some(0));
    assert!(took < DRAIN, "took {took:?}");
    eprintln!("drained {} clients in {took:?}", NATIVE + SOCKETS + POLLING + 1);
    server.logged("stopped").await;
    assert_eq!(server.complaints(), Vec::<String>::new(), "nothing above info");
}

async fn not_ready(server: &Server) -> (u16, serde_json::Value) {
    loop {
        let ready = server.get("/ready").await;
        if ready.0 != 200 {
            return ready;
        }
        tokio::task::yield_now().await;
    }
}

async fn closed(addr: SocketAddr) {
    while TcpStream::connect(addr).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_catching_up_skips_no_event() {
    // The slower the machine, the less of it can be sent between the beginning and the end of a stop.
    for left in [4_000, 2_000, 1_000, 500] {
        if stop_while_catching_up(left).await {
            return;
        }
    }
    panic!("nobody reaches the present before the end: this shows nothing");
}

/// Whether anybody reached the present after the stop had begun, with so many signals before him then.
async fn stop_while_catching_up(left: u64) -> bool {
    let server = Server::push_only().await;
    let addr = server.addr;
    let path = format!("/ws/signals?since={}", server.cursor().await.as_str().unwrap());
    // More than the hub remembers, so that pages come first; and more than fits into a socket that nobody reads.
    let count = 4_000;
    flood(addr, "f", count as usize, 2_000).await;
    let mut witness = Native::connect(addr, "/ws/signals").await;
    let mut catching_up = Vec::new();
    for _ in 0..5 {
        let mut client = Native(open(narrow(addr).await, addr, &path, &[]).await.unwrap());
        for _ in left..count {
            client.frame("signal").await;
        }
        catching_up.push(client);
    }
    let stopped = tokio::spawn(server.stop());
    soon("the stop", async { while witness.next().await.is_ok() {} }).await;
    // Now they read on, and reach the present after the stop has begun.
    let mut reading = JoinSet::new();
    for mut client in catching_up {
        reading.spawn(async move {
            let mut last = count - left;
            while let Ok(frame) = client.next().await {
                match frame["type"].as_str() {
                    Some("signal") => {
                        assert_eq!(seq(&frame["cursor"]), last + 1, "{frame}");
                        last += 1;
                    }
                    Some("subscribed") => {
                        assert_eq!(seq(&frame["cursor"]), last, "told that it has what was never sent");
                        return true;
                    }
                    _ => {}
                }
            }
            false
        });
    }
    let caught_up = soon("everybody is done", reading.join_all()).await;
    stopped.await.unwrap();
    caught_up.contains(&true)
}
