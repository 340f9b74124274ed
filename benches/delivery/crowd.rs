//! The clients: they connect, subscribe, and record when each publication arrives.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::load::Spread;
use crate::load::client::{Client, NATIVE, SOCKET_IO};
use crate::measure::Subject;

/// The number of clients that connect at the same time.
const AT_A_TIME: usize = 64;

/// All clients of a server. They leave when this is dropped.
pub struct Crowd {
    records: Arc<Records>,
    count: usize,
    _clients: JoinSet<()>,
}

/// What arrived.
#[derive(Default)]
struct Records {
    /// Counts the measurements: a client begins to count again with each.
    round: AtomicU32,
    /// Messages of one publication.
    size: AtomicU32,
    /// All messages, also prices that are repeated while signals are published.
    messages: AtomicU64,
    /// Those that are measured.
    wanted: AtomicU64,
    /// The number of the publication, and when its last message arrived at a client.
    arrivals: Mutex<Vec<(u32, Instant)>>,
}

/// The messages of one measurement.
pub struct Arrived {
    /// All messages, also prices that are repeated while signals are published.
    pub messages: u64,
    /// Those that were to arrive.
    pub wanted: u64,
    /// How long after the first client the others got a publication.
    pub spread: Spread,
}

impl Crowd {
    /// Connects and subscribes clients.
    pub async fn connect(subject: Subject, addr: SocketAddr, count: usize) -> Self {
        let records = Arc::new(Records::default());
        let (mut connecting, mut clients) = (JoinSet::new(), JoinSet::new());
        for number in 0..count {
            if connecting.len() >= AT_A_TIME {
                let client: io::Result<Client> = connecting.join_next().await.unwrap().unwrap();
                clients.spawn(record(client.unwrap(), records.clone()));
            }
            connecting.spawn(connect(subject, number, addr));
        }
        while let Some(client) = connecting.join_next().await {
            clients.spawn(record(client.unwrap().unwrap(), records.clone()));
        }
        Self { records, count, _clients: clients }
    }

    /// Begins a measurement of publications of `size` messages each.
    pub fn begin(&self, size: u32) {
        self.records.size.store(size, Ordering::SeqCst);
        self.records.messages.store(0, Ordering::SeqCst);
        self.records.wanted.store(0, Ordering::SeqCst);
        self.records.arrivals.lock().clear();
        self.records.round.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until `publications` have arrived everywhere, or nothing has for a while.
    pub async fn finish(&self, publications: u32) -> Arrived {
        let arrived = || self.records.wanted.load(Ordering::SeqCst);
        let wanted = u64::from(publications) * u64::from(self.records.size.load(Ordering::SeqCst)) * self.count as u64;
        let (mut last, mut changed) = (arrived(), Instant::now());
        while last < wanted && changed.elapsed() < Duration::from_secs(3) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let now = arrived();
            if now != last {
                (last, changed) = (now, Instant::now());
            }
        }
        let mut arrivals = std::mem::take(&mut *self.records.arrivals.lock());
        arrivals.sort_unstable();
        let mut delays = Vec::with_capacity(arrivals.len());
        for one in arrivals.chunk_by(|a, b| a.0 == b.0) {
            delays.extend(one.iter().map(|(_, at)| *at - one[0].1));
        }
        Arrived { messages: self.records.messages.load(Ordering::SeqCst), wanted: last, spread: Spread::of(delays) }
    }
}

async fn connect(subject: Subject, number: usize, addr: SocketAddr) -> io::Result<Client> {
    let (mut client, subscribe) = match subject {
        Subject::Floor | Subject::FloorEach => return Client::open(number, addr, SOCKET_IO).await,
        Subject::SocketIo | Subject::Bare => (Client::join(number, addr).await?, r#"42["subscribe"]"#),
        Subject::Native => (Client::open(number, addr, NATIVE).await?, r#"{"type":"subscribe"}"#),
    };
    client.send(subscribe).await?;
    while !has(&client.next().await?, b"\"subscribed\"") {}
    Ok(client)
}

/// Whether a message is of this type. Its name stands at the front.
fn has(message: &[u8], name: &[u8]) -> bool {
    message[..message.len().min(32)].windows(name.len()).any(|part| part == name)
}

async fn record(mut client: Client, records: Arc<Records>) {
    let (mut round, mut count) = (0, 0);
    while let Ok(message) = client.next().await {
        let (is_price, is_signal) = (has(&message, b"\"price_update\""), has(&message, b"\"signal\""));
        if !is_price && !is_signal {
            continue;
        }
        records.messages.fetch_add(1, Ordering::Relaxed);
        let size = records.size.load(Ordering::Relaxed).max(1);
        if is_signal != (size == 1) {
            continue;
        }
        let current = records.round.load(Ordering::Relaxed);
        if round != current {
            (round, count) = (current, 0);
        }
        count += 1;
        records.wanted.fetch_add(1, Ordering::Relaxed);
        if count % size == 0 {
            records.arrivals.lock().push((count / size, Instant::now()));
        }
    }
}
