//! The native transport frame by frame: what the sections 1 to 7, 9 and 10 of the Autobahn test suite ask, told in answers and
//! close codes instead of echoes. `examples/echo.rs` echoes, for the suite itself.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Server, soon};

const KIB: usize = 1024;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// A frame of the server.
#[derive(Debug, PartialEq)]
enum Frame {
    Text(Value),
    Pong(Vec<u8>),
    /// With its code; 1005 where it has none.
    Close(u16),
    /// The connection ended without one.
    End,
}

/// A client that writes what it likes.
struct Raw(TcpStream);

impl Raw {
    /// Opens the stream of a pusher, which is told nothing without asking.
    async fn open(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let head = "GET /api/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(soon("the handshake", stream.read_u8()).await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Self(stream)
    }

    async fn write(&mut self, bytes: &[u8]) {
        // The server may be done with us before the last byte.
        self.0.write_all(bytes).await.ok();
    }

    async fn read(&mut self) -> Frame {
        soon("a frame", async {
            loop {
                let Ok(first) = self.0.read_u8().await else { return Frame::End };
                assert_eq!(first & 0xf0, FIN, "whole, and no reserved bit");
                let length = match self.0.read_u8().await.unwrap() {
                    126 => self.0.read_u16().await.unwrap().into(),
                    127 => self.0.read_u64().await.unwrap() as usize,
                    length => usize::from(length),
                };
                assert!(length < 65 * KIB, "masked, or too long");
                let mut payload = vec![0; length];
                self.0.read_exact(&mut payload).await.unwrap();
                match first & 0xf {
                    TEXT => return Frame::Text(serde_json::from_slice(&payload).unwrap()),
                    PING => {}
                    PONG => return Frame::Pong(payload),
                    CLOSE if payload.is_empty() => return Frame::Close(1005),
                    CLOSE => {
                        std::str::from_utf8(&payload[2..]).unwrap();
                        return Frame::Close(u16::from_be_bytes([payload[0], payload[1]]));
                    }
                    other => panic!("opcode {other}"),
                }
            }
        })
        .await
    }

    /// The next frame has to be an answer of this type.
    async fn answered(&mut self, kind: &str) -> Value {
        match self.read().await {
            Frame::Text(frame) => {
                assert_eq!(frame["type"], kind, "{frame}");
                frame
            }
            other => panic!("{other:?} instead of {kind}"),
        }
    }

    /// The connection is closed with this code, and then ended.
    async fn closed(mut self, code: u16, why: &str) {
        assert_eq!(self.read().await, Frame::Close(code), "{why}");
        assert_eq!(self.read().await, Frame::End, "{why}");
    }
}

/// A masked frame whose first byte is `first`.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(FIN | length as u8),
        length @ 126..65_536 => {
            bytes.push(FIN | 0x7e);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(FIN | 0x7f);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn ping_text(pad: usize) -> String {
    format!(r#"{{"type":"ping","timestamp":"{}"}}"#, "x".repeat(pad))
}

/// Sections 1 (framing), 5 (fragmentation) and 10 (automatic fragmentation).
#[tokio::test]
async fn fragments_of_every_length_make_one_message() {
    let server = Server::push_only().await;
    let mut client = Raw::open(server.addr).await;
    for kind in [TEXT, BINARY] {
        client.write(&frame(FIN | kind, b"")).await;
        client.answered("error").await;
    }
    // Around every change of the header's form, up to the largest message that is taken.
    for length in [30, 125, 126, 127, 128, 200, 4_000, 65_535, 64 * KIB] {
        let pad = length - ping_text(0).len();
        let text = ping_text(pad);
        for kind in [TEXT, BINARY] {
            client.write(&frame(FIN | kind, text.as_bytes())).await;
            assert_eq!(client.answered("pong").await["timestamp"].as_str().unwrap().len(), pad);
        }
        for size in [1, 7, 1_300] {
            let pieces: Vec<_> = text.as_bytes().chunks(size.max(text.len() / 2_000)).collect();
            let mut bytes = Vec::new();
            for (index, piece) in pieces.iter().enumerate() {
                let fin = if index + 1 == pieces.len() { FIN } else { 0 };
                bytes.extend(frame(fin | if index == 0 { TEXT } else { 0 }, piece));
            }
            client.write(&bytes).await;
            assert_eq!(client.answered("pong").await["timestamp"].as_str().unwrap().len(), pad, "{size} {pad}");
        }
    }
    // A byte at a time on the wire, and a ping between two pieces.
    for byte in frame(FIN | TEXT, ping_text(3).as_bytes()) {
        client.write(&[byte]).await;
    }
    client.answered("pong").await;
    let text = ping_text(3);
    let (one, other) = text.as_bytes().split_at(9);
    client.write(&[frame(TEXT, one), frame(FIN | PING, b"between"), frame(FIN, other)].concat()).await;
    assert_eq!(client.read().await, Frame::Pong(b"between".to_vec()));
    client.answered("pong").await;
    server.stop().await;
}

/// Section 2 (pings and pongs).
#[tokio::test]
async fn pings_are_echoed_and_pongs_are_not() {
    let server = Server::push_only().await;
    let mut client = Raw::open(server.addr).await;
    for payload in [&b""[..], b"hello", &[0, 0xff, 0xfe], &[0xfe; 125]] {
        client.write(&frame(FIN | PONG, payload)).await;
        client.write(&frame(FIN | PING, payload)).await;
        assert_eq!(client.read().await, Frame::Pong(payload.to_vec()));
    }
    let payloads: Vec<_> = (0..10_u8).map(|number| vec![number; 4]).collect();
    client.write(&payloads.iter().flat_map(|payload| frame(FIN | PING, payload)).collect::<Vec<_>>()).await;
    for payload in payloads {
        assert_eq!(client.read().await, Frame::Pong(payload), "ten at once");
    }
    for byte in frame(FIN | PING, &[0xfe; 125]) {
        client.write(&[byte]).await;
    }
    assert_eq!(client.read().await, Frame::Pong(vec![0xfe; 125]), "a byte at a time");
    client.write(&frame(FIN | PING, &[0xfe; 126])).await;
    client.closed(1002, "a ping of 126 bytes").await;
    server.stop().await;
}

/// Sections 3 (reserved bits), 4 (opcodes) and what of 5 and 7 breaks the protocol.
#[tokio::test]
async fn protocol_violations_are_closed_with_1002() {
    let server = Server::push_only().await;
    let hello = b"{}".as_slice();
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for (bits, opcode) in (1..8_u8).flat_map(|bits| [TEXT, BINARY, CLOSE, PING, PONG].map(|opcode| (bits, opcode))) {
        cases.push((format!("reserved bits {bits} with opcode {opcode}"), frame(FIN | (bits << 4) | opcode, b"")));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push((format!("opcode {opcode}"), frame(FIN | opcode, hello)));
        cases.push((format!("opcode {opcode} with nothing"), frame(FIN | opcode, b"")));
    }
    cases.extend([
        ("a ping in pieces".to_owned(), frame(PING, b"a")),
        ("a pong in pieces".to_owned(), frame(PONG, b"a")),
        ("a close in pieces".to_owned(), frame(CLOSE, b"")),
        ("a piece of nothing".to_owned(), frame(FIN, hello)),
        ("a piece of nothing, and not the last".to_owned(), frame(0, hello)),
        ("a text in the middle of another".to_owned(), [frame(TEXT, b"{"), frame(FIN | TEXT, b"}")].concat()),
        ("a frame that is not masked".to_owned(), vec![FIN | TEXT, 2, b'{', b'}']),
        ("a close of one byte".to_owned(), frame(FIN | CLOSE, b"x")),
        ("a close of 126 bytes".to_owned(), frame(FIN | CLOSE, &[&[3, 0xe8][..], &[b'x'; 124]].concat())),
    ]);
    let count = cases.len();
    for (why, bytes) in cases {
        let mut client = Raw::open(server.addr).await;
        // What came before is answered, what comes behind is not.
        client.write(&[frame(FIN | TEXT, ping_text(0).as_bytes()), bytes, frame(FIN | PING, b"")].concat()).await;
        client.answered("pong").await;
        client.closed(1002, &why).await;
    }
    server.until("orion_connections", "api/websocket", |count| count == 0.0).await;
    assert_eq!(server.metric("orion_disconnects_total", "reason=\"protocol_error\"").await, count as f64);
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}

/// Section 6 (UTF-8).
#[tokio::test]
async fn invalid_utf8_is_closed_with_1007() {
    let server = Server::push_only().await;
    for bytes in [
        &[0xff][..],
        &[0xc0, 0xaf],
        &[0xed, 0xa0, 0x80],
        &[0xf4, 0x90, 0x80, 0x80],
        &[0xce, 0xba, 0xe1, 0xbd],
        &[0x80],
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ] {
        let mut client = Raw::open(server.addr).await;
        client.write(&frame(FIN | TEXT, bytes)).await;
        client.closed(1007, &format!("{bytes:x?}")).await;
        let mut client = Raw::open(server.addr).await;
        let (one, other) = bytes.split_at(bytes.len() / 2);
        client.write(&[frame(TEXT, one), frame(FIN, other)].concat()).await;
        client.closed(1007, &format!("{bytes:x?} in two pieces")).await;
    }
    let mut client = Raw::open(server.addr).await;
    client.write(&frame(TEXT, &[0xce, 0xba, 0xf4, 0x90, 0x80, 0x80])).await;
    client.closed(1007, "before the last piece").await;
    // A letter in two pieces is a letter.
    let mut client = Raw::open(server.addr).await;
    let text = r#"{"type":"ping","timestamp":"κόσμε 𝄞"}"#.as_bytes();
    let bytes: Vec<u8> = text
        .iter()
        .enumerate()
        .flat_map(|(at, byte)| {
            let fin = if at + 1 == text.len() { FIN } else { 0 };
            frame(fin | if at == 0 { TEXT } else { 0 }, &[*byte])
        })
        .collect();
    client.write(&bytes).await;
    assert_eq!(client.answered("pong").await["timestamp"], "κόσμε 𝄞");
    server.stop().await;
}

/// Section 7 (closing).
#[tokio::test]
async fn a_close_is_echoed_or_refused() {
    let server = Server::push_only().await;
    let closing = |code: u16, reason: &[u8]| [&code.to_be_bytes()[..], reason].concat();
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let mut client = Raw::open(server.addr).await;
        // What comes behind a close is not listened to.
        client.write(&[frame(FIN | CLOSE, &closing(code, b"bye")), frame(FIN | PING, b"late")].concat()).await;
        client.closed(code, "a code that may be sent").await;
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let mut client = Raw::open(server.addr).await;
        client.write(&frame(FIN | CLOSE, &closing(code, b""))).await;
        client.closed(1002, &format!("{code} may not be sent")).await;
    }
    let mut client = Raw::open(server.addr).await;
    client.write(&frame(FIN | CLOSE, &closing(1000, &[0xce, 0xba, 0xed, 0xa0, 0x80]))).await;
    assert!(matches!(client.read().await, Frame::Close(1002 | 1007)), "a reason that is no UTF-8");
    let mut client = Raw::open(server.addr).await;
    client
        .write(&[frame(TEXT, b"{"), frame(FIN | CLOSE, &closing(1000, &[b'x'; 123])), frame(FIN, b"}")].concat())
        .await;
    client.closed(1000, "a close with the longest reason, amid a message").await;
    let mut client = Raw::open(server.addr).await;
    client.write(&[frame(FIN | CLOSE, &closing(1000, b"")), frame(FIN | CLOSE, &closing(1001, b""))].concat()).await;
    client.closed(1000, "two closes").await;
    let mut client = Raw::open(server.addr).await;
    client.write(&frame(FIN | CLOSE, b"")).await;
    client.closed(1005, "a close without a code").await;
    server.stop().await;
}

/// Section 9 (limits): ours are lower than the suite's, and say so.
#[tokio::test]
async fn large_messages_are_closed_with_1009_early() {
    let server = Server::process(&[]).await;
    let before = server.resident();
    let large = vec![b'x'; 64 * KIB + 1];
    let header = |length: u64| [&[FIN | TEXT, FIN | 0x7f][..], &length.to_be_bytes(), &[0; 4]].concat();
    for (why, bytes) in [
        ("a frame of a byte too many", frame(FIN | TEXT, &large)),
        ("many pieces", [frame(TEXT, &large[..40 * KIB]), frame(0, &large[..40 * KIB])].concat()),
        ("a frame announced as 1 TiB", header(1 << 40)),
        ("a frame announced as 1 TiB, and begun", [header(1 << 40), vec![0; 512 * KIB]].concat()),
        ("a frame announced as more than there is", header(i64::MAX as u64)),
    ] {
        let mut client = Raw::open(server.addr).await;
        client.write(&bytes).await;
        client.closed(1009, why).await;
    }
    assert!(server.resident() - before < 20.0, "nothing is kept for what is announced");
    server.stop().await;
}
