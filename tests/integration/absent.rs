//! A user who was away gets what he missed: each message once, in order, without a hole, or is told that there is one.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::support::users::{SECRET, Stream, Way, token};
use crate::support::{PATIENCE, Server, TOKEN, soon, times};

/// Pages that a user has open, of each kind.
const PAGES: usize = 6;
/// Requests that publish, over all of a test.
const REQUESTS: usize = 300;
const KINDS: [&str; 3] = ["trades", "alerts", "wallet"];

pub(crate) fn message(number: usize, user: Option<&str>) -> Value {
    let id = number.to_string();
    let data = match KINDS[number % KINDS.len()] {
        "trades" => json!({ "id": id, "platform": "luno", "symbol": "BTC-ZAR", "side": "buy", "quantity": 1,
            "price": 1, "status": "filled" }),
        "alerts" => json!({ "id": id, "severity": "info", "message": "x" }),
        _ => json!({ "event": "deposit_confirmed", "id": id }),
    };
    let mut event = json!({ "type": KINDS[number % KINDS.len()], "data": data });
    if let Some(user) = user {
        event["user"] = json!(user);
    }
    event
}

/// The number of a message, where the frame is an ordered one.
fn number(frame: &Value) -> Option<usize> {
    frame["sequence"].as_u64()?;
    Some(frame["data"]["id"].as_str()?.parse().unwrap())
}

/// What is known about the process under test at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Scene {
    /// Where it listens; `None` while it is away.
    address: Option<SocketAddr>,
    /// The last message for the user, once nothing more will be published.
    last: Option<usize>,
}

/// One of the user's pages: it comes and goes, and keeps the place where it stopped.
#[derive(Debug)]
struct Page {
    way: Way,
    cursor: String,
    seen: Vec<usize>,
    connections: usize,
}

impl Page {
    fn has_all(&self, scene: &watch::Receiver<Scene>) -> bool {
        scene.borrow().last.is_some_and(|last| self.seen.last() == Some(&last))
    }

    fn take(&mut self, frame: &Value) {
        if frame["type"] == "connection" && frame["status"] == "Connected" {
            assert_eq!(frame["recovered"], true, "{:?} had {}: {frame}", self.way, self.cursor);
            frame["cursor"].as_str().unwrap().clone_into(&mut self.cursor);
        }
        if let Some(number) = number(frame) {
            self.seen.push(number);
            frame["cursor"].as_str().unwrap().clone_into(&mut self.cursor);
        }
    }

    /// Listens until it has everything, until it is cut, or for `spell`.
    async fn listen(&mut self, addr: SocketAddr, token: &str, spell: Duration, scene: &mut watch::Receiver<Scene>) {
        let Ok(mut stream) = Stream::open(addr, self.way, token, Some(&self.cursor)).await else { return };
        self.connections += 1;
        let end = Instant::now() + spell;
        // Every other connection is cut after some frame of its beginning, before it has caught up.
        let mut frames = if rand::random() { rand::random_range(1..20) } else { usize::MAX };
        while !self.has_all(scene) {
            tokio::select! {
                frame = stream.next() => match frame {
                    Ok(frame) => {
                        self.take(&frame);
                        frames -= 1;
                        if frames == 0 {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                changed = scene.changed() => changed.unwrap(),
                () = sleep_until(end) => return,
            }
        }
    }

    async fn live(mut self, token: String, mut scene: watch::Receiver<Scene>) -> Self {
        while !self.has_all(&scene) {
            let Scene { address, last } = *scene.wait_for(|scene| scene.address.is_some()).await.unwrap();
            let spell = if last.is_some() { PATIENCE } else { Duration::from_millis(rand::random_range(0..800)) };
            self.listen(address.unwrap(), &token, spell, &mut scene).await;
            sleep(Duration::from_millis(rand::random_range(0..400))).await;
        }
        self
    }
}

/// Publishes without ever asking twice; returns the numbers of the messages for ana, each with whether it was acknowledged.
async fn publish(mut scene: watch::Receiver<Scene>, pause: Duration) -> Vec<(usize, bool)> {
    let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
    let (mut published, mut next) = (Vec::new(), 1);
    for request in 0..REQUESTS {
        let address = scene.wait_for(|scene| scene.address.is_some()).await.unwrap().address.unwrap();
        let users = [Some("ana"), Some("ben"), None];
        let events: Vec<_> = (0..=request % 3).map(|at| message(next + at, users[(request + at) % 3])).collect();
        let sent = http.post(format!("http://{address}/api/events")).bearer_auth(TOKEN);
        let acknowledged = match sent.json(&json!({ "events": events })).send().await {
            Ok(answer) if answer.status() == 200 => true,
            Ok(answer) => {
                assert_eq!(answer.status(), 503, "{}", answer.text().await.unwrap());
                false
            }
            Err(_) => {
                timeout(Duration::from_millis(50), scene.changed()).await.ok();
                false
            }
        };
        for (at, event) in events.iter().enumerate() {
            if event["user"] != "ben" {
                published.push((next + at, acknowledged));
            }
        }
        next += events.len();
        sleep(pause.mul_f64(rand::random_range(0.0..2.0))).await;
    }
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_disconnects_and_restarts_lose_no_message() {
    let seconds = times("ORION_CUT_SECONDS", 5);
    let pause = Duration::from_secs(seconds as u64) / REQUESTS as u32;
    let dir = tempfile::tempdir().unwrap();
    let env = [("ORION_JWT_SECRET", SECRET), ("ORION_DATA__MESSAGES_PER_USER", "1000"), ("ORION_DRAIN_TIMEOUT", "2s")];
    let mut server = Server::start_on(&dir, &env).await;
    let (ana, ben) = (token("ana"), token("ben"));
    let mut beginning = Stream::expect(server.addr, Way::Query, &ana, None).await;
    let start = beginning.frame("connection").await["cursor"].as_str().unwrap().to_owned();
    let (scene, watched) = watch::channel(Scene { address: Some(server.addr), last: None });
    let mut pages = JoinSet::new();
    for page in 0..PAGES * Way::ALL.len() {
        let way = Way::ALL[page % Way::ALL.len()];
        let page = Page { way, cursor: start.clone(), seen: Vec::new(), connections: 0 };
        pages.spawn(page.live(ana.clone(), watched.clone()));
    }
    let mut publisher = JoinSet::new();
    publisher.spawn(publish(watched, pause));
    for restart in 0..2 {
        sleep(Duration::from_secs(seconds as u64) / 3).await;
        scene.send_modify(|scene| scene.address = None);
        if restart == 0 {
            server.kill().await;
        } else {
            server.stop().await;
        }
        server = Server::start_on(&dir, &env).await;
        scene.send_modify(|scene| scene.address = Some(server.addr));
    }
    let published = publisher.join_next().await.unwrap().unwrap();

    // What the server has is what a page is told that was never there.
    let closing = server.post("/api/events", &message(1_000_000, Some("ana"))).await;
    assert_eq!(closing.0, 200, "{}", closing.1);
    let mut late = Stream::expect(server.addr, Way::Query, &ana, Some(&start)).await;
    assert_eq!(late.frame("connection").await["recovered"], true);
    let mut kept = Vec::new();
    soon("all that is kept", async {
        while kept.last() != Some(&1_000_000) {
            kept.extend(number(&late.next().await.unwrap()));
        }
    })
    .await;
    kept.pop();
    // Whether a request that broke was taken nobody can know; all others are there, and each once, as they were sent.
    let all: Vec<_> = published.iter().filter(|(number, sure)| *sure || kept.contains(number)).collect();
    assert_eq!(kept, all.iter().map(|(number, _)| *number).collect::<Vec<_>>());
    kept.push(1_000_000);

    scene.send_modify(|scene| scene.last = Some(1_000_000));
    let pages = timeout(2 * PATIENCE, pages.join_all()).await.expect("every page catches up");
    for Page { way, seen, .. } in &pages {
        assert_eq!(*seen, kept, "{way:?}");
    }
    let mut stranger = Stream::expect(server.addr, Way::Query, &ben, Some(&start)).await;
    assert_eq!(stranger.frame("connection").await["recovered"], true);
    let connections: usize = pages.iter().map(|page| page.connections).sum();
    let lost = published.iter().filter(|(_, sure)| !sure).count();
    eprintln!(
        "cut at random: {} pages, {connections} connections, {} messages, {lost} never acknowledged, 2 restarts",
        pages.len(),
        kept.len()
    );
    assert!(connections > 2 * pages.len() && kept.len() > 100, "{connections} connections, {} messages", kept.len());
    server.stop().await;
}

/// What a page is told that comes back from `since`: whether that is all that it missed, and the numbers.
async fn caught_up(addr: SocketAddr, way: Way, token: &str, since: &str, last: usize) -> (Value, Vec<usize>) {
    let mut stream = Stream::expect(addr, way, token, Some(since)).await;
    let (mut recovered, mut told) = (None, Vec::new());
    soon("what was missed", async {
        while told.last() != Some(&last) || recovered.is_none() {
            let frame = stream.next().await.unwrap();
            if frame["type"] == "connection" {
                recovered = Some(frame["recovered"].clone());
            }
            told.extend(number(&frame));
        }
    })
    .await;
    (recovered.unwrap(), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_beyond_what_is_kept_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let env = [("ORION_JWT_SECRET", SECRET)];
    let mut server = Server::start_on(&dir, &env).await;
    let ana = token("ana");
    let mut page = Stream::expect(server.addr, Way::Query, &ana, None).await;
    let hello = page.frame("connection").await;
    assert_eq!((&hello["recovered"], &hello["user_id"]), (&Value::Null, &json!("ana")), "{hello}");
    let start = hello["cursor"].as_str().unwrap().to_owned();
    let batch = |numbers: std::ops::RangeInclusive<usize>| {
        let events: Vec<_> = numbers.map(|number| message(number, Some("ana"))).collect();
        json!({ "events": events })
    };
    // Fifty are kept.
    assert_eq!(server.post("/api/events", &batch(1..=50)).await.0, 200);
    let mut cursors = Vec::new();
    for _ in 1..=50 {
        let frame = soon("a message", async {
            loop {
                let frame = page.next().await.unwrap();
                if number(&frame).is_some() {
                    return frame;
                }
            }
        })
        .await;
        cursors.push(frame["cursor"].as_str().unwrap().to_owned());
    }
    drop(page);
    for way in Way::ALL {
        let (recovered, told) = caught_up(server.addr, way, &ana, &start, 50).await;
        assert_eq!((recovered, told), (json!(true), (1..=50).collect()), "{way:?}");
    }
    assert_eq!(server.post("/api/events", &batch(51..=61)).await.0, 200);
    let epoch = start.split_once(':').unwrap().0.to_owned();
    let far = |seq: u64| format!("{epoch}:m{seq}");
    // As it is, after a restart, and by a process that would keep more but has not: it is never taken for all.
    for kept in [None, Some("50"), Some("1000")] {
        if let Some(kept) = kept {
            server.kill().await;
            let env = [env.as_slice(), &[("ORION_DATA__MESSAGES_PER_USER", kept)]].concat();
            server = Server::start_on(&dir, &env).await;
        }
        for way in Way::ALL {
            for (since, first, whole) in [
                (start.as_str(), 12, false),
                (&cursors[9], 12, false),
                (&cursors[10], 12, true),
                (&cursors[11], 13, true),
                (&cursors[49], 51, true),
                ("abcdefghij:m60", 12, false),
                (&far(62), 12, false),
                ("nonsense", 12, false),
                ("60", 61, true),
            ] {
                let (recovered, told) = caught_up(server.addr, way, &ana, since, 61).await;
                assert_eq!((recovered, told), (json!(whole), (first..=61).collect()), "{way:?} from {since}, {kept:?}");
            }
        }
    }
    server.stop().await;
}
