//! Dead-man alerts of the real binary.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Server, binary, soon};

const SECRET: &str = "a-secret-for-the-alerts-of-tests";

/// The next thing that is posted: head and body.
async fn posted(listener: &TcpListener) -> (String, Value) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "it ended early");
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let Ok(body) = serde_json::from_str(body) else { continue };
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap();
        return (head.to_owned(), body);
    }
}

#[tokio::test]
async fn a_mute_source_raises_one_alert() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/hook", listener.local_addr().unwrap());
    let server = Server::start(&[
        ("ORION_SOURCES", "oanda"),
        ("ORION_OANDA_TOKEN", "a-token"),
        ("ORION_OANDA_ACCOUNT", "001"),
        ("ORION_OANDA__URL", "http://127.0.0.1:1"),
        ("ORION_ALERT_WEBHOOK", &webhook),
        ("ORION_ALERT_SECRET", SECRET),
        ("ORION_ALERTS__ALLOW_PLAIN_LOOPBACK", "1"),
        ("ORION_ALERTS__PENDING_FOR", "0s"),
    ])
    .await;
    let (head, body) = soon("the webhook is called", posted(&listener)).await;
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    for header in ["webhook-id: msg_", "webhook-timestamp: ", "webhook-signature: v1,"] {
        assert!(head.contains(&format!("\r\n{header}")), "{head}");
    }
    assert_eq!(body["type"], "alert.raised");
    assert_eq!((&body["data"]["alert"], &body["data"]["subject"]), (&json!("source_mute"), &json!("oanda")), "{body}");
    server.until("orion_alert_deliveries_total", "delivered", |count| count == 1.0).await;
    assert_eq!(server.metric("orion_alerts_firing", "source_mute").await, 1.0);
    let line = server.logged("alert raised").await;
    assert_eq!((&line["alert"], &line["subject"]), (&json!("source_mute"), &json!("oanda")), "{line}");
    assert_eq!(server.get("/health").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn an_unusable_webhook_is_refused_without_its_address() {
    for (webhook, secret, code, says) in [
        ("http://127.0.0.1/hush", SECRET, 64, "(alerts.webhook_url): must begin with https://"),
        ("https://example.com/hush", "", 64, "alerts.webhook_secret"),
        ("https://127.0.0.1/hush", SECRET, 1, "alerts.allow_private_addresses"),
        ("https://example.com/hush", "hush", 64, "(alerts.webhook_secret): must be whsec_"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = binary();
        command.current_dir(dir.path()).env("PORT", "0").env("ORION_SOURCES", "none");
        command.env("ORION_ALERT_WEBHOOK", webhook).env("ORION_ALERT_SECRET", secret);
        let output = soon("it ends", command.output()).await.unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{complaint}");
        assert!(complaint.contains(says) && !complaint.contains("hush"), "{complaint}");
    }
}
