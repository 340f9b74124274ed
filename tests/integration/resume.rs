//! A dashboard that comes back gets exactly what it missed: each event once, in order, without a hole.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orion_server::store::{Options, Store};
use orion_server::telemetry::Metrics;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::support::dashboard::{Client, Told, Way};
use crate::support::{Event, PATIENCE, Server, TOKEN, read_log, seq, signal, soon, store_options, times, until};

/// Dashboards of each kind.
const CLIENTS: usize = 50;
const PUSHERS: usize = 4;

/// What is known about the process under test at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scene {
    /// Where it listens; `None` while it is away.
    pub(crate) address: Option<SocketAddr>,
    /// The last event, once nothing more will be published.
    pub(crate) head: Option<u64>,
}

/// Pushes signals until `left` is used up, two of three with an end; the same again after every lost answer.
async fn push(name: String, left: Arc<AtomicUsize>, mut scene: watch::Receiver<Scene>, pace: Duration) {
    let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
    while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        let id = format!("{name}-{}", left.load(Ordering::SeqCst));
        let mut bodies = vec![signal(&id)];
        match rand::random_range(0..3) {
            0 => {}
            1 => bodies.push(json!({ "id": id, "status": "confirmed" })),
            _ => bodies.push(json!({ "id": id, "status": "invalidated" })),
        }
        for body in bodies {
            loop {
                let address = scene.wait_for(|scene| scene.address.is_some()).await.unwrap().address.unwrap();
                let request = http.request(Method::POST, format!("http://{address}/api/signals"));
                match request.bearer_auth(TOKEN).json(&body).send().await.map(|answer| answer.status()) {
                    // Its time may have been up before the end arrived.
                    Ok(StatusCode::OK | StatusCode::CONFLICT) => break,
                    Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => {}
                    Ok(status) => panic!("{status} for {body}"),
                }
                timeout(Duration::from_millis(20), scene.changed()).await.ok();
            }
        }
        sleep(pace.mul_f64(rand::random_range(0.0..2.0))).await;
    }
}

/// A dashboard that keeps its cursor, as the adapter does.
#[derive(Debug)]
pub(crate) struct Dashboard {
    name: String,
    way: Way,
    cursor: Value,
    seen: Vec<Event>,
    pub(crate) connections: usize,
}

impl Dashboard {
    pub(crate) fn new(number: usize, way: Way, cursor: &Value) -> Self {
        Self { name: format!("{way:?}-{number}"), way, cursor: cursor.clone(), seen: Vec::new(), connections: 0 }
    }

    fn take(&mut self, told: Told) {
        match told {
            Told::Signal { signal, cursor } => {
                let text = |name: &str| signal[name].as_str().unwrap().to_owned();
                self.seen.push((seq(&cursor), text("id"), text("status")));
                self.cursor = cursor;
            }
            Told::Subscribed { cursor, recovered } => {
                assert_eq!(recovered, Some(true), "{} had {}", self.name, self.cursor);
                assert!(seq(&cursor) >= seq(&self.cursor), "{} had {} and got {cursor}", self.name, self.cursor);
                self.cursor = cursor;
            }
            Told::Price(_) => {}
            Told::Other(other) => panic!("{}: {other}", self.name),
        }
    }

    pub(crate) fn has_all(&self, scene: &watch::Receiver<Scene>) -> bool {
        scene.borrow().head == Some(seq(&self.cursor))
    }

    /// Listens until it has everything, until it is cut, or for `spell`.
    pub(crate) async fn listen(&mut self, address: SocketAddr, spell: Duration, scene: &mut watch::Receiver<Scene>) {
        let Ok(mut client) = Client::connect(address, self.way, self.cursor.as_str()).await else { return };
        self.connections += 1;
        let end = Instant::now() + spell;
        // Every other connection is cut after some frame of its beginning, before it has caught up.
        let mut frames = if rand::random() { rand::random_range(1..60) } else { usize::MAX };
        while !self.has_all(scene) {
            tokio::select! {
                told = client.told() => match told {
                    Some(told) => {
                        self.take(told);
                        frames -= 1;
                        if frames == 0 {
                            return;
                        }
                    }
                    None => return,
                },
                changed = scene.changed() => changed.unwrap(),
                () = sleep_until(end) => return,
            }
        }
    }

    /// Comes and goes until it has everything.
    async fn live(mut self, mut scene: watch::Receiver<Scene>, longest: Duration, away: Duration) -> Self {
        while !self.has_all(&scene) {
            let Scene { address, head } = *scene.wait_for(|scene| scene.address.is_some()).await.unwrap();
            let spell = if head.is_some() { PATIENCE } else { longest.mul_f64(rand::random_range(0.0..1.0)) };
            self.listen(address.unwrap(), spell, &mut scene).await;
            sleep(away.mul_f64(rand::random_range(0.0..1.0))).await;
        }
        self
    }
}

/// Every dashboard saw the log, and nothing else.
pub(crate) fn compare(dashboards: &[Dashboard], log: &[Event]) {
    for Dashboard { name, seen, .. } in dashboards {
        if let Some(at) = (0..seen.len().max(log.len())).find(|at| seen.get(*at) != log.get(*at)) {
            let around =
                |list: &[Event]| format!("{:?}", &list[at.saturating_sub(2).min(list.len())..(at + 3).min(list.len())]);
            panic!("{name} saw {} and not {}", around(seen), around(log));
        }
    }
}

pub(crate) async fn join<T: 'static>(tasks: &mut JoinSet<T>) -> Vec<T> {
    let mut results = Vec::new();
    while let Some(result) = tasks.join_next().await {
        results.push(result.unwrap());
    }
    results
}

/// Waits until each of so many signals has ended, and everybody who listens has been told.
async fn settled(server: &Server, signals: usize) {
    until("every signal has ended", async || {
        let pending = server.get("/api/signals?status=pending").await.1;
        // The log knows of an end a moment before it is published.
        pending["signals"] == json!([]) && seq(&pending["cursor"]) == 2 * signals as u64
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnected_dashboards_see_exactly_the_log() {
    let restarts = 4;
    let signals = times("ORION_DROP_SIGNALS", 400).next_multiple_of(restarts + 1);
    let dir = tempfile::tempdir().unwrap();
    let env = [("ORION_SIGNAL_TTL", "3s"), ("ORION_DRAIN_TIMEOUT", "2s")];
    let mut server = Server::start_on(&dir, &env).await;
    let start = server.cursor().await;
    let (scene, watched) = watch::channel(Scene { address: Some(server.addr), head: None });
    let mut dashboards = JoinSet::new();
    for number in 0..CLIENTS {
        for way in [Way::ALL[number % Way::ALL.len()], Way::ALL[(number + 1) % Way::ALL.len()]] {
            dashboards.spawn(Dashboard::new(number, way, &start).live(
                watched.clone(),
                Duration::from_millis(1_500),
                Duration::from_secs(1),
            ));
        }
    }
    let mut pushers = JoinSet::new();
    for restart in 0..=restarts {
        let left = Arc::new(AtomicUsize::new(signals / (restarts + 1)));
        for pusher in 0..PUSHERS {
            pushers.spawn(push(
                format!("{restart}-{pusher}"),
                left.clone(),
                watched.clone(),
                Duration::from_millis(20),
            ));
        }
        if restart == restarts {
            break;
        }
        // In the middle of it.
        while left.load(Ordering::SeqCst) > signals / (restarts + 1) / 2 {
            sleep(Duration::from_millis(5)).await;
        }
        if restart % 2 == 0 {
            server.kill().await;
        } else {
            server.stop().await;
        }
        scene.send_modify(|scene| scene.address = None);
        server = Server::start_on(&dir, &env).await;
        scene.send_modify(|scene| scene.address = Some(server.addr));
        join(&mut pushers).await;
    }
    join(&mut pushers).await;
    settled(&server, signals).await;
    let head = 2 * signals as u64;
    scene.send_modify(|scene| scene.head = Some(head));
    let dashboards = timeout(2 * PATIENCE, join(&mut dashboards)).await.expect("everybody catches up");
    server.stop().await;
    let log = read_log(&dir).await;
    assert_eq!(log.len() as u64, head);
    compare(&dashboards, &log);
    let connections: usize = dashboards.iter().map(|dashboard| dashboard.connections).sum();
    eprintln!(
        "random drops: {} dashboards, {connections} connections, {signals} signals, {head} events, {restarts} restarts",
        dashboards.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dashboard_catches_up_while_publishing_continues() {
    let dir = tempfile::tempdir().unwrap();
    // None ends by itself, however long this takes.
    let env = [("ORION_SIGNAL_TTL", "1h")];
    let mut server = Server::start_on(&dir, &env).await;
    let start = server.cursor().await;
    let (scene, watched) = watch::channel(Scene { address: Some(server.addr), head: None });
    let (left, mut pushers) = (Arc::new(AtomicUsize::new(2_400)), JoinSet::new());
    for pusher in 0..8 {
        pushers.spawn(push(pusher.to_string(), left.clone(), watched.clone(), Duration::ZERO));
    }
    let mut dashboards = JoinSet::new();
    for beginning in 1..=8 {
        // All the time somebody begins at the very start, the last of them thousands of events later.
        while left.load(Ordering::SeqCst) > 2_400 - beginning * 260 {
            sleep(Duration::from_millis(5)).await;
        }
        for way in Way::ALL {
            dashboards.spawn(Dashboard::new(beginning, way, &start).live(
                watched.clone(),
                3 * PATIENCE,
                Duration::from_millis(10),
            ));
        }
        if beginning == 5 {
            // The hub has forgotten everything: all of it comes from the log.
            scene.send_modify(|scene| scene.address = None);
            server.kill().await;
            server = Server::start_on(&dir, &env).await;
            scene.send_modify(|scene| scene.address = Some(server.addr));
        }
    }
    join(&mut pushers).await;
    let head = seq(&server.cursor().await);
    assert!(head > 2_500, "{head}");
    scene.send_modify(|scene| scene.head = Some(head));
    let dashboards = timeout(2 * PATIENCE, join(&mut dashboards)).await.expect("everybody catches up");
    server.stop().await;
    compare(&dashboards, &read_log(&dir).await);
    eprintln!("catching up: {} dashboards from 0 to {head} while it was published", dashboards.len());
}

/// Prunes what has ended from the front of a log that no process has.
async fn prune(dir: &Path) {
    let options = Options { signal_retention: Duration::ZERO, ..store_options() };
    let (store, _) = Store::open(dir, options, Metrics::new().unwrap().into()).unwrap();
    let reader = store.reader();
    until("the log is pruned", async || reader.oldest_seq().await.unwrap() > 1).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_cursor_gets_a_marked_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &[]).await;
    let start = server.cursor().await;
    for body in [signal("ended"), json!({ "id": "ended", "status": "confirmed" }), signal("open")] {
        server.push(&body).await;
    }
    server.stop().await;
    // What ended is gone now; what is pending stays.
    prune(dir.path()).await;
    let server = Server::start_on(&dir, &[]).await;
    let head = server.cursor().await;
    let epoch = head.as_str().unwrap().split_once(':').unwrap().0;
    assert_eq!(seq(&head), 3);
    let nowhere = [
        ("of another log", "abcdefghij:1".to_owned()),
        ("ahead", format!("{epoch}:4")),
        ("far ahead", format!("{epoch}:18446744073709551615")),
        ("pruned", start.as_str().unwrap().to_owned()),
        ("nonsense", "nonsense".to_owned()),
        ("negative", format!("{epoch}:-1")),
        ("empty", String::new()),
    ];
    for way in Way::ALL {
        for (kind, cursor) in &nowhere {
            let context = format!("{way:?}, {kind}");
            let mut client = Client::connect(server.addr, way, Some(cursor)).await.unwrap();
            let (mut signals, cursor, recovered) = client.until_subscribed().await;
            assert_eq!((&cursor, recovered), (&head, Some(false)), "{context}");
            let (signal, at) = signals.pop().unwrap();
            assert_eq!((&signal["id"], &at), (&json!("open"), &head), "{context}");
            assert_eq!(signals, [], "{context}");
        }
        // The oldest one that leads somewhere.
        let mut client = Client::connect(server.addr, way, Some(&format!("{epoch}:2"))).await.unwrap();
        let (signals, cursor, recovered) = client.until_subscribed().await;
        assert_eq!((&cursor, recovered), (&head, Some(true)), "{way:?}");
        assert_eq!(signals.len(), 1, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_frame_brings_missed_events_once() {
    // With no window the snapshot tells what is pending, and nothing of what has ended.
    let server = Server::start(&[("ORION_REPLAY_WINDOW", "0s")]).await;
    let start = server.cursor().await;
    for body in [signal("ended"), json!({ "id": "ended", "status": "confirmed" }), signal("open")] {
        server.push(&body).await;
    }
    let ids = |signals: &[(Value, Value)]| -> Vec<String> {
        signals.iter().map(|(signal, _)| format!("{} {}", signal["id"], signal["status"]).replace('"', "")).collect()
    };
    let newcomer = async || {
        let mut client = Client::connect(server.addr, Way::Frame, None).await.unwrap();
        let snapshot = client.until_subscribed().await.0;
        (client, ids(&snapshot))
    };
    until("what has ended is forgotten", async || newcomer().await.1.len() == 1).await;
    let (mut client, snapshot) = newcomer().await;
    assert_eq!(snapshot, ["open pending"]);
    let frame = json!({ "type": "subscribe", "since": start }).to_string();
    client.say(frame.clone()).await;
    let (missed, _, recovered) = client.until_subscribed().await;
    assert_eq!((ids(&missed), recovered), (vec!["ended pending".into(), "ended confirmed".into()], Some(true)));
    client.say(frame).await;
    assert_eq!(client.until_subscribed().await.0, []);
}

/// A page that presents its cursor only after it has been sent everything: each event once, and no claim to have all of
/// them unless it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_cursor_repeats_nothing_and_admits_gaps() {
    let server = Server::start(&[("ORION_SIGNAL_TTL", "1h")]).await;
    let start = server.cursor().await;
    let epoch = start.as_str().unwrap().split_once(':').unwrap().0.to_owned();
    let change = async |id: usize| {
        server.push(&signal(&id.to_string())).await;
        if id.is_multiple_of(2) {
            server.push(&json!({ "id": id.to_string(), "status": "confirmed" })).await;
        }
    };
    for id in 0..20 {
        change(id).await;
    }
    let (mut whole, mut partly, mut clients) = (0, 0, Vec::new());
    for number in 0..24 {
        let way = [Way::Frame, Way::Subscribe][number % 2];
        clients.push((way, Client::connect(server.addr, way, None).await.unwrap()));
    }
    let mut seen = Vec::new();
    for (_, client) in &mut clients {
        seen.push(client.until_subscribed().await.0);
    }
    for id in 20..30 {
        change(id).await;
    }
    // Those that were open end now: what is told of them before is outdated.
    for id in (1..20).step_by(2).take(5) {
        server.push(&json!({ "id": id.to_string(), "status": "confirmed" })).await;
    }
    let head = seq(&server.cursor().await);
    for (number, ((way, client), mut seen)) in clients.iter_mut().zip(seen).enumerate() {
        let since = number as u64 * 2;
        let ask = json!({ "type": "subscribe", "since": format!("{epoch}:{since}") });
        let said = if *way == Way::Frame { ask.to_string() } else { format!("42{}", json!(["subscribe", ask])) };
        client.say(said).await;
        let (more, _, recovered) = client.until_subscribed().await;
        seen.extend(more);
        let mut places: Vec<u64> = seen.iter().map(|(_, cursor)| seq(cursor)).collect();
        for (signal, cursor) in &seen {
            let of_it = |(other, _): &&(Value, Value)| other["id"] == signal["id"];
            let last = seen.iter().rfind(of_it).map(|(_, cursor)| seq(cursor));
            assert!(last >= Some(seq(cursor)), "{way:?} from {since}: an outdated state of {signal} came last");
        }
        places.sort_unstable();
        let has_all = (since + 1..=head).all(|at| places.binary_search(&at).is_ok());
        let is_whole = recovered.expect("a cursor was presented");
        // Over Socket.IO the whole snapshot comes again where anything is missing: nothing is taken back into its order.
        let is_right = has_all == is_whole || (*way == Way::Subscribe && !is_whole);
        assert!(is_right, "{way:?} from {since} of {head}, recovered {is_whole}: {places:?}");
        if is_whole || *way == Way::Frame {
            assert!(places.is_sorted_by(|one, next| one < next), "{way:?} from {since}: {places:?}");
        }
        *(if is_whole { &mut whole } else { &mut partly }) += 1;
    }
    assert!(whole > 3 && partly > 3, "{whole} were told that they have all, {partly} that they have not");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_a_restart_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(&dir, &[]).await;
    let (confirm, end) =
        (json!({ "status": "confirmed" }), json!({ "status": "invalidated", "reason": "stop_touched" }));
    let pushed = |id: &str, change: &Value| {
        let mut body = change.clone();
        body["id"] = id.into();
        body
    };
    for id in ["open", "confirmed", "patched", "ended"] {
        server.push(&signal(id)).await;
    }
    server.push(&pushed("confirmed", &confirm)).await;
    assert_eq!(server.patch("patched", &confirm).await.0, 200);
    assert_eq!(server.patch("ended", &end).await.0, 200);
    let head = server.cursor().await;

    let mut server = Some(server);
    for restart in 0..2 {
        let old = server.take().unwrap();
        if restart == 0 {
            old.kill().await;
        } else {
            old.stop().await;
        }
        let server = server.insert(Server::start_on(&dir, &[]).await);
        let mut client = Client::connect(server.addr, Way::Query, head.as_str()).await.unwrap();
        assert_eq!(client.until_subscribed().await, (vec![], head.clone(), Some(true)));
        for id in ["open", "confirmed", "patched", "ended"] {
            server.push(&signal(id)).await;
        }
        for (id, change, other) in
            [("confirmed", &confirm, &end), ("patched", &confirm, &end), ("ended", &end, &confirm)]
        {
            assert_eq!(server.patch(id, change).await.0, 200, "{id}");
            server.push(&pushed(id, &json!({ "status": change["status"] }))).await;
            let other_push = pushed(id, &json!({ "status": other["status"] }));
            for (status, answer) in [server.patch(id, other).await, server.post("/api/signals", &other_push).await] {
                assert_eq!((status, &answer["code"]), (409, &json!("signal_terminal")), "{id}: {answer}");
            }
        }
        assert_eq!(server.cursor().await, head, "a retry became an event");
        assert_eq!(server.history("open").await.len(), 1);
    }
    let server = server.unwrap();
    // The first thing that anybody hears is something new.
    let mut client = Client::connect(server.addr, Way::Auth, head.as_str()).await.unwrap();
    client.until_subscribed().await;
    assert_eq!(server.patch("open", &end).await.0, 200);
    let told = soon("the new end", client.told()).await.unwrap();
    let Told::Signal { signal, cursor } = told else { panic!("{told:?}") };
    assert_eq!(
        (&signal["id"], &signal["invalidation"], seq(&cursor)),
        (&json!("open"), &json!("stop_touched"), seq(&head) + 1)
    );
}
