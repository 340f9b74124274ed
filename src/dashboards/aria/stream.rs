//! ARIA PRO's protocol on `/ws`, and the reports for its performance page on `/monitoring/ws/performance`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::Utf8Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{AUTHORIZATION, ORIGIN, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::PRICES;
use super::catch_up::{CatchUp, Delivered, PingReceipt, TrackedConnection};
use super::wire::{self, ChannelSet};
use crate::domain::{Audience, Class, Event, RelayedMessage, iso};
use crate::hub::{Audiences, Envelope, Outbox, Snapshot, Topics};
use crate::pipeline::clock;
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::command::short;
use crate::transport::lane::Slot;
use crate::transport::resume::Gone;
use crate::transport::ws::{Client, Handshake, Protocol};

const DESK: &str = "/ws";
const PERFORMANCE: &str = "/monitoring/ws/performance";

/// Close codes of a client that does not reconnect: a panel was removed, or the page was left. After any other code its
/// hook connects again.
const FINAL_CODES: [u16; 2] = [1000, 1001];
/// Name of ARIA's own header for the token.
pub(super) const TOKEN_HEADER: &str = "X-ARIA-TOKEN";
/// Largest payload that `echo` returns, in bytes.
const MAX_ECHO: usize = 4 * 1024;
/// Time between two reports of the server's own state.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// What the streams share.
type StreamState = (Arc<Gateway>, Arc<CatchUp>);

/// Routes of the streams.
pub(super) fn routes(gateway: Arc<Gateway>, catch_up: Arc<CatchUp>) -> Router {
    Router::new()
        .route(DESK, get(trading_desk))
        .route("/ws/", get(trading_desk))
        .route(PERFORMANCE, get(performance))
        .with_state((gateway, catch_up))
}

/// Query parameters of a panel's stream.
#[derive(Debug, Default, Deserialize)]
struct AriaQuery {
    channels: Option<String>,
}

/// Serves `/ws`, where the token may also come in a header of its own.
async fn trading_desk(
    State((gateway, catch_up)): State<StreamState>,
    Query(AriaQuery { channels }): Query<AriaQuery>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let login = match gateway.admit_reader(&headers, &uri, token(&headers)) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let address = handshake.address.map(|address| address.to_string());
    let repeated = [USER_AGENT.as_str(), ORIGIN.as_str(), AUTHORIZATION.as_str(), TOKEN_HEADER];
    let repeated = repeated.map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    let asked = uri.path_and_query().map(PathAndQuery::as_str);
    let key = CatchUp::key([address.as_deref(), asked].into_iter().chain(repeated));
    let protocol = AriaProtocol::new(gateway.clone(), catch_up, channels.as_deref(), key);
    handshake.serve(gateway, login, protocol)
}

async fn performance(
    State((gateway, _)): State<StreamState>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let login = match gateway.admit_reader(&headers, &uri, token(&headers)) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let protocol = PerformancePage::new(gateway.clone());
    handshake.serve(gateway, login, protocol)
}

/// Returns the token of ARIA's own header.
fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get(TOKEN_HEADER)?.to_str().ok()
}

/// One connection of an ARIA page, which opens one for each panel.
#[derive(Debug)]
struct AriaProtocol {
    gateway: Arc<Gateway>,
    catch_up: Arc<CatchUp>,
    id: String,
    channels: ChannelSet,
    /// Key that identifies the client by its handshake, see [`CatchUp`].
    key: u64,
    /// Record of what has reached the client; set when it is open.
    tracked: Option<TrackedConnection>,
    outbox: Arc<Outbox>,
}

impl AriaProtocol {
    /// Creates a client of all channels, or of those in its query. `key` identifies it by its handshake.
    fn new(gateway: Arc<Gateway>, catch_up: Arc<CatchUp>, channels: Option<&str>, key: u64) -> Self {
        let channels = channels.map(|list| ChannelSet::of(ChannelSet::listed(list))).unwrap_or_default();
        let outbox = Arc::new(Outbox::new(gateway.metrics.clone()));
        Self { gateway, catch_up, id: Uuid::new_v4().to_string(), channels, key, tracked: None, outbox }
    }

    /// Handles a message about the connection or its channels, and returns the answer.
    fn answer(&mut self, kind: Option<&str>, frame: &Value) -> Option<Utf8Bytes> {
        let now = clock::wall();
        let named = || ChannelSet::named(frame.get("channels"));
        let answer = match kind {
            Some("ping") => wire::pong(now),
            // Protocol pings need no answer in text; an answer is ignored.
            Some("pong") => return None,
            Some("subscribe") => {
                self.channels.add(named());
                wire::subscription_confirmed(&self.channels, now)
            }
            Some("unsubscribe") => {
                self.channels.remove(named());
                wire::subscription_updated(&self.channels, now)
            }
            Some("set_subscriptions") => {
                self.channels = ChannelSet::of(named());
                wire::subscription_updated(&self.channels, now)
            }
            Some("whoami") => wire::identity(&self.id, &self.channels, now),
            Some("echo") => {
                let payload = frame.get("payload").unwrap_or(&Value::Null);
                if payload.to_string().len() > MAX_ECHO {
                    wire::error("too_large", &format!("echo sends back up to {MAX_ECHO} bytes"), now)
                } else {
                    wire::echo(payload, now)
                }
            }
            Some(other) => wire::error("unknown_type", &format!("unknown type '{}'", short(other)), now),
            None => wire::error("invalid_message", "a frame is an object with a type", now),
        };
        Some(answer)
    }
}

impl Protocol for AriaProtocol {
    fn endpoint(&self) -> &'static str {
        DESK
    }

    /// A client of all channels shares the prices. What has to be confirmed comes through its outbox.
    fn encoding(&self) -> Option<Slot> {
        self.channels.is_all().then_some(PRICES)
    }

    fn outbox(&self) -> Option<&Arc<Outbox>> {
        Some(&self.outbox)
    }

    /// Sends the welcome, the current states, and what is younger than `aria.catch_up` and has not reached this client;
    /// then live events. Pages cannot ask for missed events, and the panels show everything they get as new.
    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        client.write([wire::welcome(&self.id, &self.channels, clock::wall())]).await?;
        let for_all = |published: &RelayedMessage| published.audience == Audience::All;
        let catch_up = &self.catch_up;
        let (tracked, reached) = catch_up.join(self.key, &self.outbox).await;
        self.gateway.hub.with_snapshot(|snapshot| {
            client.put(snapshot.prices(|_| true));
            client.put(snapshot.states(for_all));
            let (missed, delivered) = missed(snapshot, reached.unwrap_or_default(), catch_up.window());
            client.put(missed);
            client.set_topics(Topics::public());
            tracked.start_at(delivered);
        });
        self.tracked = Some(tracked);
        Ok(())
    }

    fn delivery_probe(&self, publication: &Envelope) -> Option<u64> {
        if !wire::is_sent(publication.event()) {
            return None;
        }
        let receipt = match publication.event() {
            Event::Signal(_) => PingReceipt::Signal(publication.seq()?),
            Event::RelayedMessage(published) if published.kind.class() == Class::Ordered => {
                PingReceipt::Message(published.seq)
            }
            _ => return None,
        };
        Some(receipt.encode())
    }

    fn on_receipt(&mut self, receipt: u64) {
        if let Some(tracked) = &mut self.tracked {
            tracked.confirm(receipt);
        }
    }

    fn on_close(&mut self, code: Option<u16>) {
        if let Some(tracked) = &mut self.tracked
            && code.is_none_or(|code| FINAL_CODES.contains(&code))
        {
            tracked.leave();
        }
    }

    fn encode(&mut self, publication: &Arc<Envelope>, frames: &mut Vec<Utf8Bytes>) {
        if let (Some(receipt), Some(tracked)) = (self.delivery_probe(publication), &mut self.tracked) {
            tracked.write(receipt);
        }
        if self.channels.is_all() {
            frames.extend_from_slice(wire::frames(publication));
            return;
        }
        let symbol = wire::symbol(publication.event());
        let wanted = wire::messages(publication).filter(|(kind, _)| self.channels.contain(kind, symbol.as_deref()));
        frames.extend(wanted.map(|(_, frame)| frame.clone()));
    }

    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let had_all = self.channels.is_all();
        let answer = match serde_json::from_str::<Value>(text) {
            Ok(frame) => self.answer(frame.get("type").and_then(Value::as_str), &frame),
            Err(_) => Some(wire::error("invalid_json", "a frame is one JSON object", clock::wall())),
        };
        if had_all && !self.channels.is_all() {
            self.gateway.hub.with_snapshot(|_| client.stop_sharing(Topics::public()));
        }
        if let Some(answer) = answer {
            client.answer(answer);
        }
        Ok(())
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.gateway.heartbeat.app_ping)
    }

    fn on_interval(&mut self, client: &mut Client) {
        client.answer(wire::ping(clock::wall()));
    }
}

/// Returns the events after `reached` that are younger than `window`, in the order in which they were published, and
/// the position before the first of them.
fn missed(snapshot: &Snapshot, reached: Delivered, window: Duration) -> (Vec<Arc<Envelope>>, Delivered) {
    let is_told = |publication: &Arc<Envelope>| publication.age() < window && wire::is_sent(publication.event());
    let mut signals = snapshot.signals_younger(reached.signals, window).filter(|p| is_told(p)).cloned().peekable();
    let (mut messages, _) = snapshot.messages_after(&Audiences::everybody(), reached.messages);
    messages.retain(is_told);
    let before = |first: u64| first.saturating_sub(1);
    let delivered = Delivered {
        signals: signals.peek().and_then(|first| first.seq()).map_or(snapshot.position().seq, before),
        messages: messages
            .first()
            .and_then(|first| first.published())
            .map_or(snapshot.last_message(), |m| before(m.seq)),
    };
    let mut missed: Vec<_> = signals.chain(messages).collect();
    missed.sort_by_key(|publication| publication.born());
    (missed, delivered)
}

/// A performance page: gets reports of the server's own state, and nothing else.
#[derive(Debug)]
struct PerformancePage {
    gateway: Arc<Gateway>,
}

impl PerformancePage {
    fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }

    fn report(&self) -> Utf8Bytes {
        wire::system_metrics(self.gateway.metrics.process.usage(), &iso(clock::wall()))
    }
}

impl Protocol for PerformancePage {
    fn endpoint(&self) -> &'static str {
        PERFORMANCE
    }

    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        client.answer(self.report());
        Ok(())
    }

    /// The page's hook also sends pings here.
    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let frame = serde_json::from_str::<Value>(text).unwrap_or_default();
        if frame.get("type").and_then(Value::as_str) == Some("ping") {
            client.answer(wire::pong(clock::wall()));
        }
        Ok(())
    }

    fn interval(&self) -> Option<Duration> {
        Some(REPORT_INTERVAL)
    }

    fn on_interval(&mut self, client: &mut Client) {
        client.answer(self.report());
    }
}
