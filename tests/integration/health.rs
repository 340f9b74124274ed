//! `orion-server health`, as a container's health check calls it.

use std::process::Output;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Server, binary, soon};

async fn health(port: &str, args: &[&str]) -> Output {
    let mut command = binary();
    let dir = tempfile::tempdir().unwrap();
    command.current_dir(dir.path()).env("PORT", port).arg("health").args(args);
    soon("the check ends", command.output()).await.unwrap()
}

fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A server that says one thing to whoever asks.
async fn saying(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn only_a_serving_server_is_healthy() {
    let server = Server::push_only().await;
    let port = server.addr.port().to_string();
    assert_eq!(outcome(&health(&port, &[]).await), (Some(0), "ok\n".into(), String::new()));
    let live = server.url("/health");
    assert_eq!(outcome(&health("0", &["--url", &live]).await), (Some(0), "OK\n".into(), String::new()));
    server.stop().await;
    let (code, said, complaint) = outcome(&health(&port, &[]).await);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(complaint.starts_with("orion-server: the server does not answer: "), "{complaint}");
}

#[tokio::test]
async fn degraded_is_healthy_and_other_statuses_are_not() {
    let degraded = saying("200 OK", r#"{"status":"degraded","reasons":["disk nearly full"]}"#).await;
    let (code, said, _) = outcome(&health("0", &["--url", &format!("http://{degraded}")]).await);
    assert_eq!((code, said.as_str()), (Some(0), "degraded: disk nearly full\n"));
    let draining = saying("503 Service Unavailable", r#"{"status":"draining"}"#).await;
    let port = draining.rsplit(':').next().unwrap();
    let (code, said, complaint) = outcome(&health(port, &[]).await);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert_eq!(complaint, "orion-server: the server answers 503 Service Unavailable: draining\n");
    let elsewhere = saying("301 Moved Permanently", "<html>").await;
    let (code, ..) = outcome(&health("0", &["--url", &format!("http://{elsewhere}/x?token=hush")]).await);
    assert_eq!(code, Some(1), "no redirect is followed");
}

#[tokio::test]
async fn a_failed_check_says_why_without_tokens() {
    let (code, _, complaint) = outcome(&health("0", &[]).await);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("--url"), "{complaint}");
    let (code, _, complaint) = outcome(&health("0", &["--url", "http://127.0.0.1:1/?token=hush"]).await);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("does not answer") && !complaint.contains("hush"), "{complaint}");
    assert_eq!(outcome(&health("0", &["--url", "ftp://x"]).await).0, Some(64));
}
