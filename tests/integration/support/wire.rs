//! A keep-alive connection that says what it is told, byte by byte: what a client library would never send, and fast.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// An answer over HTTP/1.1.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The head in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// The code of an error.
    pub(crate) fn code(&self) -> Value {
        serde_json::from_str::<Value>(&self.body).unwrap_or_default()["code"].take()
    }

    /// The id of the session that was opened.
    pub(crate) fn sid(&self) -> Option<String> {
        let (_, rest) = self.body.split_once("\"sid\":\"")?;
        rest.split('"').next().map(str::to_owned)
    }
}

/// One connection.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).await.unwrap()
    }

    pub(crate) async fn try_connect(addr: SocketAddr) -> Option<Self> {
        TcpStream::connect(addr).await.ok().map(|stream| Self(BufReader::new(stream)))
    }

    /// Sends bytes and reads one answer; `None` where the connection broke.
    pub(crate) async fn send(&mut self, request: &str) -> Option<Reply> {
        self.0.get_mut().write_all(request.as_bytes()).await.ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let mut reply = Reply { head: head.to_ascii_lowercase(), ..Reply::default() };
        reply.status = reply.head.split(' ').nth(1)?.parse().ok()?;
        let length = reply.header("content-length").map_or(Ok(0), str::parse).ok()?;
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        reply.body = String::from_utf8_lossy(&body).into_owned();
        Some(reply)
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &str) -> Option<Reply> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Option<Reply> {
        let length = body.len();
        self.send(&format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")).await
    }
}
