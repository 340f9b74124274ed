//! ORION's conversation on `/ws/signals`, and the same for pushers on `/api/websocket`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::{Client, Conversation};
use crate::auth::TokenKind;
use crate::domain::{Event, Position, Signal, SignalId, iso};
use crate::gateways::Gateway;
use crate::gateways::close::Close;
use crate::gateways::command::{Request, fault, short};
use crate::gateways::completeness::Completeness;
use crate::gateways::dialects::orion::{self, Pong, Subscribed, Typed, encode};
use crate::gateways::events;
use crate::gateways::pace::TOO_FAST;
use crate::gateways::resume::{self, Gone, NoRoom, Resumed, Returning};
use crate::hub::{Outbox, Present, Publication, Selection, Topics};
use crate::pipeline::clock;
use crate::sources::push::{Malformed, trimmed};
use crate::store::Change;

const DASHBOARD: &str = "/ws/signals";
const PUSHER: &str = "/api/websocket";

/// How long a dashboard that has answered our first ping has for its first `subscribe`, before everything is sent unasked.
const FIRST_SUBSCRIBE_WAIT: Duration = Duration::from_millis(500);
/// The same for one that answers no pings.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// The number in our first ping.
const OPENING_PING: u64 = 0;
/// Signals of snapshots that are remembered for one connection; with more of them a late cursor is not filled in.
const MAX_SNAPSHOT_STATES: usize = 4096;

/// One ORION dashboard or pusher.
#[derive(Debug)]
pub(super) struct Orion {
    gateway: Arc<Gateway>,
    endpoint: &'static str,
    since: Option<String>,
    may_push: bool,
    may_read: bool,
    /// While the connection waits for the client's first `subscribe`.
    waiting: Option<Waiting>,
    /// Which events have been written, or wait in the outbox.
    completeness: Completeness,
    /// Signals that a snapshot told of, with the number of the event that it told: earlier ones are outdated.
    snapshot: HashMap<SignalId, u64>,
}

/// A dashboard that has presented no cursor yet. Until it says where it goes on, or has had the time to, nothing that
/// carries a cursor is sent: one that is cut in the middle of a snapshot would take itself for further than it is.
#[derive(Debug)]
struct Waiting {
    /// When the snapshot is sent without asking.
    until: Instant,
}

impl Orion {
    /// A dashboard: gets everything without asking, or what it missed since its cursor.
    pub(super) fn dashboard(gateway: Arc<Gateway>, since: Option<String>, may_push: bool) -> Self {
        Self { since, ..Self::new(gateway, DASHBOARD, may_push, true) }
    }

    /// A pusher: gets nothing until it subscribes.
    pub(super) fn pusher(gateway: Arc<Gateway>, may_push: bool, may_read: bool) -> Self {
        Self::new(gateway, PUSHER, may_push, may_read)
    }

    fn new(gateway: Arc<Gateway>, endpoint: &'static str, may_push: bool, may_read: bool) -> Self {
        Self {
            gateway,
            endpoint,
            since: None,
            may_push,
            may_read,
            waiting: None,
            completeness: Completeness::default(),
            snapshot: HashMap::new(),
        }
    }

    /// Sends prices, which carry no cursor, and waits for the client's first `subscribe`.
    async fn wait_for_subscribe(&mut self, client: &mut Client) -> Result<(), Gone> {
        self.gateway.hub.hold(|present| {
            client.outbox.put(present.prices(|_| true));
            client.outbox.set_topics(Topics { prices: Selection::All, ..Topics::default() });
        });
        self.waiting = Some(Waiting { until: Instant::now() + LONGEST_WAIT });
        client.ping(OPENING_PING).await
    }

    /// Sends everything without having been asked.
    fn begin(&mut self, client: &Client) {
        if self.waiting.take().is_some() {
            self.join_with_snapshot(client, &everything(), None);
        }
    }

    /// Snapshot of what `wanted` adds to what the client has, then live.
    fn join_with_snapshot(&mut self, client: &Client, request: &Request, recovered: Option<bool>) {
        let gateway = self.gateway.clone();
        gateway.hub.hold(|present| {
            let before = client.outbox.topics();
            let wanted = &request.topics;
            let signals = present.signals(|symbol| wanted.signals.contains(symbol) && !before.signals.contains(symbol));
            self.set_signals(&wanted.signals, present.position().seq);
            self.snapshot.extend(signals.iter().filter_map(|publication| match publication.event() {
                Event::Signal(signal) => Some((signal.id.clone(), publication.seq()?)),
                Event::Price(_) | Event::Published(_) => None,
            }));
            client
                .outbox
                .put(present.prices(|symbol| wanted.prices.contains(symbol) && !before.prices.contains(symbol)));
            client.outbox.put(signals);
            join(&client.outbox, present, request, recovered);
        });
    }

    /// Notes which symbols' signals the client gets from now on.
    fn set_signals(&mut self, wanted: &Selection, seq: u64) {
        self.completeness.set(wanted, seq);
        if wanted.is_none() {
            self.snapshot.clear();
        } else if self.snapshot.len() > MAX_SNAPSHOT_STATES {
            // What is forgotten cannot be left out of a later filling.
            self.completeness.leave_gap_until(self.completeness.after_all());
            self.snapshot.clear();
        }
    }

    /// Brings the client from `seq` to the present.
    async fn catch_up(&mut self, client: &mut Client, seq: u64, request: &Request) -> Result<(), Gone> {
        let gateway = self.gateway.clone();
        let mut comeback = Comeback { client, request };
        match resume::resume(&gateway.hub, &gateway.log, seq, &mut comeback).await {
            Ok(Resumed::Joined) => self.set_signals(&request.topics.signals, seq),
            Ok(Resumed::Impossible) => self.join_with_snapshot(client, request, Some(false)),
            Ok(Resumed::Gone) => return Err(Gone),
            Err(error) => {
                resume::log_unreadable(&error);
                self.join_with_snapshot(client, request, Some(false));
            }
        }
        Ok(())
    }

    /// Sends what this live connection has not had yet, from `from` to where its own events begin. Returns whether that was
    /// all: a state that is older than what the client has had of the same signal is left out.
    async fn fill_in(&mut self, client: &mut Client, from: u64, request: &Request) -> Result<bool, Gone> {
        let epoch = self.gateway.hub.position().epoch;
        let (wanted, target) = (&request.topics.signals, self.completeness.after_all());
        let (mut seq, mut whole) = (from, !self.completeness.has_gap_after(from));
        while seq < target {
            let page = match resume::read_changes(&self.gateway.log, seq).await {
                Ok(page) if page.first().is_some_and(|first| first.seq == seq + 1) => page,
                _ => return Ok(false),
            };
            seq = page.last().map_or(target, |last| last.seq);
            let mut frames = Vec::new();
            for Change { seq, signal, latest } in page {
                let after = self.completeness.after(&signal.symbol).filter(|_| wanted.contains(&signal.symbol));
                if after.is_none_or(|after| seq > after) {
                    continue;
                }
                match self.snapshot.get(&signal.id) {
                    Some(told) if *told == seq => {}
                    Some(told) if *told > seq => whole = false,
                    _ if after < Some(latest) => whole = false,
                    _ => frames.push(orion::signal_frame(&signal, &Position { epoch: epoch.clone(), seq })),
                }
            }
            client.write(frames).await?;
        }
        self.completeness.fill(wanted, from);
        if !whole {
            self.completeness.leave_gap_until(target);
        }
        Ok(whole)
    }

    async fn subscribe(&mut self, client: &mut Client, data: &Value) -> Result<(), Gone> {
        self.waiting = None;
        let request = Request::parse(data, &self.gateway.instruments).without_user();
        for fault in &request.faults {
            answer(client, "error", fault);
        }
        // A cursor says where signals go on; prices have none.
        let since = request.since.as_deref().filter(|_| !request.topics.signals.is_none());
        let Some(since) = since else {
            self.join_with_snapshot(client, &request, None);
            return Ok(());
        };
        let Some(seq) = resume::place(since, &self.gateway.hub.position()) else {
            self.join_with_snapshot(client, &request, Some(false));
            return Ok(());
        };
        let before = client.outbox.topics().signals;
        if before.is_none() {
            return self.catch_up(client, seq, &request).await;
        }
        let filled = self.fill_in(client, seq, &request).await?;
        // Of symbols that it did not have until now, it gets only what the snapshot tells.
        let widened = before.with(&request.topics.signals) != before;
        self.join_with_snapshot(client, &request, Some(filled && !widened));
        Ok(())
    }

    fn unsubscribe(&mut self, client: &Client, data: &Value) {
        self.begin(client);
        let request = Request::parse(data, &self.gateway.instruments).without_user();
        for fault in &request.faults {
            answer(client, "error", fault);
        }
        let gateway = self.gateway.clone();
        gateway.hub.hold(|present| {
            let rest = client.outbox.topics().without(&request.topics);
            self.set_signals(&rest.signals, present.position().seq);
            client.outbox.set_topics(rest);
        });
        answer(client, "unsubscribed", &request.unsubscribed());
    }

    fn authenticate(&mut self, client: &Client, frame: &Value) -> Result<(), Close> {
        let token = frame.get("token").and_then(Value::as_str).unwrap_or_default();
        match self.gateway.tokens.ingest(Some(token)) {
            Ok(()) => {
                (self.may_push, self.may_read) = (true, true);
                client.outbox.answer(encode(&serde_json::json!({ "success": true, "message": "Authenticated" })));
                Ok(())
            }
            Err(error) => {
                self.gateway.metrics.reject("push", "unauthorized");
                client.outbox.answer(encode(&client.token_fault(TokenKind::Ingest, error)));
                Err(Close::Policy)
            }
        }
    }

    async fn push(&self, client: &Client, kind: &str, frame: &Value) {
        let data = frame.get("data").or_else(|| frame.get("payload")).unwrap_or(frame);
        if !self.may_push {
            let refusal =
                fault("unauthorized", "send {\"type\":\"auth\",\"token\":\"…\"} with ORION_INGEST_TOKEN first");
            client.outbox.answer(encode(&refusal));
            return;
        }
        if let Err(refused) = self.gateway.tokens.count_push() {
            self.gateway.metrics.reject_too_fast();
            client.outbox.answer(encode(&fault(TOO_FAST.0, refused.to_string())));
            return;
        }
        let push = &self.gateway.push;
        let frame = match kind {
            "signal" => push.signal(data).await.map(|answer| encode(&answer)),
            "event" => push.events(|now| events::read(data, now)).await.map(|answer| encode(&answer)),
            _ => push.prices(data).await.map(|answer| encode(&answer)),
        };
        client.outbox.answer(frame.unwrap_or_else(|error| encode(&error.body())));
    }
}

impl Conversation for Orion {
    fn endpoint(&self) -> &'static str {
        self.endpoint
    }

    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        if self.endpoint == PUSHER {
            return Ok(());
        }
        let request = everything();
        match self.since.take() {
            None => return self.wait_for_subscribe(client).await,
            Some(since) => match resume::place(&since, &self.gateway.hub.position()) {
                Some(seq) => return self.catch_up(client, seq, &request).await,
                None => self.join_with_snapshot(client, &request, Some(false)),
            },
        }
        Ok(())
    }

    fn frames(&mut self, publication: &Arc<Publication>, frames: &mut Vec<Utf8Bytes>) {
        frames.extend_from_slice(orion::frames(publication));
    }

    fn may_push(&self) -> bool {
        self.may_push
    }

    /// Time that the way to the client took is not counted: what it says on opening arrives with the answer to our ping.
    fn received(&mut self, receipt: u64) {
        if let Some(waiting) = self.waiting.as_mut().filter(|_| receipt == OPENING_PING) {
            waiting.until = waiting.until.min(Instant::now() + FIRST_SUBSCRIBE_WAIT);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.until)
    }

    fn on_deadline(&mut self, client: &mut Client) {
        self.begin(client);
    }

    async fn said(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let Ok(frame) = serde_json::from_slice::<Value>(trimmed(text.as_bytes())) else {
            answer(client, "error", &fault("invalid_json", malformed(text)));
            return Ok(());
        };
        let kind = frame.get("type").and_then(Value::as_str);
        if kind == Some("signal")
            && let Some(repeated) = Malformed::repeated(text.as_bytes())
        {
            answer(client, "error", &fault("invalid_json", repeated.remedy));
            return Ok(());
        }
        match kind {
            Some("subscribe") if !self.may_read => {
                answer(client, "error", &fault("unauthorized", "a token is needed to read: send an auth frame first"));
            }
            Some("subscribe") => self.subscribe(client, &frame).await.map_err(|Gone| Close::TooSlow)?,
            Some("unsubscribe") => self.unsubscribe(client, &frame),
            Some("ping") => {
                let pong = Pong { timestamp: frame.get("timestamp").cloned(), server_time: iso(clock::wall()) };
                answer(client, "pong", &pong);
            }
            Some("pong") => {}
            Some("auth") => self.authenticate(client, &frame)?,
            Some(kind @ ("signal" | "price_update" | "event")) => self.push(client, kind, &frame).await,
            None if frame.get("id").is_some() => self.push(client, "signal", &frame).await,
            Some(other) => {
                answer(client, "error", &fault("unknown_type", format!("unknown type '{}'", short(other))));
            }
            None => answer(client, "error", &fault("invalid_message", "a frame is an object with a type")),
        }
        Ok(())
    }
}

/// Why a frame is not JSON.
fn malformed(text: &str) -> String {
    const ONE_OBJECT: &str = "a frame is one JSON object";
    match Malformed::of(text.as_bytes()).filter(|_| text.trim_start().starts_with('{')) {
        Some(malformed) => format!("{ONE_OBJECT}: {}", malformed.remedy),
        None => ONE_OBJECT.to_owned(),
    }
}

/// A client that fills its gap: it gets nothing live until it has.
struct Comeback<'a> {
    client: &'a mut Client,
    request: &'a Request,
}

impl Returning for Comeback<'_> {
    async fn send(&mut self, page: Vec<(Position, Signal)>) -> Result<(), Gone> {
        let wanted = &self.request.topics.signals;
        let missed = page.iter().filter(|(_, signal)| wanted.contains(&signal.symbol));
        let frames: Vec<_> = missed.map(|(position, signal)| orion::signal_frame(signal, position)).collect();
        self.client.write(frames).await
    }

    fn join(&mut self, present: &Present, rest: Vec<Arc<Publication>>) -> Result<(), NoRoom> {
        // The pages before went past the outbox, which has room for the whole tail of the log.
        let (outbox, wanted) = (&self.client.outbox, &self.request.topics);
        let before = outbox.topics();
        outbox.put(present.prices(|symbol| wanted.prices.contains(symbol) && !before.prices.contains(symbol)));
        outbox.put(rest.into_iter().filter(|publication| wanted.contain(publication.event())));
        join(outbox, present, self.request, Some(true));
        Ok(())
    }
}

/// What a native client is subscribed to without asking.
fn everything() -> Request {
    Request { topics: Topics::market(), ..Request::default() }
}

fn answer<T: serde::Serialize>(client: &Client, kind: &'static str, fields: &T) {
    client.outbox.answer(encode(&Typed { kind, fields }));
}

/// A native subscription sets exactly what it names.
fn join(outbox: &Outbox, present: &Present, request: &Request, recovered: Option<bool>) {
    outbox.set_topics(request.topics.clone());
    outbox.set_price_interval(request.max_hz.map(|hz| Duration::from_secs_f64(1.0 / hz)));
    let subscribed = Subscribed {
        channels: request.channels(),
        symbols: request.symbol_list(),
        unfed: request.unfed(present),
        cursor: present.position().to_string(),
        recovered,
        max_hz: request.max_hz,
        last_event_id: None,
    };
    outbox.answer(encode(&Typed { kind: "subscribed", fields: &subscribed }));
}
