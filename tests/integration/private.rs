//! Nobody gets what is another's: everything that is published, to everybody, over every transport at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::users::{SECRET, Stream, Way, admin_token, get_as, token};
use crate::support::{Native, Server, Socket, soon};

const MESSAGES: usize = 1_000;
/// Messages of one request are up to so many.
const BATCH: usize = 37;
/// Ordered kinds, then states.
const KINDS: [&str; 9] =
    ["trades", "decisions", "whale", "alerts", "wallet", "ai_tasks", "bots", "balances", "metrics"];
const ORDERED: usize = 6;

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Ana,
    Ben,
    Everybody,
    Admins,
}

/// One published message.
#[derive(Debug, Clone)]
struct Message {
    whose: For,
    kind: &'static str,
    /// Of a state: which one of its kind.
    key: String,
    /// What tells it from all others; it names whose it is.
    mark: String,
}

impl Message {
    fn new(number: usize) -> Self {
        let whose = [For::Ana, For::Everybody, For::Ben, For::Admins][(number * 7 + number / 13) % 4];
        let kind = KINDS[(number * 5 + number / 9) % KINDS.len()];
        let key = match kind {
            "bots" => format!("bot-{}", number % 3),
            "balances" => format!("exchange-{}", number % 2),
            _ => String::new(),
        };
        Self { whose, kind, key, mark: format!("{whose:?}:{number}") }
    }

    fn is_ordered(&self) -> bool {
        KINDS[..ORDERED].contains(&self.kind)
    }

    fn event(&self) -> Value {
        let id = &self.mark;
        let mut data = match self.kind {
            "trades" => json!({ "id": id, "platform": "luno", "symbol": "BTC-ZAR", "side": "buy", "quantity": 1,
                "price": 2, "status": "filled", "pnl": 1, "fee": 0.5 }),
            "decisions" => json!({ "id": id, "symbol": "BTC-ZAR", "decision": "buy", "confidence": 0.5 }),
            "whale" => json!({ "coin": "BTC", "platform": "luno", "flow_type": "inflow", "amount": 1 }),
            "alerts" => json!({ "id": id, "severity": "info", "message": id }),
            "wallet" => json!({ "event": "deposit_confirmed", "txid": id }),
            "ai_tasks" => json!({ "task_id": id, "task_type": "prediction", "status": "completed" }),
            "bots" => json!({ "id": self.key, "status": "running" }),
            "balances" => json!({ "platform": self.key, "balances": { "ZAR": { "free": 1, "locked": 0 } } }),
            _ => json!({ "total_trades": 1 }),
        };
        data["mark"] = json!(self.mark);
        let mut event = json!({ "type": self.kind, "data": data });
        match self.whose {
            For::Ana => event["user"] = json!("ana"),
            For::Ben => event["user"] = json!("ben"),
            For::Admins => event["audience"] = json!("admin"),
            For::Everybody => {}
        }
        event
    }
}

/// What one user gets of all the messages.
#[derive(Debug, Clone)]
struct Expected {
    name: &'static str,
    audiences: Vec<For>,
    /// Every ordered message, in order.
    ordered: Vec<Message>,
    /// The last state under each key, of each audience.
    states: BTreeMap<(&'static str, String, String), String>,
}

impl Expected {
    fn new(name: &'static str, audiences: &[For], messages: &[Message]) -> Self {
        let his = messages.iter().filter(|message| audiences.contains(&message.whose));
        let (ordered, states): (Vec<_>, Vec<_>) = his.cloned().partition(Message::is_ordered);
        let states =
            states.into_iter().map(|state| ((state.kind, state.key, format!("{:?}", state.whose)), state.mark));
        Self { name, audiences: audiences.to_vec(), ordered, states: states.collect() }
    }

    fn marks(&self, kind: &str) -> Vec<&str> {
        self.ordered.iter().filter(|message| message.kind == kind).map(|message| message.mark.as_str()).collect()
    }

    fn state_marks(&self, kind: &str) -> BTreeSet<&str> {
        self.states.iter().filter(|((of, ..), _)| *of == kind).map(|(_, mark)| mark.as_str()).collect()
    }

    /// Fails on a message, anywhere in `value`, that is another's.
    fn check(&self, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(mark) = fields.get("mark").and_then(Value::as_str) {
                    let his = self.audiences.iter().any(|whose| mark.starts_with(&format!("{whose:?}:")));
                    assert!(his, "{} got {mark}", self.name);
                }
                fields.values().for_each(|value| self.check(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.check(item)),
            _ => {}
        }
    }
}

/// What came over one stream.
#[derive(Debug)]
struct Seen {
    ordered: Vec<String>,
    states: BTreeMap<(String, String, String), String>,
}

/// Listens up to the last ordered message.
async fn listen(mut stream: Stream, way: Way, expected: Expected) -> Seen {
    let mut seen = Seen { ordered: Vec::new(), states: BTreeMap::new() };
    let last = &expected.ordered.last().unwrap().mark;
    let all = async {
        while seen.ordered.last() != Some(last) {
            let frame =
                stream.next().await.unwrap_or_else(|end| panic!("{} over {way:?}: ended with {end}", expected.name));
            expected.check(&frame);
            let Some(mark) = frame["data"]["mark"].as_str().map(ToOwned::to_owned) else { continue };
            let kind = frame["type"].as_str().unwrap().to_owned();
            if KINDS[..ORDERED].contains(&kind.as_str()) {
                seen.ordered.push(mark);
                continue;
            }
            let text = |name: &str| frame["data"][name].as_str().unwrap_or_default().to_owned();
            let key = if kind == "bots" { text("id") } else { text("platform") };
            let (whose, number) = mark.split_once(':').unwrap();
            let before = seen.states.insert((kind, key, whose.to_owned()), mark.clone());
            let before = before.map_or(0, |before| before.split_once(':').unwrap().1.parse::<usize>().unwrap());
            assert!(before <= number.parse().unwrap(), "{} over {way:?}: {mark} after {before}", expected.name);
        }
    };
    soon("all messages", all).await;
    seen
}

fn compare(seen: &Seen, expected: &Expected, how: &str) {
    let ordered: Vec<_> = expected.ordered.iter().map(|message| message.mark.as_str()).collect();
    assert_eq!(seen.ordered, ordered, "{} {how}", expected.name);
    let states: Vec<_> = seen.states.iter().map(|((kind, key, of), mark)| (kind.as_str(), key, of, mark)).collect();
    let expected_states: Vec<_> =
        expected.states.iter().map(|((kind, key, of), mark)| (*kind, key, of, mark)).collect();
    assert_eq!(states, expected_states, "{} {how}", expected.name);
}

/// What the page polls shows nothing that is another's, now or at any time.
const POLLED: [&str; 7] = [
    "/api/trades/recent?limit=500",
    "/api/advanced/decisions/recent?limit=500",
    "/api/bots",
    "/api/wallet/balances",
    "/api/portfolio/summary",
    "/api/advanced/whale/summary",
    "/api/auth/me",
];

async fn poll(addr: SocketAddr, token: String, expected: Expected, mut done: watch::Receiver<bool>) {
    while !*done.borrow_and_update() {
        for path in POLLED {
            let (status, body) = get_as(addr, &token, path).await;
            assert_eq!(status, 200, "{path}: {body}");
            expected.check(&body);
        }
    }
}

/// At the end it shows all that is his.
async fn polled(addr: SocketAddr, token: &str, expected: &Expected) {
    let get = async |path: &str| get_as(addr, token, path).await.1;
    let marks = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|entry| entry["mark"].as_str().unwrap().to_owned()).collect()
    };
    let newest_first = |kind| expected.marks(kind).into_iter().rev().map(ToOwned::to_owned).collect::<Vec<_>>();
    assert_eq!(marks(&get(POLLED[0]).await["trades"]), newest_first("trades"), "{}", expected.name);
    let decisions = get(POLLED[1]).await;
    assert_eq!(marks(&decisions["decisions"]), newest_first("decisions"), "{}", expected.name);
    assert_eq!(decisions["count"], expected.marks("decisions").len());
    let bots = marks(&get("/api/bots").await);
    assert_eq!(bots.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected.state_marks("bots"));
    assert_eq!(bots.len(), expected.state_marks("bots").len());
    let wallet = get("/api/wallet/balances").await;
    assert_eq!(wallet["user_id"], expected.name);
    let exchanges = wallet["exchanges"].as_object().unwrap();
    assert_eq!(exchanges.len(), 2, "{wallet}");
    let portfolio = get("/api/portfolio/summary").await;
    assert_eq!(portfolio["realized_pnl"], expected.marks("trades").len(), "{portfolio}");
    let whale = get("/api/advanced/whale/summary").await;
    assert_eq!(whale["summary"]["BTC"]["total_inflow"], expected.marks("whale").len(), "{}: {whale}", expected.name);
    assert_eq!(get("/api/auth/me").await["user_id"], expected.name);
}

/// Those who have no token read what is for everybody, if anything: they note everything, and fail on a mark.
async fn stranger(mut native: Native, path: &'static str, mut done: watch::Receiver<bool>) {
    let stranger = Expected::new(path, &[For::Everybody], &[]);
    loop {
        tokio::select! {
            frame = native.next() => stranger.check(&frame.unwrap_or_else(|end| panic!("{path} ended with {end}"))),
            changed = done.changed() => {
                changed.unwrap();
                break;
            }
        }
    }
    // What was sent before the answer has come before it.
    pinged(&mut native, |frame| stranger.check(frame)).await;
}

/// Asks, and shows everything that comes up to the answer.
async fn pinged(native: &mut Native, mut show: impl FnMut(&Value)) {
    native.send(&json!({ "type": "ping", "action": "ping" })).await;
    soon("pong", async {
        loop {
            let frame = native.next().await.unwrap();
            show(&frame);
            if frame["type"] == "pong" {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_get_their_own_and_public_messages_only() {
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET), ("ORION_DATA__MESSAGES_PER_USER", "1000")]).await;
    let messages: Vec<_> = (0..MESSAGES).map(Message::new).collect();
    let users = [
        (Expected::new("ana", &[For::Ana, For::Everybody], &messages), token("ana")),
        (Expected::new("ben", &[For::Ben, For::Everybody], &messages), token("ben")),
        (Expected::new("root", &[For::Admins, For::Everybody], &messages), admin_token("root")),
    ];
    let (done, is_done) = watch::channel(false);
    let (mut streams, mut others) = (JoinSet::new(), JoinSet::new());
    for (expected, token) in &users {
        for way in Way::ALL {
            let stream = Stream::live(server.addr, way, token).await;
            let expected = expected.clone();
            streams.spawn(async move {
                let seen = listen(stream, way, expected.clone()).await;
                compare(&seen, &expected, &format!("live over {way:?}"));
            });
        }
        others.spawn(poll(server.addr, token.clone(), expected.clone(), is_done.clone()));
    }
    let named = json!({ "action": "subscribe", "symbols": [], "user_id": "ana" });
    for (path, first) in [
        ("/ws/signals", None),
        ("/ws", None),
        ("/ws/trade-signals", Some(&named)),
        ("/ws/earnings", Some(&named)),
        ("/ws/notifications", Some(&named)),
        ("/ws/user/ana", None),
    ] {
        let mut native = Native::connect(server.addr, path).await;
        if let Some(first) = first {
            native.send(first).await;
        }
        // Once it is answered it is in whatever it will be in.
        pinged(&mut native, |_| {}).await;
        others.spawn(stranger(native, path, is_done.clone()));
    }
    let mut anonymous = Socket::open(server.addr).await;
    anonymous.subscribe(&json!({ "channels": ["signals", "prices"] })).await;
    assert_eq!(anonymous.event("subscribed").await.len(), 1);

    let mut rest = messages.as_slice();
    let mut size = 1;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(size.min(rest.len()));
        let events: Vec<_> = batch.iter().map(Message::event).collect();
        let (status, answer) = server.post("/api/events", &json!({ "events": events })).await;
        assert_eq!(status, 200, "{answer}");
        (rest, size) = (later, size % BATCH + 5);
    }
    while let Some(result) = streams.join_next().await {
        result.unwrap();
    }
    done.send_replace(true);
    while let Some(result) = others.join_next().await {
        result.unwrap();
    }
    anonymous.emit("ping", &json!({ "timestamp": 1 })).await;
    // Nothing between the answer to `subscribe` and this one.
    assert!(matches!(anonymous.next().await, Ok(crate::support::Packet::Event(name, _)) if name == "pong"));

    for (expected, token) in &users {
        polled(server.addr, token, expected).await;
        // Who comes late and knows nothing is told all of it once more.
        for way in Way::ALL {
            let late = Stream::expect(server.addr, way, token, Some("0")).await;
            compare(&listen(late, way, expected.clone()).await, expected, &format!("late over {way:?}"));
        }
    }
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}
