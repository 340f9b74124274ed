//! ORION's protocol on `/ws/signals`, and the same for pushers on `/api/websocket`.

mod joining;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::{Client, Protocol};
use crate::auth::TokenKind;
use crate::domain::{SignalId, iso};
use crate::gateways::Gateway;
use crate::gateways::close::Close;
use crate::gateways::command::{Request, fault, parse_replay, short};
use crate::gateways::completeness::Completeness;
use crate::gateways::dialects::orion::{self, ErrorObject, Pong, Typed, encode};
use crate::gateways::events;
use crate::gateways::pace::TOO_FAST;
use crate::gateways::resume::{self, Gone};
use crate::hub::Envelope;
use crate::pipeline::clock;
use crate::sources::push::{MalformedBody, trimmed};

const DASHBOARD: &str = "/ws/signals";
const PUSHER: &str = "/api/websocket";

/// How long a dashboard that has answered our first ping has for its first `subscribe`, before everything is sent unasked.
const FIRST_SUBSCRIBE_WAIT: Duration = Duration::from_millis(500);
/// The same for one that answers no pings.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// The number in our first ping.
const OPENING_PING: u64 = 0;

/// One ORION dashboard or pusher.
#[derive(Debug)]
pub(super) struct Orion {
    gateway: Arc<Gateway>,
    endpoint: &'static str,
    since: Option<String>,
    /// How far back snapshots should reach, as the query has it, unless a `subscribe` says it.
    replay: Option<Duration>,
    /// What about the query was wrong.
    query_fault: Option<ErrorObject>,
    may_push: bool,
    may_read: bool,
    /// While the connection waits for the client's first `subscribe`.
    waiting: Option<Waiting>,
    /// Which events have been written, or wait in the outbox.
    completeness: Completeness,
    /// Whether it has joined signals before: with a snapshot, or with what it missed.
    has_joined: bool,
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
    /// A dashboard: gets everything without asking, or what it missed since its cursor. `replay` is how far back it wants
    /// its snapshot to reach, as it was written.
    pub(super) fn dashboard(
        gateway: Arc<Gateway>,
        since: Option<String>,
        replay: Option<String>,
        may_push: bool,
    ) -> Self {
        let (replay, query_fault) = match replay.map(|replay| parse_replay(&replay.into())) {
            Some(Ok(replay)) => (Some(replay), None),
            Some(Err(fault)) => (None, Some(fault)),
            None => (None, None),
        };
        Self { since, replay, query_fault, ..Self::new(gateway, DASHBOARD, may_push, true) }
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
            replay: None,
            query_fault: None,
            may_push,
            may_read,
            waiting: None,
            completeness: Completeness::default(),
            has_joined: false,
            snapshot: HashMap::new(),
        }
    }

    async fn subscribe(&mut self, client: &mut Client, data: &Value) -> Result<(), Gone> {
        self.waiting = None;
        let mut request = Request::parse(data, &self.gateway.instruments).without_user();
        for fault in &request.faults {
            answer(client, "error", fault);
        }
        request.replay = request.replay.or(self.replay);
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
        gateway.hub.with_snapshot(|present| {
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

impl Protocol for Orion {
    fn endpoint(&self) -> &'static str {
        self.endpoint
    }

    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        if self.endpoint == PUSHER {
            return Ok(());
        }
        if let Some(fault) = self.query_fault.take() {
            answer(client, "error", &fault);
        }
        let request = self.everything();
        match self.since.take() {
            None => return self.wait_for_subscribe(client).await,
            Some(since) => match resume::place(&since, &self.gateway.hub.position()) {
                Some(seq) => return self.catch_up(client, seq, &request).await,
                None => self.join_with_snapshot(client, &request, Some(false)),
            },
        }
        Ok(())
    }

    fn encode(&mut self, publication: &Arc<Envelope>, frames: &mut Vec<Utf8Bytes>) {
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

    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let Ok(frame) = serde_json::from_slice::<Value>(trimmed(text.as_bytes())) else {
            answer(client, "error", &fault("invalid_json", malformed(text)));
            return Ok(());
        };
        let kind = frame.get("type").and_then(Value::as_str);
        if kind == Some("signal")
            && let Some(repeated) = MalformedBody::repeated(text.as_bytes())
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
    match MalformedBody::of(text.as_bytes()).filter(|_| text.trim_start().starts_with('{')) {
        Some(malformed) => format!("{ONE_OBJECT}: {}", malformed.remedy),
        None => ONE_OBJECT.to_owned(),
    }
}

fn answer<T: serde::Serialize>(client: &Client, kind: &'static str, fields: &T) {
    client.outbox.answer(encode(&Typed { kind, fields }));
}
