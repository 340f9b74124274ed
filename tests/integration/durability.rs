//! A signal that was acknowledged is never lost and never told twice, however often the process is killed.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use orion_server::domain::parse_time;
use orion_server::pipeline::clock::wall;
use orion_server::store;
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, Server, TOKEN, read_log, seq, signal, times, until};

const PUSHERS: usize = 6;
/// How late the end of a signal may show on a busy machine, reckoned from its deadline or from when the process was up again.
const LATE: TimeDelta = TimeDelta::seconds(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sent {
    #[default]
    No,
    /// No answer yet, or lost.
    Tried,
    Acknowledged,
    /// 409.
    Refused,
}

/// What a pusher knows of one of its signals.
#[derive(Debug, Clone, Default)]
struct Life {
    created: Sent,
    ended: Sent,
    /// Status and reason of the end that was sent.
    end: Option<(&'static str, Option<&'static str>)>,
    /// Seen whole after a restart.
    done: bool,
}

type Lives = Arc<Mutex<BTreeMap<String, Life>>>;

/// Everybody who pushes, wherever the process is just now.
#[derive(Clone)]
struct Pushers {
    http: reqwest::Client,
    address: watch::Receiver<Option<SocketAddr>>,
    lives: Lives,
    stop: CancellationToken,
}

impl Pushers {
    /// Sends the same until there is an answer.
    async fn deliver(&mut self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        loop {
            let address = self.address.wait_for(Option::is_some).await.unwrap().unwrap();
            let request = self.http.request(method.clone(), format!("http://{address}{path}"));
            if let Ok(answer) = request.bearer_auth(TOKEN).json(body).send().await {
                let status = answer.status();
                match answer.json().await {
                    Ok(body) if status != StatusCode::SERVICE_UNAVAILABLE => return (status, body),
                    // A 503 promises nothing; half an answer neither.
                    Ok(_) | Err(_) => {}
                }
            }
            // Until it is known that the process is gone.
            timeout(Duration::from_millis(20), self.address.changed()).await.ok();
        }
    }

    fn note(&self, id: &str, note: impl FnOnce(&mut Life)) {
        note(self.lives.lock().entry(id.to_owned()).or_default());
    }

    async fn push(mut self, pusher: usize) {
        for number in 0.. {
            if self.stop.is_cancelled() {
                return;
            }
            let id = format!("p{pusher}-{number}");
            self.note(&id, |life| life.created = Sent::Tried);
            let (status, answer) = self.deliver(Method::POST, "/api/signals", &signal(&id)).await;
            assert_eq!(status, StatusCode::OK, "{id}: {answer}");
            self.note(&id, |life| life.created = Sent::Acknowledged);
            let path = format!("/api/signals/{id}");
            let (method, path, body, end) = match rand::random_range(0..4) {
                0 => continue,
                1 => (Method::PATCH, path.as_str(), json!({ "status": "confirmed" }), ("confirmed", None)),
                2 => {
                    let body = json!({ "status": "invalidated", "reason": "stop_touched" });
                    (Method::PATCH, path.as_str(), body, ("invalidated", Some("stop_touched")))
                }
                _ => (Method::POST, "/api/signals", json!({ "id": id, "status": "confirmed" }), ("confirmed", None)),
            };
            self.note(&id, |life| (life.ended, life.end) = (Sent::Tried, Some(end)));
            let (status, answer) = self.deliver(method, path, &body).await;
            let ended = match status {
                StatusCode::OK => Sent::Acknowledged,
                StatusCode::CONFLICT => Sent::Refused,
                _ => panic!("{id}: {status} {answer}"),
            };
            self.note(&id, |life| life.ended = ended);
        }
    }
}

/// Compares what the process tells of a signal with what its pusher knew before (`known`) and knows afterwards (`now`).
fn judge(id: &str, told: &Value, known: &Life, now: &Life, up_since: DateTime<Utc>, asked_at: DateTime<Utc>) -> bool {
    let states = told["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let context = || format!("{id}: {known:?} {now:?} {told}");
    let state = |at: usize| (states[at]["status"].as_str().unwrap(), states[at]["reason"].as_str());
    assert!(!states.is_empty() || known.created != Sent::Acknowledged, "an acknowledged signal is lost: {}", context());
    assert!(states.len() <= 2, "more changes than were sent: {}", context());
    if states.is_empty() {
        return false;
    }
    assert_eq!(state(0), ("pending", None), "{}", context());
    if states.len() == 1 {
        assert!(
            !matches!(known.ended, Sent::Acknowledged | Sent::Refused),
            "an acknowledged transition is lost: {}",
            context()
        );
        let expires_at = parse_time(told["signal"]["expires_at"].as_str().unwrap()).unwrap();
        assert!(
            asked_at < expires_at.max(up_since) + LATE,
            "its deadline has passed, asked at {asked_at}: {}",
            context()
        );
        return false;
    }
    if state(1) == ("invalidated", Some("timeout")) {
        // An invalidation that comes after the time-out says the same as it, and is acknowledged without an event.
        let otherwise =
            known.ended == Sent::Acknowledged && known.end.is_none_or(|(status, _)| status != "invalidated");
        assert!(!otherwise, "ended otherwise than acknowledged: {}", context());
        assert_eq!(states[1]["at"], told["signal"]["expires_at"], "not dated at its deadline: {}", context());
    } else {
        assert_eq!(Some(state(1)), now.end, "an end that was never sent: {}", context());
        assert_ne!(known.ended, Sent::Refused, "an end that was refused: {}", context());
    }
    true
}

/// Asks for every signal that was not seen whole before.
async fn check(server: &Server, lives: &Lives) {
    let up_since = wall();
    let open: Vec<_> = {
        let lives = lives.lock();
        lives.iter().filter(|(_, life)| !life.done).map(|(id, life)| (id.clone(), life.clone())).collect()
    };
    for (id, known) in open {
        let asked_at = wall();
        let (_, told) = server.get(&format!("/api/signals/{id}")).await;
        let mut lives = lives.lock();
        let life = lives.get_mut(&id).unwrap();
        life.done = judge(&id, &told, &known, life, up_since, asked_at) && life.ended != Sent::Tried;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let rounds = times("ORION_KILL9_ROUNDS", 12);
    let dir = tempfile::tempdir().unwrap();
    let env = [("ORION_SIGNAL_TTL", "2s")];
    let (address, watched) = watch::channel(None);
    let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
    let pushers = Pushers { http, address: watched, lives: Lives::default(), stop: CancellationToken::new() };
    let mut tasks = JoinSet::new();
    for pusher in 0..PUSHERS {
        tasks.spawn(pushers.clone().push(pusher));
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let began = Instant::now();
        let server = Server::start_on(&dir, &env).await;
        slowest = slowest.max(began.elapsed());
        check(&server, &pushers.lives).await;
        address.send_replace(Some(server.addr));
        sleep(Duration::from_millis(rand::random_range(5..250))).await;
        server.kill().await;
        address.send_replace(None);
        // Sometimes long enough for deadlines to pass meanwhile.
        sleep(Duration::from_millis(if rand::random_ratio(1, 10) { 2_000 } else { 0 })).await;
    }
    let server = Server::start_on(&dir, &env).await;
    address.send_replace(Some(server.addr));
    pushers.stop.cancel();
    while let Some(pusher) = tasks.join_next().await {
        pusher.unwrap();
    }
    until("all have ended", async || {
        check(&server, &pushers.lives).await;
        pushers.lives.lock().values().all(|life| life.done)
    })
    .await;
    let lives = pushers.lives.lock().clone();
    // The log knows of an end a moment before it is published.
    until("all is published", async || seq(&server.cursor().await) >= 2 * lives.len() as u64).await;
    let head = seq(&server.cursor().await);
    server.stop().await;

    let log = read_log(&dir).await;
    assert!(log.iter().map(|(seq, ..)| *seq).eq(1..=head), "a hole in the log");
    let mut events = HashMap::<&str, usize>::new();
    for (_, id, _) in &log {
        assert!(lives.contains_key(id), "{id} was never sent");
        *events.entry(id).or_default() += 1;
    }
    assert!(lives.keys().all(|id| events.get(id.as_str()) == Some(&2)), "not every signal is there once with its end");
    let verified = store::verify(dir.path()).unwrap();
    assert_eq!((verified.events, verified.pruned), (head, 0));
    // Five seconds are promised; a machine that tests share may take longer, but nothing waits for a lock or a time-out.
    assert!(slowest < Duration::from_secs(20), "ready only after {slowest:?}");
    let acknowledged = lives.values().filter(|life| life.ended == Sent::Acknowledged).count();
    eprintln!(
        "kill -9: {rounds} rounds, {} signals, {acknowledged} acknowledged transitions, {head} events; ready after {slowest:?} at most",
        lives.len()
    );
}
