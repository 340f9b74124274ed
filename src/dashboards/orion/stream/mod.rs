//! ORION's protocol on `/ws/signals`, and for pushers on `/api/websocket`.

mod joining;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, Uri};
use serde_json::Value;
use tokio::time::Instant;

use super::EVENTS;
use crate::auth::TokenKind;
use crate::domain::{SignalFilter, SignalId, iso};
use crate::http::{ApiError, RawQuery};
use crate::ingest::{MalformedBody, parse_json};
use crate::pipeline::clock;
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::command::{SubscriptionRequest, fault, short};
use crate::transport::completeness::Completeness;
use crate::transport::lane::Slot;
use crate::transport::messages::{ErrorObject, Pong, Typed, encode};
use crate::transport::pace::TOO_FAST;
use crate::transport::resume::{self, Gone};
use crate::transport::ws::{Client, Handshake, Protocol};

pub(super) const DASHBOARD: &str = "/ws/signals";
pub(super) const PUSHER: &str = "/api/websocket";

/// How long a dashboard that has answered the opening ping has for its first `subscribe`, before it gets everything.
const FIRST_SUBSCRIBE_WAIT: Duration = Duration::from_millis(500);
/// How long a dashboard that does not answer pings has for its first `subscribe`.
const MAX_SUBSCRIBE_WAIT: Duration = Duration::from_secs(3);
/// The number in the opening ping.
const OPENING_PING: u64 = 0;

/// What the streams share, and for how long after its confirmation a signal belongs to the first snapshot.
type StreamState = (Arc<Gateway>, Duration);

/// Routes of the streams.
pub(super) fn routes(gateway: Arc<Gateway>, alarm_window: Duration) -> Router {
    Router::new()
        .route(DASHBOARD, get(dashboard))
        .route("/ws/signals/", get(dashboard))
        .route(PUSHER, get(pusher))
        .with_state((gateway, alarm_window))
}

async fn dashboard(
    State((gateway, alarm_window)): State<StreamState>,
    query: RawQuery,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let login = match gateway.admit_reader(&headers, &uri, None) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let query = match query {
        Ok(Query(pairs)) => SubscriptionRequest::of_query(&pairs, &gateway.instruments),
        Err(rejection) => return ApiError::from(rejection).into_response(),
    };
    if query.has_invalid_filter() {
        // Before it could be told of the error, the client would get signals that it does not want.
        return ApiError::of_faults(query.field_faults()).into_response();
    }
    let may_push = gateway.admit_writer(&headers, &uri).is_ok();
    let protocol = OrionProtocol::dashboard(gateway.clone(), alarm_window, query, may_push);
    handshake.serve(gateway, login, protocol)
}

async fn pusher(
    State((gateway, alarm_window)): State<StreamState>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let writer = gateway.admit_writer(&headers, &uri);
    let may_push = writer.is_ok();
    // A pusher may still send its token in a frame. A wrong token in the handshake is rejected at once.
    if !may_push && let Err(refusal) = gateway.admit_token(&headers, &uri) {
        return refusal.into_response();
    }
    let login = match writer {
        Ok(Some(login)) => Ok(Some(login)),
        _ => gateway.admit_reader(&headers, &uri, None),
    };
    let may_read = may_push || login.is_ok();
    let protocol = OrionProtocol::pusher(gateway.clone(), alarm_window, may_push, may_read);
    handshake.serve(gateway, login.ok().flatten(), protocol)
}

/// The connection of one ORION dashboard or pusher.
#[derive(Debug)]
struct OrionProtocol {
    gateway: Arc<Gateway>,
    /// How old a confirmed signal may be in the first snapshot.
    alarm_window: Duration,
    endpoint: &'static str,
    since: Option<String>,
    /// How far back snapshots reach by the handshake's query. A `subscribe` may override it.
    replay: Option<Duration>,
    /// Which signals the client gets by the handshake's query. A `subscribe` may override it.
    filter: Option<Arc<SignalFilter>>,
    /// The errors in the handshake's query, until they are sent.
    query_faults: Vec<ErrorObject>,
    may_push: bool,
    may_read: bool,
    /// Set while the connection waits for the client's first `subscribe`.
    waiting: Option<SubscribeWait>,
    /// Which events have been written or are queued in the outbox.
    completeness: Completeness,
    /// Whether the client has already joined signals, with a snapshot or by resuming.
    has_joined: bool,
    /// Signals sent in snapshots, with the sequence number of the event that was sent. Earlier events of them are
    /// outdated.
    snapshot: HashMap<SignalId, u64>,
}

/// The wait of a dashboard that has not presented a cursor. Until it subscribes, or the time is up, nothing with a
/// cursor is sent: a client that is disconnected in the middle of a snapshot would otherwise resume past what it has
/// received.
#[derive(Debug)]
struct SubscribeWait {
    /// When the snapshot is sent without a `subscribe`.
    until: Instant,
}

impl OrionProtocol {
    /// Creates a dashboard's connection: without a `subscribe` it gets everything that the query's filters admit, or resumes
    /// from its cursor.
    fn dashboard(gateway: Arc<Gateway>, alarm_window: Duration, query: SubscriptionRequest, may_push: bool) -> Self {
        let SubscriptionRequest { since, replay, topics, faults, .. } = query;
        let dashboard = Self::new(gateway, alarm_window, DASHBOARD, (may_push, true));
        Self { since, replay, filter: topics.filter, query_faults: faults, ..dashboard }
    }

    /// Creates a pusher's connection: it gets nothing until it subscribes.
    fn pusher(gateway: Arc<Gateway>, alarm_window: Duration, may_push: bool, may_read: bool) -> Self {
        Self::new(gateway, alarm_window, PUSHER, (may_push, may_read))
    }

    fn new(
        gateway: Arc<Gateway>,
        alarm_window: Duration,
        endpoint: &'static str,
        (may_push, may_read): (bool, bool),
    ) -> Self {
        Self {
            gateway,
            alarm_window,
            endpoint,
            since: None,
            replay: None,
            filter: None,
            query_faults: Vec::new(),
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
        let request = SubscriptionRequest::parse(data, &self.gateway.instruments).without_user();
        for fault in &request.faults {
            answer(client, "error", fault);
        }
        let mut request = request.or_filter(self.filter.as_ref());
        request.replay = request.replay.or(self.replay);
        // A cursor only applies to signals; prices have none.
        let since = request.since.as_deref().filter(|_| !request.topics.signals.is_none());
        let Some(since) = since else {
            self.join_with_snapshot(client, &request, None);
            return Ok(());
        };
        let (before, head) = (client.topics().signals, self.gateway.hub.position());
        let seq = if before.is_none() { resume::reachable(since, &head) } else { resume::place(since, &head) };
        // What other filters have left out cannot be sent in order any more.
        let seq = seq.filter(|_| !client.topics().refilters(&request.topics));
        let Some(seq) = seq else {
            self.join_with_snapshot(client, &request, Some(false));
            return Ok(());
        };
        if before.is_none() {
            return self.catch_up(client, seq, &request).await;
        }
        let filled = self.fill_in(client, seq, &request).await?;
        // For symbols that are new to the connection it gets the snapshot alone, so its gap is not filled.
        let widened = before.with(&request.topics.signals) != before;
        self.join_with_snapshot(client, &request, Some(filled && !widened));
        Ok(())
    }

    fn unsubscribe(&mut self, client: &Client, data: &Value) {
        self.join_everything(client);
        let request = SubscriptionRequest::parse(data, &self.gateway.instruments).without_user();
        for fault in &request.faults {
            answer(client, "error", fault);
        }
        let gateway = self.gateway.clone();
        gateway.hub.with_snapshot(|snapshot| {
            let rest = client.topics().without(&request.topics);
            self.set_signals(&rest.signals, snapshot.position().seq);
            client.set_topics(rest);
        });
        answer(client, "unsubscribed", &request.unsubscribed());
    }

    fn authenticate(&mut self, client: &mut Client, frame: &Value) -> Result<(), Close> {
        let token = frame.get("token").and_then(Value::as_str).unwrap_or_default();
        match self.gateway.tokens.ingest(Some(token)) {
            Ok(holder) => {
                if let Some(holder) = holder {
                    client.log_in(self.gateway.log_in(holder).map_err(|_| Close::TooMany)?);
                }
                (self.may_push, self.may_read) = (true, true);
                client.answer(encode(&serde_json::json!({ "success": true, "message": "Authenticated" })));
                Ok(())
            }
            Err(error) => {
                self.gateway.metrics.reject("push", "unauthorized");
                client.answer(encode(&client.token_fault(TokenKind::Ingest, error)));
                Err(Close::Policy)
            }
        }
    }

    async fn push(&self, client: &Client, kind: &str, frame: &Value) {
        let data = frame.get("data").or_else(|| frame.get("payload")).unwrap_or(frame);
        if !self.may_push {
            let refusal =
                fault("unauthorized", "send {\"type\":\"auth\",\"token\":\"…\"} with ORION_INGEST_TOKEN first");
            client.answer(encode(&refusal));
            return;
        }
        if let Err(refused) = self.gateway.tokens.count_push() {
            self.gateway.metrics.reject_too_fast();
            client.answer(encode(&fault(TOO_FAST.0, refused.to_string())));
            return;
        }
        let push = &self.gateway.push;
        let frame = match kind {
            "signal" => push.signal(data).await.map(|answer| encode(&answer)),
            "event" => push.events(|now| self.gateway.published.read(data, now)).await.map(|answer| encode(&answer)),
            _ => push.prices(data).await.map(|answer| encode(&answer)),
        };
        client.answer(frame.unwrap_or_else(|error| encode(&error.body())));
    }
}

impl Protocol for OrionProtocol {
    fn endpoint(&self) -> &'static str {
        self.endpoint
    }

    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        if self.endpoint == PUSHER {
            return Ok(());
        }
        for fault in std::mem::take(&mut self.query_faults) {
            answer(client, "error", &fault);
        }
        let request = self.everything();
        match self.since.take() {
            None => return self.wait_for_subscribe(client).await,
            Some(since) => match resume::reachable(&since, &self.gateway.hub.position()) {
                Some(seq) => return self.catch_up(client, seq, &request).await,
                None => self.join_with_snapshot(client, &request, Some(false)),
            },
        }
        Ok(())
    }

    fn encoding(&self) -> Option<Slot> {
        Some(EVENTS)
    }

    fn may_push(&self) -> bool {
        self.may_push
    }

    /// Shortens the wait once the ping is answered, so that network latency does not count: a message that the client
    /// sends on opening arrives together with the pong.
    fn on_receipt(&mut self, receipt: u64) {
        if let Some(waiting) = self.waiting.as_mut().filter(|_| receipt == OPENING_PING) {
            waiting.until = waiting.until.min(Instant::now() + FIRST_SUBSCRIBE_WAIT);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.until)
    }

    fn on_deadline(&mut self, client: &mut Client) {
        self.join_everything(client);
    }

    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let Ok(frame) = parse_json(text.as_bytes()) else {
            answer(client, "error", &fault("invalid_json", malformed(text)));
            return Ok(());
        };
        let kind = frame.get("type").and_then(Value::as_str);
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

/// Returns the error for a frame that is not JSON.
fn malformed(text: &str) -> String {
    const ONE_OBJECT: &str = "a frame is one JSON object";
    match MalformedBody::of(text.as_bytes()).filter(|_| text.trim_start().starts_with('{')) {
        Some(malformed) => format!("{ONE_OBJECT}: {}", malformed.remedy),
        None => ONE_OBJECT.to_owned(),
    }
}

fn answer<T: serde::Serialize>(client: &Client, kind: &'static str, fields: &T) {
    client.answer(encode(&Typed { kind, fields }));
}
