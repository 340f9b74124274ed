//! The whole path of an alert, to a webhook on loopback.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use chrono::DateTime;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::board::{AlertNotice, Board};
use super::courier::{Courier, CourierError, deliver};
use super::sign::Signer;
use super::{ActiveConditions, AlertRules, Alerts, Key};
use crate::config::{self, Live, Secret};
use crate::telemetry::Metrics;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A request that the webhook received: lower-case headers, and the body.
struct Posted {
    head: String,
    body: String,
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }
}

/// Answers with these response heads in order, then always with 204. An empty one closes the connection instead.
#[allow(clippy::disallowed_methods, reason = "it ends with the test")]
async fn webhook(heads: &[&'static str]) -> (String, mpsc::Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=hush", listener.local_addr().unwrap());
    let (posted, received) = mpsc::channel(64);
    let heads = Mutex::new(VecDeque::from(heads.to_vec()));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            let (head, body) = loop {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).await.unwrap();
                assert!(read > 0, "it ended early");
                bytes.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8(bytes.clone()).unwrap();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    break (head.to_owned(), body.to_owned());
                }
            };
            posted.send(Posted { head, body }).await.unwrap();
            let head = heads.lock().pop_front().unwrap_or("204 No Content");
            if !head.is_empty() {
                let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (url, received)
}

async fn next(received: &mut mpsc::Receiver<Posted>) -> Posted {
    timeout(TEST_TIMEOUT, received.recv()).await.expect("the webhook is called").unwrap()
}

fn settings(url: &str) -> config::Alerts {
    config::Alerts {
        webhook_url: Some(Secret::new(url)),
        webhook_secret: Some(Secret::new(SECRET)),
        allow_plain_loopback: true,
        pending_for: Duration::ZERO,
        ..config::Alerts::default()
    }
}

fn wall() -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(1_768_500_000, 0).unwrap()
}

fn wrong() -> ActiveConditions {
    ActiveConditions::from([(Key { alert: "source_mute", subject: "oanda".into() }, "oanda is mute".into())])
}

fn notices(count: usize) -> mpsc::Receiver<AlertNotice> {
    let (queue, waiting) = mpsc::channel(count.max(1));
    for _ in 0..count {
        let mut board = Board::new(Duration::ZERO, Duration::ZERO);
        queue.try_send(board.update(tokio::time::Instant::now(), wall(), &wrong()).remove(0)).unwrap();
    }
    waiting
}

fn courier(url: &str, metrics: &Arc<Metrics>, attempts: usize) -> Courier {
    let quick = ExponentialBuilder::new().with_min_delay(Duration::from_millis(1)).with_max_times(attempts - 1);
    Courier::new(&settings(url), metrics.clone(), wall).unwrap().unwrap().backing_off(quick)
}

fn rules(courier: Courier) -> Live<AlertRules> {
    Live::new(AlertRules { settings: config::Alerts::default(), courier: Some(courier) })
}

fn counted(metrics: &Metrics, outcome: &str) -> u64 {
    metrics.alert_deliveries_total.with_label_values(&[outcome]).get()
}

#[tokio::test]
async fn an_alert_is_signed() {
    let (url, mut received) = webhook(&[]).await;
    let metrics = Arc::new(Metrics::new().unwrap());
    deliver(notices(1), &rules(courier(&url, &metrics, 1))).await;
    let posted = next(&mut received).await;
    assert!(posted.head.starts_with("POST /hook?token=hush HTTP/1.1\r\n"), "{}", posted.head);
    assert_eq!(posted.header("content-type"), "application/json");
    let (id, timestamp) = (posted.header("webhook-id"), posted.header("webhook-timestamp"));
    assert!(id.starts_with("msg_") && timestamp == "1768500000", "{id} {timestamp}");
    let signature = Signer::new(&Secret::new(SECRET)).unwrap().sign(id, 1_768_500_000, &posted.body);
    assert_eq!(posted.header("webhook-signature"), signature);
    assert!(posted.body.contains("\"alert.raised\"") && posted.body.contains("oanda is mute"), "{}", posted.body);
    assert_eq!(counted(&metrics, "delivered"), 1);
}

#[tokio::test]
async fn retries_keep_the_id_and_ignore_redirects() {
    let (elsewhere, mut followed) = webhook(&[]).await;
    let redirect: &'static str = format!("302 Found\r\nlocation: {elsewhere}").leak();
    let (url, mut received) = webhook(&["500 Internal Server Error", redirect, ""]).await;
    let metrics = Arc::new(Metrics::new().unwrap());
    deliver(notices(1), &rules(courier(&url, &metrics, 8))).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(next(&mut received).await.header("webhook-id").to_owned());
    }
    ids.dedup();
    assert_eq!((ids.len(), counted(&metrics, "failed"), counted(&metrics, "delivered")), (1, 3, 1));
    assert!(received.try_recv().is_err() && followed.try_recv().is_err());
}

#[tokio::test]
async fn delivery_ends_after_retries_or_on_gone() {
    let (url, mut received) = webhook(&["503 Service Unavailable", "503 Service Unavailable", "410 Gone"]).await;
    let metrics = Arc::new(Metrics::new().unwrap());
    deliver(notices(3), &rules(courier(&url, &metrics, 2))).await;
    for _ in 0..4 {
        next(&mut received).await;
    }
    assert_eq!((counted(&metrics, "failed"), counted(&metrics, "gave_up"), counted(&metrics, "delivered")), (1, 2, 1));
}

#[tokio::test]
async fn a_retry_goes_to_the_new_webhook() {
    let (old, mut refused) = webhook(&["500 Internal Server Error"; 9]).await;
    let (new, mut received) = webhook(&[]).await;
    let metrics = Arc::new(Metrics::new().unwrap());
    let rules = rules(courier(&old, &metrics, 9));
    let reload = async {
        next(&mut refused).await;
        let courier = Some(courier(&new, &metrics, 1));
        rules.set(AlertRules { settings: config::Alerts::default(), courier });
    };
    tokio::join!(deliver(notices(1), &rules), reload);
    next(&mut received).await;
    assert_eq!(counted(&metrics, "delivered"), 1);
}

#[tokio::test]
async fn a_forbidden_address_is_rejected() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let refused = |url: &str, change: fn(&mut config::Alerts)| {
        let mut settings = settings(url);
        settings.allow_plain_loopback = false;
        change(&mut settings);
        Courier::new(&settings, metrics.clone(), wall).err()
    };
    let nothing = |_: &mut config::Alerts| {};
    for url in ["http://127.0.0.1/", "http://example.com/", "ftp://example.com/", "example.com", "https://"] {
        assert_eq!(refused(url, nothing), Some(CourierError::Address), "{url}");
    }
    for url in ["https://127.0.0.1/", "https://10.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest"] {
        assert_eq!(refused(url, nothing), Some(CourierError::Unreachable), "{url}");
    }
    assert_eq!(refused("https://10.0.0.1/", |settings| settings.allow_private_addresses = true), None);
    let metadata = refused("https://169.254.169.254/", |settings| settings.allow_private_addresses = true);
    assert_eq!(metadata, Some(CourierError::Unreachable));
    assert_eq!(refused("http://10.0.0.1/", |s| s.allow_plain_loopback = true), Some(CourierError::Unreachable));
    assert_eq!(refused("https://example.com/", nothing), None);
    assert_eq!(refused("https://example.com/", |s| s.webhook_secret = None), Some(CourierError::Secret));
    // A host name is checked when it is resolved.
    deliver(notices(1), &rules(courier("https://localhost/", &metrics, 1))).await;
    assert_eq!((counted(&metrics, "gave_up"), counted(&metrics, "delivered")), (1, 0));
}

#[tokio::test]
async fn a_silent_webhook_blocks_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let metrics = Arc::new(Metrics::new().unwrap());
    let alerts = Alerts::new(&settings(&url), metrics.clone(), wall).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (looked, mut looks) = mpsc::channel(8);
    let conditions = move |_| {
        looked.try_send(()).ok();
        wrong()
    };
    let (running, stopping) = (alerts.run(conditions, stop.clone()), async {
        for _ in 0..3 {
            timeout(TEST_TIMEOUT, looks.recv()).await.expect("it looks on").unwrap();
        }
        stop.cancel();
    });
    timeout(TEST_TIMEOUT, async { tokio::join!(running, stopping) }).await.expect("it ends");
    assert_eq!(metrics.alerts_firing.with_label_values(&["source_mute"]).get(), 1);
}
