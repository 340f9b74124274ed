//! A cheap WebSocket client, so that the measurement shows the server: it masks with zeros, which the protocol allows, and reads
//! frames in place.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};

/// The path of Socket.IO.
pub const SOCKET_IO: &str = "/socket.io/?EIO=4&transport=websocket";
/// The path of native WebSockets.
pub const NATIVE: &str = "/ws/signals";

const TEXT: u8 = 0x81;
const PONG: u8 = 0x8a;

/// An open WebSocket.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: BytesMut,
    /// The bytes that were received and not parsed yet.
    pub received: u64,
}

fn broken(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

impl Client {
    /// Connects from one of many loopback addresses, because the ports of a single one are too few for several storms.
    pub async fn open(number: usize, server: SocketAddr, path: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 2 + (number % 16) as u8], 0).into())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, buffer: BytesMut::with_capacity(4096), received: 0 };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        client.stream.write_all(request.as_bytes()).await?;
        loop {
            if let Some(end) = client.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = client.buffer.split_to(end + 4);
                if head.starts_with(b"HTTP/1.1 101") {
                    return Ok(client);
                }
                return Err(broken(String::from_utf8_lossy(&head)));
            }
            client.read().await?;
        }
    }

    /// Connects over Socket.IO and joins the main namespace.
    pub async fn join(number: usize, server: SocketAddr) -> io::Result<Self> {
        let mut client = Self::open(number, server, SOCKET_IO).await?;
        client.expect(b"0{").await?;
        client.send("40").await?;
        client.expect(b"40").await?;
        Ok(client)
    }

    async fn expect(&mut self, start: &[u8]) -> io::Result<()> {
        let text = self.next().await?;
        if text.starts_with(start) { Ok(()) } else { Err(broken(String::from_utf8_lossy(&text))) }
    }

    /// Sends a text of less than 126 bytes.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.frame(TEXT, text.as_bytes()).await
    }

    async fn frame(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        assert!(payload.len() < 126);
        let head = [first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        self.stream.write_all(&[&head, payload].concat()).await
    }

    /// Returns the next text. Answers pings of both protocols; a close is an error.
    pub async fn next(&mut self) -> io::Result<Bytes> {
        loop {
            let Some((first, payload)) = self.parse_frame() else {
                self.read().await?;
                continue;
            };
            match first {
                TEXT if payload[..] == *b"2" => self.send("3").await?,
                TEXT => return Ok(payload),
                0x89 => self.frame(PONG, &payload).await?,
                0x8a => {}
                _ => return Err(broken(format!("closed: {:?}", payload.get(..2)))),
            }
        }
    }

    fn parse_frame(&mut self) -> Option<(u8, Bytes)> {
        let [first, second] = *self.buffer.first_chunk()?;
        let (head, length) = match second {
            126 => (4, u64::from(u16::from_be_bytes(*self.buffer.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*self.buffer.get(2..)?.first_chunk()?)),
            length => (2, u64::from(length)),
        };
        if (self.buffer.len() as u64) < head as u64 + length {
            return None;
        }
        self.buffer.advance(head);
        Some((first, self.buffer.split_to(length as usize).freeze()))
    }

    async fn read(&mut self) -> io::Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        self.received += read as u64;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Waits until the server has closed the connection, without reading.
    pub async fn closed(&self) {
        self.stream.ready(Interest::ERROR).await.ok();
    }
}
