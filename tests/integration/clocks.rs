//! A wall clock that jumps an hour forward and two back while the server runs: spans go on as they were.
//!
//! The clock is that of the real binary alone, turned by libfaketime; its monotonic clock, and the test's own, are right.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use orion_server::domain::parse_time;
use orion_server::pipeline::clock::wall;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::support::users::{SECRET, Stream, Way, token_for};
use crate::support::{Native, PATIENCE, Packet, Polling, Protocol, Server, Socket, TOKEN, binary, seq, signal, soon};

const TTL: Duration = Duration::from_secs(3);
/// Time between two batches of the terminal.
const BEAT: Duration = Duration::from_millis(300);

/// Where distributions put it: `/usr/lib64` or `/usr/lib`, on Debian in a folder of the machine's kind.
fn libfaketime() -> Option<PathBuf> {
    let of_the_machine = fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let places = ["/usr/lib64".into(), "/usr/lib".into()].into_iter().chain(of_the_machine);
    places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists())
}

/// The wall clock of one process.
struct Clock {
    library: PathBuf,
    dir: tempfile::TempDir,
}

impl Clock {
    fn new() -> Option<Self> {
        let clock = Self { library: libfaketime()?, dir: tempfile::tempdir().unwrap() };
        clock.set(0);
        Some(clock)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }

    /// Sets it so many seconds from the right time, at once.
    fn set(&self, seconds: i64) {
        let next = self.dir.path().join("next");
        fs::write(&next, format!("{seconds:+}\n")).unwrap();
        fs::rename(next, self.file()).unwrap();
    }

    /// Starts a server by this clock.
    async fn start(&self, env: BTreeMap<&str, &str>) -> Server {
        let mut command = binary();
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", self.file());
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Server::launch(command, env).await
    }
}

/// A client that reads all the time.
trait Reads: Send + 'static {
    /// The next frame or event, as `{"type","payload","cursor"}`; an error says how it ended.
    fn heard(&mut self) -> impl Future<Output = Result<Value, String>> + Send;
}

impl Reads for Native {
    async fn heard(&mut self) -> Result<Value, String> {
        self.next().await.map_err(|code| code.to_string())
    }
}

impl Reads for Stream {
    async fn heard(&mut self) -> Result<Value, String> {
        self.next().await.map_err(|code| code.to_string())
    }
}

fn event(packet: Packet) -> Result<Value, String> {
    match packet {
        Packet::Event(name, args) => {
            let argument = |at: usize| args.get(at).cloned().unwrap_or_default();
            Ok(json!({ "type": name, "payload": argument(0), "cursor": argument(1)["cursor"] }))
        }
        Packet::Disconnected | Packet::Refused(_) => Err(format!("{packet:?}")),
        _ => Ok(json!({})),
    }
}

impl Reads for Socket {
    async fn heard(&mut self) -> Result<Value, String> {
        event(self.next().await.map_err(|end| format!("{end:?}"))?)
    }
}

impl Reads for Polling {
    async fn heard(&mut self) -> Result<Value, String> {
        event(self.next().await.map_err(|status| status.to_string())?)
    }
}

/// What a client has heard, with the time on the test's monotonic clock, and how it ended.
#[derive(Default)]
struct Heard {
    frames: Vec<(Instant, Value)>,
    end: Option<String>,
}

struct Client {
    name: &'static str,
    heard: Arc<Mutex<Heard>>,
    count: watch::Receiver<usize>,
    reading: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Client {
    fn of(name: &'static str, mut client: impl Reads) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (counted, count) = watch::channel(0);
        let all = heard.clone();
        let reading = tokio::spawn(async move {
            loop {
                match client.heard().await {
                    Ok(frame) => all.lock().frames.push((Instant::now(), frame)),
                    Err(end) => {
                        all.lock().end = Some(end);
                        return counted.send_modify(|count| *count += 1);
                    }
                }
                counted.send_modify(|count| *count += 1);
            }
        });
        Self { name, heard, count, reading: reading.abort_handle() }
    }

    /// Waits until `holds`.
    async fn until<T>(&self, what: &str, holds: impl Fn(&Heard) -> Option<T>) -> T {
        let mut count = self.count.clone();
        soon(&format!("{what}, for {}", self.name), async {
            loop {
                count.borrow_and_update();
                if let Some(found) = holds(&self.heard.lock()) {
                    return found;
                }
                count.changed().await.unwrap_or_else(|_| panic!("{} has ended before {what}", self.name));
            }
        })
        .await
    }

    /// When the client heard of this state of a signal, and what.
    async fn signal(&self, id: &str, status: &str) -> (Instant, Value) {
        self.until(&format!("{id} {status}"), |heard| {
            let is_it = |frame: &Value| frame["payload"]["id"] == id && frame["payload"]["status"] == status;
            heard.frames.iter().find(|(_, frame)| is_it(frame)).cloned()
        })
        .await
    }

    fn end(&self) -> Option<String> {
        self.heard.lock().end.clone()
    }
}

/// One of each kind of client. The first four get signals.
async fn clients(server: &Server, token: &str) -> Vec<Client> {
    let addr = server.addr;
    let mut socket = Socket::with_auth(addr, &json!({ "token": token })).await;
    socket.connected().await;
    socket.emit("subscribe", &Value::Null).await;
    socket.event("subscribed").await;
    let mut polling = Polling::open(addr, Protocol::Eio4).await;
    polling.subscribe(&Value::Null).await;
    polling.event("subscribed").await;
    let mut native = Native::connect(addr, "/ws/signals").await;
    native.frame("subscribed").await;
    let mut with_token = Native::connect(addr, &format!("/ws/signals?token={token}")).await;
    with_token.frame("subscribed").await;
    let mut sentio = Native::connect(addr, "/ws/market-data").await;
    sentio.send(&json!({ "action": "subscribe", "symbols": ["EURUSD"] })).await;
    vec![
        Client::of("native", native),
        Client::of("native with a token", with_token),
        Client::of("Socket.IO", socket),
        Client::of("Socket.IO, polling", polling),
        Client::of("ARIA", Native::connect(addr, "/ws").await),
        Client::of("Sentio", sentio),
        Client::of("bot platform", Stream::live(addr, Way::Query, token).await),
        Client::of("event stream", Stream::live(addr, Way::Events, token).await),
    ]
}

/// A terminal whose clock is right: a price every beat, until it is dropped. One that is not taken fails the test.
fn terminal(server: &Server) -> JoinSet<()> {
    let (http, url) = (server.http.clone(), server.url("/api/mt/ticks"));
    let mut terminal = JoinSet::new();
    terminal.spawn(async move {
        for number in 0_u32.. {
            let bid = 1.085 + f64::from(number % 10) / 1e5;
            let tick = json!({ "s": "EURUSD", "b": bid, "a": bid + 1e-4, "t": wall().timestamp_millis() });
            let batch = json!({ "v": 1, "type": "ticks", "src": "mt5", "seq": number, "ticks": [tick] });
            let answer = http.post(&url).bearer_auth(TOKEN).json(&batch).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(1), &json!([])), "{answer}");
            sleep(BEAT).await;
        }
    });
    terminal
}

/// Pushes a signal, has the clock jump while it is pending, and waits for its end with everybody: in time, and dated so.
async fn life(server: &Server, clients: &[Client], id: &str, jump: impl FnOnce()) {
    let before = Instant::now();
    server.push(&signal(id)).await;
    let after = Instant::now();
    jump();
    for client in clients {
        let (_, pending) = client.signal(id, "pending").await;
        let (at, ended) = client.signal(id, "invalidated").await;
        // It was taken at some time between the two.
        let (most, least) = (at.duration_since(before), at.duration_since(after));
        assert!(most >= TTL.mul_f64(0.8), "{id} ended early for {}, after {most:?}", client.name);
        assert!(least < TTL + PATIENCE / 2, "{id} ended late for {}, after {least:?}", client.name);
        let (pending, ended) = (&pending["payload"], &ended["payload"]);
        assert_eq!((&ended["invalidation"], &ended["updated_at"]), (&json!("timeout"), &pending["expires_at"]));
        let time = |value: &Value| parse_time(value.as_str().unwrap()).unwrap();
        assert_eq!((time(&pending["expires_at"]) - time(&pending["updated_at"])).to_std(), Ok(TTL));
    }
}

/// What would betray a source that comes and goes, or clients that are cut.
async fn troubles(server: &Server) -> [f64; 4] {
    let mut all = [0.0; 4];
    for (count, name) in all.iter_mut().zip([
        "orion_source_switches_total",
        "orion_source_reconnects_total",
        "orion_source_rejected_total",
        "orion_disconnects_total",
    ]) {
        *count = server.metric(name, "").await;
    }
    all
}

async fn sources_deliver(server: &Server) {
    let (_, told) = server.get("/api/sources").await;
    let state = |name: &str| {
        let sources = told["sources"].as_array().unwrap();
        sources.iter().find(|source| source["name"] == name).unwrap()["state"].clone()
    };
    assert_eq!((state("mt5"), state("simulator")), (json!("live"), json!("live")), "{told}");
    let (status, ready) = server.get("/ready").await;
    assert_eq!((status, &ready["status"]), (200, &json!("ok")), "{ready}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_jumps_end_no_signal_early_or_late() {
    let Some(clock) = Clock::new() else {
        return eprintln!("skipped: libfaketime is not installed (on Debian and Ubuntu: apt-get install faketime)");
    };
    let data = tempfile::tempdir().unwrap();
    let env = BTreeMap::from([
        ("ORION_DATA_DIR", data.path().to_str().unwrap()),
        ("ORION_SOURCES", "simulator"),
        ("ORION_SIMULATOR__SIGNAL_INTERVAL", "0s"),
        ("ORION_SIGNAL_TTL", "3s"),
        ("ORION_INGEST_TOKEN", TOKEN),
        ("ORION_JWT_SECRET", SECRET),
        // Clients are asked often whether they are there.
        ("ORION_HEARTBEAT__PROTOCOL_PING", "1s"),
        ("ORION_HEARTBEAT__PEER_TIMEOUT", "30s"),
        ("ORION_SOCKETIO__PING_INTERVAL", "2s"),
        ("ORION_SOCKETIO__PING_TIMEOUT", "20s"),
    ]);
    let mut server = clock.start(env.clone()).await;
    let mut terminal = terminal(&server);
    server.until("orion_source_in_force", r#"source="mt5",symbol="EURUSD""#, |in_force| in_force == 1.0).await;
    let (long, short) =
        (token_for("ana", false, TimeDelta::hours(12)), token_for("ana", false, TimeDelta::minutes(30)));
    let everybody = clients(&server, &long).await;
    let traders = &everybody[..4];
    let brief = Client::of("a short token", Stream::live(server.addr, Way::Query, &short).await);
    let cursor = server.cursor().await.as_str().unwrap().to_owned();
    let before = troubles(&server).await;

    life(&server, traders, "forward", || clock.set(3600)).await;
    sources_deliver(&server).await;
    // `exp` is a time of the wall clock, and that has passed.
    brief.until("its end", |heard| heard.end.clone()).await;
    assert_eq!(brief.end().as_deref(), Some("1008"));

    life(&server, traders, "back", || clock.set(-3600)).await;
    sources_deliver(&server).await;
    // As time synchronization corrects a clock: by less than anybody takes for a jump.
    life(&server, traders, "a little back", || clock.set(-3630)).await;
    life(&server, traders, "after", || ()).await;
    // A price that its sender has dated, by a clock that is right.
    let price = json!({ "symbol": "XAUUSD", "price": 2500.0, "timestamp": wall().to_rfc3339() });
    assert_eq!(server.post("/api/prices", &price).await.0, 200);

    assert_eq!(terminal.try_join_next().map(|ended| ended.unwrap()), None, "the terminal is still heard");
    for client in &everybody {
        assert_eq!(client.end(), None, "{}", client.name);
    }
    let expected = [before[0] + 1.0, before[1], before[2], before[3] + 1.0];
    assert_eq!(troubles(&server).await, expected, "the pushed price takes its symbol, and the short token ends");
    // All have heard the same, once each, in the order of the log; prices were never old.
    for client in traders {
        let heard = client.heard.lock();
        let frames = || heard.frames.iter().map(|(_, frame)| frame);
        let signals: Vec<_> = frames().filter(|frame| frame["type"] == "signal").collect();
        let places: Vec<_> = signals.iter().map(|frame| seq(&frame["cursor"])).collect();
        assert_eq!(places, [1, 2, 3, 4, 5, 6, 7, 8], "{}", client.name);
        let prices = frames().filter(|frame| frame["payload"]["symbol"] == "EURUSD" && frame["type"] == "price_update");
        let qualities: Vec<_> = prices.map(|frame| frame["payload"]["quality"].clone()).collect();
        assert!(qualities.len() > 5 && qualities.iter().all(|quality| quality == "live"), "{qualities:?}");
    }
    // Whoever was away gets what it missed, and a newcomer what was lately.
    for (path, events) in [(format!("/ws/signals?since={cursor}"), 8), ("/ws/signals".to_owned(), 4)] {
        let mut client = Native::connect(server.addr, &path).await;
        let mut signals = 0;
        let subscribed = soon("subscribed", async {
            loop {
                let frame = client.next().await.unwrap();
                match frame["type"].as_str() {
                    Some("signal") => signals += 1,
                    Some("subscribed") => return frame,
                    _ => {}
                }
            }
        });
        let subscribed = subscribed.await;
        assert_eq!(subscribed["recovered"], if events == 8 { json!(true) } else { Value::Null });
        assert_eq!(signals, events, "{path}");
    }
    let said =
        server.complaints().into_iter().filter(|line| line.contains("the wall clock was set")).collect::<Vec<_>>();
    let by: Vec<_> = said
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seconds"].as_f64().unwrap().round() as i64)
        .collect();
    assert_eq!(by, [3600, -7200, -30], "{said:?}");

    // After a restart the wall clock is all there is: set back, it gives a signal no more than its life again.
    drop(terminal);
    server.push(&signal("restarted")).await;
    drop(everybody);
    server.terminate();
    assert_eq!(server.exit().await.code(), Some(0));
    clock.set(-3 * 3600);
    let server = clock.start(env).await;
    let up = Instant::now();
    let client = Client::of("a newcomer", Native::connect(server.addr, "/ws/signals").await);
    let (at, _) = client.signal("restarted", "invalidated").await;
    assert!(at.duration_since(up) < TTL + PATIENCE / 2);
    server.stop().await;
    let verified = binary().arg("verify").env("ORION_DATA_DIR", data.path()).output().await.unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
