//! What all played providers have in common: a plan of what happens on each connection, and a count of those that came.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::soon;

/// What a provider does on a connection, one after the other; in the end it goes on with signs of life only.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends a price.
    Price(Price),
    /// Sends everything that is no message.
    Garbage,
    /// Says nothing any more, and keeps the connection.
    Mute,
    /// Drops the connection without a word.
    Cut,
    /// Ends the connection as it should.
    Close,
    /// Refuses for now: too much was asked. Only first on a connection.
    TooMany,
    /// Refuses for now: the service is down. Only first on a connection.
    Unavailable,
}

/// A price as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Price {
    /// The catalogue's name.
    pub(crate) symbol: &'static str,
    pub(crate) bid: f64,
    pub(crate) ask: f64,
    /// Unix milliseconds.
    pub(crate) at: i64,
}

/// The plan and the counts; cheap to clone.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) addr: SocketAddr,
    plan: Arc<Mutex<VecDeque<Vec<Act>>>>,
    came: watch::Receiver<usize>,
}

impl Stage {
    /// Listens, and hands each connection with its part of the plan to `play`.
    pub(crate) async fn open<F>(plan: Vec<Vec<Act>>, play: impl Fn(TcpStream, Vec<Act>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (counted, came) = watch::channel(0);
        let stage = Self { addr: listener.local_addr().unwrap(), plan: Arc::new(Mutex::new(plan.into())), came };
        let plan = stage.plan.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acts = plan.lock().pop_front().unwrap_or_default();
                tokio::spawn(play(stream, acts));
                counted.send_modify(|count| *count += 1);
            }
        });
        stage
    }

    /// How many connections came.
    pub(crate) fn came(&self) -> usize {
        *self.came.borrow()
    }

    /// Waits until so many connections have come.
    pub(crate) async fn until(&self, count: usize) {
        let mut came = self.came.clone();
        soon("a connection", came.wait_for(|came| *came >= count)).await.unwrap();
    }
}

/// The head of an HTTP request.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
