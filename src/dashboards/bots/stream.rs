//! The bot platform's protocol on `/api/ws`: a user gets all their messages without subscribing.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::Utf8Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, Uri};
use serde_json::Value;
use tokio::time::Instant;

use super::STREAM;
use super::feed::{StreamStart, StreamState, UserFeed, cursor_of_frame, cursor_of_request};
use super::pages::{Browser, PageConnection};
use super::publish;
use super::wire::{self, Mode};
use crate::domain::Class;
use crate::hub::{Envelope, Outbox};
use crate::pipeline::clock;
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::command::short;
use crate::transport::pace::TOO_FAST;
use crate::transport::resume::Gone;
use crate::transport::socketio::Rewritten;
use crate::transport::ws::{Client, Handshake, Protocol};

/// Trades buffered until the reader is known: as many as the page shows.
const MAX_BUFFERED: usize = 50;
/// The event bus answers at once. A client that has not answered the opening ping by then is taken for the dashboard.
const BUS_TIMEOUT: Duration = Duration::from_secs(3);
/// Number of the protocol ping that follows the opening ping. Its answer shows that the opening ping has arrived. No
/// message has this number.
const OPENING_PING: u64 = 0;

/// Routes of the stream.
pub(super) fn routes(state: Arc<StreamState>) -> Router {
    Router::new().route(STREAM, get(handshake)).route("/api/ws/", get(handshake)).with_state(state)
}

/// Handles `GET /api/ws?token=`. A request for `/api/ws&token=` has been rewritten to this form before.
async fn handshake(
    State(state): State<Arc<StreamState>>,
    in_path: Option<Extension<Rewritten>>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let gateway = state.gateway.clone();
    let (login, principal) = match gateway.admit_user(&headers, &uri) {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.into_response(),
    };
    let feed = UserFeed::new(state, &principal, Mode::WebSocket);
    let browser = Browser::of(&headers, handshake.address, in_path.is_some());
    let reader = if in_path.is_some() { PageClient::Dashboard } else { PageClient::Unknown };
    let protocol = BotsProtocol::new(&gateway, feed, cursor_of_request(&headers, &uri), browser, reader);
    handshake.serve(gateway, Some(login), protocol)
}

/// Which of a page's two clients is connected. Their handshakes are the same, and one release of the event bus would
/// show the dashboard's form of a trade as a second trade. A client that answers the opening ping is the bus; a client
/// that has received it and sends `ping` itself is the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageClient {
    Unknown,
    /// The event bus: it gets the common form of each message.
    Bus,
    /// The dashboard's own socket: it also gets the forms that only it reads. The first release of the bus, which is
    /// recognized by its address, gets and ignores them too.
    Dashboard,
}

/// The connection of one page of the bot platform.
#[derive(Debug)]
struct BotsProtocol {
    gateway: Arc<Gateway>,
    feed: UserFeed,
    outbox: Arc<Outbox>,
    since: Option<String>,
    browser: Browser,
    /// For a client without a cursor: tracks what has reached its page.
    page: Option<PageConnection>,
    confirmed: u64,
    reader: PageClient,
    /// Whether the opening ping has arrived.
    ping_arrived: bool,
    opened: Instant,
    /// Trades whose second form waits until the reader is known.
    buffered: VecDeque<Arc<Envelope>>,
    /// Numbers of the messages of which only the second form is being written.
    released: BTreeSet<u64>,
    ping_due: Instant,
    /// Whether the last ping has not been answered. A missing pong is only counted: one of the two clients never sends
    /// any.
    unanswered: bool,
}

impl BotsProtocol {
    fn new(
        gateway: &Arc<Gateway>,
        feed: UserFeed,
        since: Option<String>,
        browser: Browser,
        reader: PageClient,
    ) -> Self {
        let opened = Instant::now();
        Self {
            gateway: gateway.clone(),
            feed,
            outbox: Arc::new(Outbox::new(gateway.metrics.clone())),
            since,
            browser,
            page: None,
            confirmed: 0,
            reader,
            ping_arrived: false,
            opened,
            buffered: VecDeque::new(),
            released: BTreeSet::new(),
            ping_due: opened + gateway.heartbeat.app_ping,
            unanswered: false,
        }
    }

    fn ping(&mut self, client: &Client) {
        let now = Instant::now();
        if self.ping_due > now {
            return;
        }
        self.ping_due = now + self.gateway.heartbeat.app_ping;
        if std::mem::replace(&mut self.unanswered, true) {
            self.gateway.metrics.pongs_missing_total.inc();
        }
        client.answer(wire::ping(clock::wall()));
    }

    /// Marks the client as the event bus, and drops what was buffered for the dashboard.
    fn set_bus(&mut self) {
        self.reader = PageClient::Bus;
        self.buffered.clear();
        self.confirm_received();
    }

    /// Marks the client as the dashboard, and sends it the buffered forms and the state of its bots.
    fn set_dashboard(&mut self, client: &Client) {
        self.reader = PageClient::Dashboard;
        let buffered = std::mem::take(&mut self.buffered);
        self.released.extend(buffered.iter().filter_map(|publication| number(publication)));
        client.put(buffered.into_iter().chain(self.feed.bots()));
    }

    /// Buffers the second form of a trade until the reader is known.
    fn buffer(&mut self, publication: &Arc<Envelope>) {
        if self.buffered.len() == MAX_BUFFERED {
            self.buffered.pop_front();
            self.gateway.metrics.dropped_total.with_label_values(&["held_trades"]).inc();
        }
        self.buffered.push_back(publication.clone());
    }

    /// Confirms what the client has received, up to the first message of which a form is still missing.
    fn confirm_received(&mut self) {
        let buffered = self.buffered.front().and_then(|publication| number(publication));
        let first = buffered.into_iter().chain(self.released.first().copied()).min();
        let confirmed = first.map_or(self.confirmed, |first| self.confirmed.min(first.saturating_sub(1)));
        if let Some(page) = &mut self.page {
            page.confirm(confirmed);
        }
    }
}

/// Returns the number of an ordered message of this platform.
fn number(publication: &Envelope) -> Option<u64> {
    let message = publication.published()?;
    (message.kind.class() == Class::Ordered && publish::is_read(message.kind)).then_some(message.seq)
}

impl Protocol for BotsProtocol {
    fn endpoint(&self) -> &'static str {
        STREAM
    }

    fn outbox(&self) -> Option<&Arc<Outbox>> {
        Some(&self.outbox)
    }

    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        let (since, mut page) = (self.since.take(), None);
        let hello = match &since {
            Some(since) => self.feed.join(&self.outbox, StreamStart::Cursor(since), |_| ()),
            None => {
                let arrival = self.feed.arrive(self.browser).await;
                let start = arrival.after().map_or(StreamStart::Live, StreamStart::After);
                self.feed.join(&self.outbox, start, |last| page = Some(arrival.open(last)))
            }
        };
        self.page = page;
        client.count(&self.feed.topics());
        // The answer shows which client is connected.
        let ping = (self.reader == PageClient::Unknown).then(|| wire::ping(clock::wall()));
        self.opened = Instant::now();
        client.write(std::iter::once(hello).chain(self.feed.due()).chain(ping)).await?;
        client.ping(OPENING_PING).await
    }

    fn encode(&mut self, publication: &Arc<Envelope>, frames: &mut Vec<Utf8Bytes>) {
        let number = number(publication);
        if let (Some(page), Some(number)) = (&mut self.page, number) {
            page.write(number);
        }
        let forms = self.feed.frames(publication);
        // States are not buffered: they are sent again when the reader is known.
        let is_held = self.reader == PageClient::Unknown && forms.len() > 1 && number.is_some();
        let is_released = number.is_some_and(|number| match &self.page {
            Some(_) => self.released.contains(&number),
            None => self.released.remove(&number),
        });
        match self.reader {
            _ if is_released => frames.extend(forms.iter().skip(1).cloned()),
            PageClient::Dashboard => frames.extend(forms.iter().cloned()),
            PageClient::Bus | PageClient::Unknown => frames.extend(forms.first().cloned()),
        }
        if is_held {
            self.buffer(publication);
        }
    }

    fn delivery_probe(&self, publication: &Envelope) -> Option<u64> {
        self.page.as_ref().and_then(|_| number(publication))
    }

    fn on_receipt(&mut self, receipt: u64) {
        self.ping_arrived = true;
        self.confirmed = self.confirmed.max(receipt);
        self.released.remove(&receipt);
        self.confirm_received();
    }

    fn on_close(&mut self, code: Option<u16>) {
        // Browsers close with this code when the user leaves or reloads the page.
        if let (Some(page), Some(1001)) = (&mut self.page, code) {
            page.leave();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        (self.reader == PageClient::Unknown).then(|| self.opened + BUS_TIMEOUT)
    }

    fn on_deadline(&mut self, client: &mut Client) {
        self.set_dashboard(client);
    }

    fn interval(&self) -> Option<Duration> {
        Some(UserFeed::INTERVAL.min(self.gateway.heartbeat.app_ping))
    }

    fn on_interval(&mut self, client: &mut Client) {
        for frame in self.feed.due() {
            client.answer(frame);
        }
        self.ping(client);
    }

    fn closing_frame(&self, close: Close) -> Option<Utf8Bytes> {
        Some(self.feed.closing_frame(close))
    }

    fn rate_warning(&self) -> Utf8Bytes {
        wire::error("RATE_LIMITED", TOO_FAST.1, clock::wall())
    }

    async fn on_text(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let now = clock::wall();
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            client.answer(wire::error("INVALID_JSON", "a frame is one JSON object", now));
            return Ok(());
        };
        match frame.get("type").and_then(Value::as_str) {
            Some("ping") => {
                client.answer(wire::pong(frame.get("timestamp"), now));
                if self.reader == PageClient::Unknown && self.ping_arrived {
                    self.set_dashboard(client);
                }
            }
            Some("pong") => {
                self.unanswered = false;
                if !self.browser.in_path() {
                    self.set_bus();
                }
            }
            Some("request_replay") => match cursor_of_frame(&frame) {
                Some(since) => self.feed.replay(&self.outbox, &since),
                None => {
                    let wanted = "last_sequence must be a number, or the cursor of a message";
                    client.answer(wire::error("INVALID_REQUEST", wanted, now));
                }
            },
            Some(other) => {
                let message = format!("unknown type '{}'", short(other));
                client.answer(wire::error("UNKNOWN_TYPE", &message, now));
            }
            None => {
                client.answer(wire::error("INVALID_MESSAGE", "a frame is an object with a type", now));
            }
        }
        Ok(())
    }
}
