//! What the played providers that are asked by HTTP have in common: one answer a connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use orion_server::sources::Source;
use orion_server::sources::polling::PollSource;
use orion_server::sources::streaming::Dialect;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::stage::{Act, Price, Stage, head};

/// How a provider answers.
pub(super) trait Asked: Send + 'static {
    /// Judges the key in the head of a request.
    fn admits(head: &str) -> bool;

    /// The answer with this price, or without any.
    fn answer(price: Option<Price>) -> Value;
}

/// Plays the provider. Whatever connection an act belongs to: each is an answer.
pub(super) async fn play<A: Asked>(plan: Vec<Vec<Act>>) -> Stage {
    let acts = Arc::new(Mutex::new(plan.into_iter().flatten().collect::<VecDeque<Act>>()));
    Stage::open(Vec::new(), move |stream, _| serve::<A>(stream, acts.clone())).await
}

/// A source that asks every few milliseconds.
pub(super) fn source<D: Dialect>(dialect: D, names: &[&str], silence: Duration) -> impl Source + 'static {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let source = PollSource::new(dialect, &names, &super::catalogue(), super::wall()).unwrap();
    source.with_timeout(silence / 2).with_interval(Duration::from_millis(2))
}

async fn serve<A: Asked>(mut stream: TcpStream, acts: Arc<Mutex<VecDeque<Act>>>) {
    let admitted = A::admits(&head(&mut stream).await);
    let act = acts.lock().pop_front();
    let (status, body) = match act {
        _ if !admitted => ("401 Unauthorized", String::new()),
        Some(Act::Price(price)) => ("200 OK", A::answer(Some(price)).to_string()),
        Some(Act::Garbage) => ("200 OK", "<html>".to_owned()),
        Some(Act::Mute) => std::future::pending().await,
        Some(Act::Cut) => return,
        Some(Act::Close) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{").await.ok();
            return;
        }
        Some(Act::TooMany) => ("429 Too Many Requests\r\nRetry-After: 0", String::new()),
        Some(Act::Unavailable) => ("503 Service Unavailable", String::new()),
        None => ("200 OK", A::answer(None).to_string()),
    };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.ok();
}
