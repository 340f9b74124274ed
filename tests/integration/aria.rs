//! ARIA's panels, as its hook connects them: lists that only grow, a count of all that comes, and a cut network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Native, Server, open, signal, soon, until};

/// The hook's own: from the close to the next attempt.
const RECONNECT_DELAY: Duration = Duration::from_millis(3_100);
/// Attempts of a panel in tests in which the delay itself is not of interest.
const QUICK: Duration = Duration::from_millis(100);

/// What the network does between the panels and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Up,
    /// Connections are reset on both sides, and new ones refused.
    Cut,
    /// The panels lose their connections, the server is told nothing; new ones are refused.
    Vanished,
}

/// A proxy whose connections can be cut.
struct Proxy {
    addr: SocketAddr,
    network: watch::Sender<Network>,
    task: JoinHandle<()>,
}

impl Proxy {
    async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (network, state) = watch::channel(Network::Up);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *state.borrow() == Network::Up {
                    tokio::spawn(carry(client, target, state.clone()));
                }
            }
        });
        Self { addr, network, task }
    }

    async fn cut_for(&self, how: Network, time: Duration) {
        self.network.send(how).unwrap();
        sleep(time).await;
        self.network.send(Network::Up).unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, mut state: watch::Receiver<Network>) {
    let mut server = TcpStream::connect(target).await.unwrap();
    let cut = tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => Network::Up,
        cut = async { state.wait_for(|network| *network != Network::Up).await.map_or(Network::Cut, |cut| *cut) } => cut,
    };
    drop(client);
    if cut == Network::Vanished {
        // Nothing is read and nothing closed: to the server the panel is only slow.
        std::future::pending::<()>().await;
    }
}

/// What a panel shows.
#[derive(Debug, Default)]
struct Screen {
    /// Every `signal` and `order_update` by its id, as often as it came.
    rows: Vec<String>,
    connections: usize,
    states: usize,
}

/// A panel: it counts what comes, knows nothing of ids, connects again for ever, and says nothing when it does.
struct Panel {
    screen: Arc<Mutex<Screen>>,
    say: tokio::sync::mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

impl Panel {
    fn mount(addr: SocketAddr, delay: Duration) -> Self {
        let screen = Arc::new(Mutex::new(Screen::default()));
        let (say, mut said) = tokio::sync::mpsc::channel(4);
        let shown = screen.clone();
        let task = tokio::spawn(async move {
            loop {
                let headers = [("user-agent", "Mozilla/5.0 panel"), ("origin", "http://localhost:5173")];
                let Ok(stream) = TcpStream::connect(addr).await else {
                    sleep(delay).await;
                    continue;
                };
                if let Ok(mut socket) = open(stream, addr, "/ws", &headers).await {
                    shown.lock().connections += 1;
                    loop {
                        let message = tokio::select! {
                            message = socket.next() => message,
                            Some(frame) = said.recv() => {
                                let is_close = matches!(frame, Message::Close(_));
                                socket.send(frame).await.unwrap();
                                if is_close {
                                    return;
                                }
                                continue;
                            }
                        };
                        match message {
                            Some(Ok(Message::Text(text))) => shown.lock().show(&serde_json::from_str(&text).unwrap()),
                            Some(Ok(_)) => {}
                            Some(Err(_)) | None => break,
                        }
                    }
                }
                sleep(delay).await;
            }
        });
        Self { screen, say, task }
    }

    /// Waits until the panel has shown a row.
    async fn shows(&self, row: &str) {
        until(row, async || self.screen.lock().rows.iter().any(|shown| shown == row)).await;
    }

    /// Waits until the server has heard all that the panel's browser has confirmed so far.
    async fn settled(&self) {
        let before = self.screen.lock().states;
        self.say.send(Message::text(json!({ "type": "ping" }).to_string())).await.unwrap();
        until("pong", async || self.screen.lock().states > before).await;
    }

    async fn connected(&self, times: usize) {
        until("it is connected", async || self.screen.lock().connections >= times).await;
    }

    fn rows(&self) -> BTreeMap<String, usize> {
        let mut rows = BTreeMap::new();
        for row in &self.screen.lock().rows {
            *rows.entry(row.clone()).or_default() += 1;
        }
        rows
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Screen {
    fn show(&mut self, frame: &Value) {
        let id = |name: &str| frame["data"][name].as_str().unwrap().to_owned();
        match frame["type"].as_str().unwrap() {
            "signal" => self.rows.push(id("id")),
            "idea" | "smc_idea" => self.rows.push(format!("{} {}", frame["type"].as_str().unwrap(), id("id"))),
            "order_update" => self.rows.push(id("order_id")),
            "pong" => self.states += 1,
            _ => {}
        }
    }
}

async fn push(server: &Server, id: &str) {
    assert_eq!(server.post("/api/signals", &signal(id)).await.0, 200);
}

async fn order(server: &Server, id: &str) {
    let data =
        json!({ "order_id": id, "symbol": "EURUSD", "side": "buy", "status": "filled", "volume": 0.1, "price": 1.085 });
    let (status, answer) = server.post("/api/events", &json!({ "type": "order_update", "data": data })).await;
    assert_eq!(status, 200, "{answer}");
}

/// The rows of these signals and orders, each shown once.
fn once(signals: &[&str], orders: &[&str]) -> BTreeMap<String, usize> {
    let of = |id: &&str| [(*id).to_owned(), format!("idea {id}"), format!("smc_idea {id}")];
    let rows = signals.iter().flat_map(of).chain(orders.iter().map(|id| (*id).to_owned()));
    rows.map(|row| (row, 1)).collect()
}

/// Two panels, seen before the cut, cut for 3 s and for 10 s, while 3 signals and 2 orders are published.
async fn cut_and_back(how: Network) {
    let server = Server::push_only().await;
    let (short, long) = tokio::join!(Proxy::before(server.addr), Proxy::before(server.addr));
    let panels = [Panel::mount(short.addr, RECONNECT_DELAY), Panel::mount(long.addr, RECONNECT_DELAY)];
    for panel in &panels {
        panel.connected(1).await;
        panel.settled().await;
    }
    push(&server, "before").await;
    order(&server, "o-before").await;
    for panel in &panels {
        panel.shows("o-before").await;
        panel.settled().await;
    }
    let publishing = async {
        for (pause, is_signal, id) in
            [(500, true, "s1"), (1_000, false, "o1"), (1_000, true, "s2"), (4_000, true, "s3"), (1_000, false, "o2")]
        {
            sleep(Duration::from_millis(pause)).await;
            if is_signal { push(&server, id).await } else { order(&server, id).await }
        }
        // Ended within the cut: the panels show that it came all the same.
        let (status, answer) = server.patch("s2", &json!({ "status": "confirmed" })).await;
        assert_eq!(status, 200, "{answer}");
    };
    let cuts = async {
        tokio::join!(short.cut_for(how, Duration::from_secs(3)), long.cut_for(how, Duration::from_secs(10)));
    };
    tokio::join!(publishing, cuts);
    for panel in &panels {
        panel.connected(2).await;
        panel.shows("s3").await;
        push_and_see(&server, panel).await;
    }
    let expected = once(&["before", "s1", "s2", "s3", "last"], &["o-before", "o1", "o2"]);
    for (panel, name) in panels.iter().zip(["3 s", "10 s"]) {
        panel.shows("last").await;
        panel.settled().await;
        assert_eq!(panel.rows(), expected, "cut for {name}");
    }
    drop(panels);
    server.stop().await;
}

/// Publishes a signal with one id, once, and waits for it.
async fn push_and_see(server: &Server, panel: &Panel) {
    push(server, "last").await;
    panel.shows("last").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_loses_nothing_and_doubles_nothing() {
    cut_and_back(Network::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unnoticed_disconnect_doubles_nothing() {
    cut_and_back(Network::Vanished).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_only_what_is_young() {
    let server = Server::start(&[("ORION_ARIA__CATCH_UP", "5s"), ("ORION_PUBLISH_INTERVAL", "100ms")]).await;
    server.post("/api/prices", &json!({ "symbol": "EURUSD", "price": 1.085 })).await;
    push(&server, "old").await;
    order(&server, "o-old").await;
    sleep(Duration::from_millis(5_100)).await;
    push(&server, "young").await;
    order(&server, "o-young").await;
    let panel = Panel::mount(server.addr, QUICK);
    panel.shows("o-young").await;
    panel.settled().await;
    assert_eq!(panel.rows(), once(&["young"], &["o-young"]));
    // Another panel of the same page beside it, and one after it was taken down: new ones, too.
    let beside = Panel::mount(server.addr, QUICK);
    beside.shows("o-young").await;
    panel.say.send(Message::Close(None)).await.unwrap();
    until("it is taken down", async || panel.task.is_finished()).await;
    let after = Panel::mount(server.addr, QUICK);
    after.shows("o-young").await;
    for panel in [&beside, &after] {
        panel.settled().await;
        assert_eq!(panel.rows(), once(&["young"], &["o-young"]));
    }
    let mut client = Native::connect(server.addr, "/ws").await;
    client.frame("tick").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_stay_single_over_many_cuts() {
    let server = Server::push_only().await;
    let proxy = Proxy::before(server.addr).await;
    let panels: Vec<_> = (0..4).map(|_| Panel::mount(proxy.addr, QUICK)).collect();
    let mut ids = Vec::new();
    for round in 1..=6 {
        for panel in &panels {
            panel.connected(round).await;
            panel.settled().await;
        }
        let (seen, missed) = (format!("seen-{round}"), format!("missed-{round}"));
        push(&server, &seen).await;
        for panel in &panels {
            panel.shows(&seen).await;
            panel.settled().await;
        }
        tokio::join!(proxy.cut_for(Network::Cut, QUICK * 3), push(&server, &missed));
        ids.extend([seen, missed]);
    }
    push(&server, "last").await;
    ids.push("last".to_owned());
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for panel in &panels {
        panel.shows("smc_idea last").await;
        panel.settled().await;
        assert_eq!(panel.rows(), once(&ids, &[]));
    }
    drop(panels);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_repeats_only_young_events() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("ORION_ARIA__CATCH_UP", "4s")];
    let server = Server::start_on(data.path(), &settings).await;
    push(&server, "old").await;
    order(&server, "o-old").await;
    sleep(Duration::from_secs(4)).await;
    let began = Instant::now();
    push(&server, "young").await;
    order(&server, "o-young").await;
    server.kill().await;
    let server = Server::start_on(data.path(), &settings).await;
    let panel = Panel::mount(server.addr, QUICK);
    panel.connected(1).await;
    panel.settled().await;
    if began.elapsed() < Duration::from_secs(4) {
        assert_eq!(panel.rows(), once(&["young"], &["o-young"]));
    }
    assert!(!panel.rows().contains_key("old") && !panel.rows().contains_key("o-old"));
    soon("it stops", server.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_restart_doubles_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_on(data.path(), &[]).await;
    // The panels know the address of the proxy alone: the server's own is another one after the restart.
    let (target, proxy) = watch::channel(server.addr);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let forward = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let target = *proxy.borrow();
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(target).await {
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
                }
            });
        }
    });
    let panels = [Panel::mount(addr, QUICK), Panel::mount(addr, QUICK)];
    for panel in &panels {
        panel.connected(1).await;
        panel.settled().await;
    }
    push(&server, "before").await;
    order(&server, "o-before").await;
    for panel in &panels {
        panel.shows("o-before").await;
        panel.settled().await;
    }
    server.stop().await;
    let server = Server::start_on(data.path(), &[]).await;
    push(&server, "missed").await;
    target.send(server.addr).unwrap();
    for panel in &panels {
        panel.connected(2).await;
        panel.shows("smc_idea missed").await;
        panel.settled().await;
        assert_eq!(panel.rows(), once(&["before", "missed"], &["o-before"]));
    }
    forward.abort();
    drop(panels);
    server.stop().await;
}
