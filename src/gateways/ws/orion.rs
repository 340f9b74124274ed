//! ORION's conversation on `/ws/signals`, and the same for pushers on `/api/websocket`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde_json::Value;

use super::{Client, Conversation};
use crate::domain::{Event, Position, Signal, SignalId, iso};
use crate::gateways::Gateway;
use crate::gateways::close::Close;
use crate::gateways::command::{Request, fault, short};
use crate::gateways::dialects::orion::{self, Pong, Subscribed, Typed, encode};
use crate::gateways::events;
use crate::gateways::pace::TOO_FAST;
use crate::gateways::resume::{self, Gone, NoRoom, Resumed, Returning};
use crate::hub::{Outbox, Present, Publication, Topics};
use crate::pipeline::clock;
use crate::sources::push::{Malformed, trimmed};

const DASHBOARD: &str = "/ws/signals";
const PUSHER: &str = "/api/websocket";

/// One ORION dashboard or pusher.
#[derive(Debug)]
pub(super) struct Orion {
    gateway: Arc<Gateway>,
    endpoint: &'static str,
    since: Option<String>,
    may_push: bool,
    may_read: bool,
    /// Every ordered event after this one has been written, or waits in the outbox.
    complete_after: u64,
    /// Signals whose state of now was in the snapshot: what the log tells of them before is outdated.
    told: HashSet<SignalId>,
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
        Self { gateway, endpoint, since: None, may_push, may_read, complete_after: 0, told: HashSet::new() }
    }

    /// Snapshot of what `wanted` adds to what the client has, then live.
    fn join_with_snapshot(&mut self, client: &Client, request: &Request, recovered: Option<bool>) {
        let gateway = self.gateway.clone();
        gateway.hub.hold(|present| {
            let before = client.outbox.topics();
            let wanted = &request.topics;
            let signals = present.signals(|symbol| wanted.signals.contains(symbol) && !before.signals.contains(symbol));
            if before.signals.is_none() {
                self.complete_after = present.position().seq;
            }
            self.told.extend(signals.iter().filter_map(|publication| match publication.event() {
                Event::Signal(signal) => Some(signal.id.clone()),
                Event::Price(_) | Event::Published(_) => None,
            }));
            client
                .outbox
                .put(present.prices(|symbol| wanted.prices.contains(symbol) && !before.prices.contains(symbol)));
            client.outbox.put(signals);
            join(&client.outbox, present, request, recovered);
        });
    }

    /// Brings the client from `seq` to the present.
    async fn catch_up(&mut self, client: &mut Client, seq: u64, request: &Request) -> Result<(), Gone> {
        let gateway = self.gateway.clone();
        let mut comeback = Comeback { client, request };
        match resume::resume(&gateway.hub, &gateway.log, seq, &mut comeback).await {
            Ok(Resumed::Joined) => self.complete_after = seq,
            Ok(Resumed::Impossible) => self.join_with_snapshot(client, request, Some(false)),
            Ok(Resumed::Gone) => return Err(Gone),
            Err(error) => {
                tracing::warn!(%error, "a replay could not be read");
                self.join_with_snapshot(client, request, Some(false));
            }
        }
        Ok(())
    }

    /// What this live connection has not had yet, from `seq` to where its own events begin.
    async fn fill_in(&mut self, client: &mut Client, mut seq: u64, request: &Request) -> Result<bool, Gone> {
        let epoch = self.gateway.hub.position().epoch;
        while seq < self.complete_after {
            let page = match resume::read_page(&self.gateway.log, seq).await {
                Ok(page) if page.first().is_some_and(|(first, _)| *first == seq + 1) => page,
                _ => return Ok(false),
            };
            seq = page.last().map_or(self.complete_after, |(last, _)| *last);
            let missed = page.iter().filter(|(at, signal)| {
                *at <= self.complete_after
                    && !self.told.contains(&signal.id)
                    && request.topics.signals.contains(&signal.symbol)
            });
            let frames: Vec<_> = missed
                .map(|(seq, signal)| orion::signal_frame(signal, &Position { epoch: epoch.clone(), seq: *seq }))
                .collect();
            client.write(frames).await?;
        }
        Ok(true)
    }

    async fn subscribe(&mut self, client: &mut Client, data: &Value) -> Result<(), Gone> {
        let request = Request::parse(data, &self.gateway.instruments).without_user();
        for fault in &request.faults {
            answer(client, "error", fault);
        }
        let Some(since) = request.since.as_deref() else {
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
        if filled && request.topics.signals == before {
            self.complete_after = self.complete_after.min(seq);
        }
        // Of symbols that it did not have until now, it gets only what the snapshot tells.
        let widened = before.with(&request.topics.signals) != before;
        self.join_with_snapshot(client, &request, Some(filled && !widened));
        Ok(())
    }

    fn unsubscribe(&self, client: &Client, data: &Value) {
        let request = Request::parse(data, &self.gateway.instruments).without_user();
        for fault in &request.faults {
            answer(client, "error", fault);
        }
        self.gateway.hub.hold(|_| client.outbox.set_topics(client.outbox.topics().without(&request.topics)));
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
                client.outbox.answer(encode(&fault("unauthorized", error.to_string())));
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
        let request = Request { topics: Topics::market(), ..Request::default() };
        match self.since.take() {
            None => self.join_with_snapshot(client, &request, None),
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
        cursor: present.position().to_string(),
        recovered,
        max_hz: request.max_hz,
        last_event_id: None,
    };
    outbox.answer(encode(&Typed { kind: "subscribed", fields: &subscribed }));
}
