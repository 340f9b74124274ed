//! The floor: accepts WebSockets, and writes what is published to all of them as finished frames, with one write for all frames or
//! one for each.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The argument with which the benchmark starts itself as the floor.
pub const ARGUMENT: &str = "--floor";
/// The environment variable that asks for one write for each frame.
pub const EACH: &str = "FLOOR_WRITES_EACH";

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const DONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

type Clients = Arc<Mutex<Vec<TcpStream>>>;

/// Serves on `PORT` until the process is killed.
pub fn serve() {
    orion_server::listener::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let port = std::env::var("PORT").unwrap().parse().unwrap();
        let listener = orion_server::listener::listen(([127, 0, 0, 1], port).into()).unwrap();
        println!("{}", json!({"message": "listening", "address": listener.local_addr().unwrap()}));
        let clients = Clients::default();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(answer(stream, clients.clone()));
        }
    });
}

/// Answers the requests of a connection, until it becomes a WebSocket.
async fn answer(mut stream: TcpStream, clients: Clients) -> io::Result<()> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        if request.starts_with(b"GET ") {
            stream.write_all(SWITCH).await?;
            clients.lock().push(stream);
            return Ok(());
        }
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let (body, total) = (end + 4, end + 4 + length.parse::<usize>().unwrap());
        if request.len() < total {
            continue;
        }
        publish(&serde_json::from_slice::<Vec<_>>(&request[body..total])?, &clients.lock());
        stream.write_all(DONE).await?;
        request.clear();
    }
}

/// Writes events to all clients. The socket of a client that reads accepts everything at once.
fn publish(events: &[(String, Box<RawValue>)], clients: &[TcpStream]) {
    let frames: Vec<_> = events.iter().map(|(event, object)| frame(&format!("42[\"{event}\",{object}]"))).collect();
    let writes = if std::env::var_os(EACH).is_some() { frames } else { vec![frames.concat()] };
    for client in clients {
        for bytes in &writes {
            let written = client.try_write(bytes);
            assert!(written.is_ok_and(|written| written == bytes.len()), "a client does not read");
        }
    }
}

/// Returns a text frame of at most 65,535 bytes.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(length),
        _ => {
            frame.push(126);
            frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}
