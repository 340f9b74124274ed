//! What the played providers of one WebSocket have in common.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use orion_server::sources::streaming::{Dialect, StreamSource};
use orion_server::sources::{SocketTimeouts, Source};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::stage::{Act, Price, Stage, head};

pub(super) type Socket = WebSocketStream<TcpStream>;

/// How a provider speaks.
pub(super) trait Spoken: Send + 'static {
    /// Judges the handshake.
    fn admits(request: &Request) -> Result<(), u16>;

    /// Takes the client's subscription, and answers it; `None` when the client is gone.
    fn greet(socket: &mut Socket) -> impl Future<Output = Option<()>> + Send;

    /// The message about these prices.
    fn message(prices: &[Price]) -> String;

    /// The answer to what a client says after its subscription.
    fn answer(_: &str) -> Option<String> {
        None
    }
}

pub(super) async fn say(socket: &mut Socket, message: impl ToString) -> Option<()> {
    socket.send(Message::text(message.to_string())).await.ok()
}

pub(super) async fn heard(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Plays the provider.
pub(super) async fn play<S: Spoken>(plan: Vec<Vec<Act>>) -> Stage {
    Stage::open(plan, async |stream, acts| {
        serve::<S>(stream, acts).await;
    })
    .await
}

/// A source that takes a link for dead after this silence.
pub(super) fn source<D: Dialect>(dialect: D, names: &[&str], silence: Duration) -> impl Source + 'static {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let timeouts = SocketTimeouts { ping_after: silence / 2, silence: silence / 2 };
    StreamSource::new(dialect, &names, &super::catalogue(), super::wall()).unwrap().with_timeouts(timeouts)
}

/// Accepts a WebSocket, if the provider admits it.
pub(super) async fn accept<S: Spoken>(stream: TcpStream) -> Option<Socket> {
    #[expect(clippy::result_large_err, reason = "the form that the library wants")]
    let admit = |request: &Request, response: Response| match S::admits(request) {
        Ok(()) => Ok(response),
        Err(status) => {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = status.try_into().unwrap();
            Err(refusal)
        }
    };
    tokio_tungstenite::accept_hdr_async(stream, admit).await.ok()
}

async fn serve<S: Spoken>(mut stream: TcpStream, acts: Vec<Act>) -> Option<()> {
    let refusal = match acts.first() {
        Some(Act::TooMany) => "429 Too Many Requests\r\nRetry-After: 0",
        Some(Act::Unavailable) => "503 Service Unavailable",
        _ => "",
    };
    if !refusal.is_empty() {
        let answer = format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        head(&mut stream).await;
        return stream.write_all(answer.as_bytes()).await.ok();
    }
    let mut socket = accept::<S>(stream).await?;
    S::greet(&mut socket).await?;
    let mut acts = acts.into_iter().peekable();
    while let Some(act) = acts.next() {
        match act {
            // Two prices in a message, where two follow each other.
            Act::Price(price) => {
                let second = acts.next_if(|act| matches!(act, Act::Price(_)));
                let second = second.map(|act| if let Act::Price(price) = act { price } else { unreachable!() });
                say(&mut socket, S::message(&[price].into_iter().chain(second).collect::<Vec<_>>())).await?;
            }
            Act::Garbage => {
                for text in ["", "{}", "null", "[", "[5,{}]", "\"\""] {
                    say(&mut socket, text).await?;
                }
                socket.send(Message::binary(vec![0, 1, 2])).await.ok()?;
                say(&mut socket, S::message(&[Price { bid: -1.0, ..super::contract::price(0) }])).await?;
                say(&mut socket, " ".repeat((1 << 20) + 1)).await?;
            }
            Act::Mute => std::future::pending().await,
            Act::Cut => return Some(()),
            Act::Close => return socket.close(None).await.ok(),
            Act::TooMany | Act::Unavailable => unreachable!("only at the beginning"),
        }
    }
    // Pings are answered by reading.
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => {
                if let Some(answer) = S::answer(&text) {
                    say(&mut socket, answer).await?;
                }
            }
            Message::Close(_) => return None,
            _ => {}
        }
    }
}
