//! Runs the whole server in the process of a fuzz target, on the loopback interface, with a signal and a price.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use orion_server::auth::mint;
use orion_server::config::{Environment, Settings};
use orion_server::sources::providers;
use orion_server::{app, listener};

/// The token for pushing and for administration.
pub const TOKEN: &str = "token";
/// A user token, as pages send it.
pub static USER: LazyLock<String> =
    LazyLock::new(|| mint(&SETTINGS.auth, "ann", false, Utc::now(), TimeDelta::days(1)).unwrap());
/// The address of the server, which is started by the first access.
pub static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(start);

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let data = std::env::temp_dir().join(concat!("orion-fuzz-", env!("CARGO_BIN_NAME")));
    std::fs::remove_dir_all(&data).ok();
    let env = [
        ("ORION_DATA_DIR", data.to_str().unwrap()),
        ("ORION_SOURCES", "none"),
        ("ORION_INGEST_TOKEN", TOKEN),
        ("ORION_ADMIN_TOKEN", TOKEN),
        ("ORION_TRADINGVIEW_TOKEN", "tradingview-token"),
        ("ORION_JWT_SECRET", "a secret for tests, of more than 32 bytes"),
        ("ORION_LIMITS__EVENTS_PER_SECOND", "0"),
        ("ORION_LIMITS__PUSHES_PER_SECOND", "0"),
    ];
    let env = Environment::from(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Settings::load(providers::tables(), &env, None).unwrap().settings
});

fn start() -> SocketAddr {
    let (sent, address) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = listener::listen(([127, 0, 0, 1], 0).into()).unwrap();
            sent.send(listener.local_addr().unwrap()).unwrap();
            app::run(listener, &SETTINGS, std::future::pending()).await.unwrap();
        });
    });
    let address = address.recv().unwrap();
    let mut http = Http::connect(address);
    assert_eq!(http.ask("POST", "/api/signals", br#"{"id":"known","symbol":"EURUSD","direction":"long"}"#), 200);
    assert_eq!(http.ask("POST", "/api/prices", br#"{"symbol":"EURUSD","bid":1.085,"ask":1.0851}"#), 200);
    address
}

/// A connection with a read time-out that retries after an interrupt: libFuzzer's timer sends signals.
pub struct Steady(TcpStream);

impl Steady {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    fn retry<T>(&mut self, mut work: impl FnMut(&mut TcpStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            match work(&mut self.0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(|stream| stream.read(buffer))
    }
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.retry(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An HTTP client that reuses its connection while the server keeps it open.
pub struct Http(SocketAddr, BufReader<Steady>);

impl Http {
    pub fn connect(address: SocketAddr) -> Self {
        Self(address, BufReader::new(Steady::connect(address)))
    }

    /// Sends a request with the token for pushing and returns the status of the response.
    pub fn ask(&mut self, method: &str, target: &str, body: &[u8]) -> u16 {
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\r\n"
        );
        let request = [head.as_bytes(), body].concat();
        self.try_ask(&request).unwrap_or_else(|_| {
            // The server has closed the connection: it was idle for too long, or the previous request was malformed.
            *self = Self::connect(self.0);
            self.try_ask(&request).unwrap()
        })
    }

    fn try_ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.1.get_mut().write_all(request)?;
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.1.read_line(&mut line)?;
            match line.trim_end().split_once(' ') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length:") => length = value.parse().unwrap(),
                Some(("HTTP/1.1", rest)) => status = Some(rest[..3].parse().unwrap()),
                Some(_) => {}
            }
        }
        self.1.read_exact(&mut vec![0; length])?;
        status.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
