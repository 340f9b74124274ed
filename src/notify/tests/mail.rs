//! E-mail to a mail server on loopback.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::rig::{Rig, TEST_TIMEOUT, confirmed};
use super::{loopback, signal};
use crate::config::{EmailSettings, MailEncryption, NotifySettings};

/// A mail server that refuses the first recipient of a connection with each of `refusals`, and then takes everything.
#[allow(clippy::disallowed_methods, reason = "it ends with the test")]
async fn mail_server(mut refusals: Vec<&'static str>) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mails, received) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reading, mut writing) = stream.into_split();
            let mut lines = BufReader::new(reading).lines();
            writing.write_all(b"220 here\r\n").await.ok();
            while let Ok(Some(line)) = lines.next_line().await {
                let command = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
                let answer = match command.as_str() {
                    "EHLO" => "250-here\r\n250 8BITMIME\r\n".to_owned(),
                    "RCPT" if !refusals.is_empty() => format!("{}\r\n", refusals.remove(0)),
                    "DATA" => {
                        writing.write_all(b"354 go on\r\n").await.ok();
                        let mut mail = String::new();
                        while let Ok(Some(line)) = lines.next_line().await {
                            if line == "." {
                                break;
                            }
                            mail += &line;
                            mail.push('\n');
                        }
                        mails.send(mail).await.ok();
                        "250 taken\r\n".to_owned()
                    }
                    _ => "250 well\r\n".to_owned(),
                };
                if writing.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    (port, received)
}

fn settings(port: u16) -> NotifySettings {
    let email = EmailSettings {
        server: Some("127.0.0.1".to_owned()),
        port,
        encryption: MailEncryption::None,
        from: Some("Signals <signals@example.com>".to_owned()),
        to: vec!["ann@example.com".to_owned(), "bob@example.com".to_owned()].into(),
        ..EmailSettings::default()
    };
    NotifySettings { email, ..loopback() }
}

#[tokio::test]
async fn the_mails_of_a_signal_are_a_thread() {
    let (port, mut mails) = mail_server(vec!["451 try again later"]).await;
    let rig = Rig::new();
    let running = rig.start(&settings(port)).await;
    let pending = signal("a");
    rig.append(&running, &pending).await;
    rig.append(&running, &confirmed(&pending)).await;
    let mut next = async || timeout(TEST_TIMEOUT, mails.recv()).await.unwrap().unwrap();
    let (first, second) = (next().await, next().await);
    let header = |mail: &str, name: &str| {
        let line = mail.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {mail}")).to_owned()
    };
    assert_eq!(header(&first, "From"), "Signals <signals@example.com>");
    assert_eq!(header(&first, "To"), "ann@example.com, bob@example.com");
    assert_eq!(header(&first, "References"), header(&second, "References"));
    assert_ne!(header(&first, "Message-ID"), header(&second, "Message-ID"));
    assert!(header(&first, "Subject").starts_with("EURUSD LONG "), "{first}");
    rig.settled(2, 0, "email").await;
    rig.counted(&rig.metrics.notify_retried_total, &["email"], 1).await;
}

#[tokio::test]
async fn a_refused_sender_is_named() {
    let (port, _mails) = mail_server(vec!["550 not allowed to send"]).await;
    let rig = Rig::new();
    let running = rig.start(&settings(port)).await;
    rig.append(&running, &signal("a")).await;
    rig.counted_at_least(&rig.metrics.notify_failed_total, &["email"], 1).await;
    rig.settled(1, 0, "email").await;
    assert_eq!(running.notices.complaint(), None);
}
