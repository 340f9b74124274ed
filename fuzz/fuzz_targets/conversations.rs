#![no_main]
//! Fuzzes the frames of clients on each stream, native and over Socket.IO: the first byte chooses the stream, each line is a frame.

#[allow(dead_code, reason = "this target asks for nothing")]
mod server;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use server::{ADDRESS, Steady, TOKEN, USER};
use tungstenite::{Message, WebSocket};

/// Inputs per connection; new connections matter, because streams behave differently at their beginning.
const MAX_INPUTS: usize = 16;

/// Returns the path of each stream and its first frame.
fn streams() -> Vec<(String, String)> {
    let user = &*USER;
    let admin = format!(r#"{{"action":"subscribe","admin_token":"{TOKEN}"}}"#);
    let silent = ["/ws", "/ws/signals", "/ws/trade-signals", "/ws/market-data", "/ws/notifications", "/api/websocket"];
    let mut streams: Vec<_> = silent.iter().map(|path| ((*path).to_owned(), String::new())).collect();
    streams.extend([
        ("/ws/admin".to_owned(), admin),
        ("/ws/admin".to_owned(), String::new()),
        ("/api/websocket".to_owned(), format!(r#"{{"type":"auth","token":"{TOKEN}"}}"#)),
        (format!("/ws/signals?token={TOKEN}"), String::new()),
        (format!("/api/ws?token={user}"), String::new()),
        (format!("/ws/earnings?token={user}"), String::new()),
        (format!("/ws/notifications?token={user}"), String::new()),
        (format!("/ws/user/ann?token={user}"), String::new()),
        ("/socket.io/?EIO=4&transport=websocket".to_owned(), format!(r#"40{{"token":"{user}"}}"#)),
        ("/socket.io/?EIO=3&transport=websocket".to_owned(), String::new()),
        ("/socket.io/?EIO=4&transport=websocket".to_owned(), String::new()),
    ]);
    streams
}

struct Stream {
    path: String,
    hello: String,
    client: Option<(WebSocket<Steady>, usize)>,
}

impl Stream {
    fn send(&mut self, bytes: &[u8]) {
        let (mut client, sent) = self.client.take().unwrap_or_else(|| {
            let url = format!("ws://{}{}", *ADDRESS, self.path);
            let (mut client, _) = tungstenite::client(url, Steady::connect(*ADDRESS)).unwrap();
            if !self.hello.is_empty() {
                client.send(Message::text(self.hello.as_str())).unwrap();
            }
            (client, 0)
        });
        for line in bytes.split(|byte| *byte == b'\n') {
            let frame = match std::str::from_utf8(line) {
                Ok(text) => Message::text(text),
                Err(_) => Message::binary(line.to_vec()),
            };
            client.send(frame).ok();
        }
        client.send(Message::Ping("mark".into())).ok();
        loop {
            match client.read() {
                Ok(Message::Pong(_)) => break,
                Ok(Message::Text(text)) if text.as_str() == "2" => drop(client.send(Message::text("3"))),
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Protocol(_)) => {
                    return;
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("{} answers no more", self.path)
                }
                Err(_) => return,
            }
        }
        self.client = (sent < MAX_INPUTS).then_some((client, sent + 1));
    }
}

thread_local! {
    static STREAMS: RefCell<Vec<Stream>> = RefCell::new(
        streams().into_iter().map(|(path, hello)| Stream { path, hello, client: None }).collect()
    );
}

fuzz_target!(|data: &[u8]| {
    let Some((stream, bytes)) = data.split_first() else { return };
    STREAMS.with_borrow_mut(|streams| {
        let index = usize::from(*stream) % streams.len();
        streams[index].send(bytes);
    });
});
