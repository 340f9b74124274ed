//! The stream of one user of the bot platform. Its frames are the same over WebSocket and as server-sent events.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Uri};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::pages::{Arrival, Browser, Pages};
use super::publish;
use super::wire::{self, Closing, Mode, ServerState};
use crate::auth::Principal;
use crate::dashboards::bots::types;
use crate::domain::{Class, Position};
use crate::hub::{Audiences, Envelope, Outbox, Snapshot, Topics};
use crate::pipeline::clock;
use crate::telemetry::STORE;
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::cursor::MessageCursor;

/// Time between two frames with all prices, the same as in the platform's own back end.
const PRICES_INTERVAL: Duration = Duration::from_secs(5);
/// Time between two frames with the server's own state.
const HEALTH_INTERVAL: Duration = Duration::from_secs(30);

/// Frames with all prices, encoded once for all clients that are due at about the same time.
#[derive(Debug, Default)]
struct PriceFrames(Mutex<Option<(Instant, [Utf8Bytes; 2])>>);

impl PriceFrames {
    /// How long encoded frames are shared.
    const SHARED_FOR: Duration = Duration::from_secs(1);

    fn get(&self, make: impl FnOnce() -> [Utf8Bytes; 2]) -> [Utf8Bytes; 2] {
        let mut last = self.0.lock();
        match &*last {
            Some((made, frames)) if made.elapsed() < Self::SHARED_FOR => frames.clone(),
            _ => last.insert((Instant::now(), make())).1.clone(),
        }
    }
}

/// What all streams share.
#[derive(Debug)]
pub(super) struct StreamState {
    pub(super) gateway: Arc<Gateway>,
    /// The pages, and which messages have reached them.
    pages: Arc<Pages>,
    price_frames: PriceFrames,
}

impl StreamState {
    pub(super) fn new(gateway: Arc<Gateway>, pages: Arc<Pages>) -> Self {
        Self { gateway, pages, price_frames: PriceFrames::default() }
    }

    /// Returns what the server knows about itself.
    fn server_state(&self) -> ServerState {
        let readiness = &self.gateway.readiness;
        ServerState {
            healthy: readiness.reasons().is_empty(),
            database: !readiness.suffers(STORE),
            usage: self.gateway.metrics.process.usage(),
        }
    }
}

/// Where a stream starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum StreamStart<'a> {
    /// With live messages.
    Live,
    /// After the cursor that the client presents.
    Cursor(&'a str),
    /// After this message, the last that has reached the page.
    After(u64),
}

/// The stream of one user.
#[derive(Debug)]
pub(super) struct UserFeed {
    state: Arc<StreamState>,
    user: Arc<str>,
    audiences: Audiences,
    /// Log that the sequence numbers of messages refer to.
    log: Position,
    mode: Mode,
    prices_due: Instant,
    health_due: Instant,
}

impl UserFeed {
    pub(super) fn new(state: Arc<StreamState>, identity: &Principal, mode: Mode) -> Self {
        let audiences = Audiences::of_user(identity.user.clone(), identity.admin);
        let (log, now) = (state.gateway.hub.position(), Instant::now());
        Self { state, user: identity.user.clone(), audiences, log, mode, prices_due: now, health_due: now }
    }

    /// Returns what the user gets.
    pub(super) fn topics(&self) -> Topics {
        Topics { published: self.audiences.clone(), ..Topics::default() }
    }

    /// Puts the current states and the missed messages into the outbox, and joins it to live events. Calls `begin` with
    /// the number of the last message so far. Returns the frame that comes before all of these.
    pub(super) fn join(&self, outbox: &Arc<Outbox>, start: StreamStart<'_>, begin: impl FnOnce(u64)) -> Utf8Bytes {
        let (begins, recovered) = self.state.gateway.hub.with_snapshot(|snapshot| {
            self.state.gateway.fanout.settle_outbox(outbox);
            for audience in self.audiences.each() {
                let states =
                    publish::TYPES.iter().map(|declared| declared.kind).filter(|kind| kind.class() == Class::State);
                // The server's own state has a schedule of its own.
                for kind in states.filter(|kind| *kind != types::SYSTEM_HEALTH) {
                    outbox.put(snapshot.states_of(&audience, kind).cloned());
                }
            }
            let mut begins = head(snapshot);
            begin(begins.seq);
            let missed = match start {
                StreamStart::Live => None,
                StreamStart::Cursor(since) => Some(self.missed(snapshot, since)),
                StreamStart::After(seq) => Some(self.messages_after(snapshot, seq)),
            };
            // A page that presents no cursor and has missed nothing is not told about a recovery.
            let missed = missed
                .filter(|(missed, whole)| matches!(start, StreamStart::Cursor(_)) || !missed.is_empty() || !whole);
            let recovered = missed.map(|(missed, whole)| {
                // The cursor points before the missed messages, in case the client is disconnected in the middle of
                // them.
                let first = missed.first().and_then(|first| first.published()).map(|first| first.seq - 1);
                begins.seq = first.unwrap_or(begins.seq);
                outbox.put(missed);
                whole
            });
            outbox.set_topics(self.topics());
            (begins, recovered)
        });
        wire::connected(&self.user, self.mode, &begins, recovered, clock::wall())
    }

    /// Puts all retained messages after `since` into the outbox again, and the frame that ends the replay.
    pub(super) fn replay(&self, outbox: &Arc<Outbox>, since: &str) {
        self.state.gateway.hub.with_snapshot(|snapshot| {
            self.state.gateway.fanout.settle_outbox(outbox);
            let (missed, whole) = self.missed(snapshot, since);
            let count = missed.len();
            outbox.put(missed);
            outbox.answer(wire::replayed(count, &head(snapshot), whole, clock::wall()));
        });
    }

    /// Returns the retained ordered messages after `since`, and whether these are all. After a cursor that does not
    /// belong to this log, these are all retained messages.
    fn missed(&self, snapshot: &Snapshot, since: &str) -> (Vec<Arc<Envelope>>, bool) {
        let cursor = MessageCursor::parse(since).ok();
        let known = cursor.and_then(|cursor| cursor.place(snapshot.position(), snapshot.last_message()));
        let (missed, whole) = self.messages_after(snapshot, known.unwrap_or(0));
        (missed, whole && known.is_some())
    }

    /// Returns the retained ordered messages of this platform after `seq`, and whether these are all.
    fn messages_after(&self, snapshot: &Snapshot, seq: u64) -> (Vec<Arc<Envelope>>, bool) {
        let (mut messages, whole) = snapshot.messages_after(&self.audiences, seq);
        messages.retain(|it| it.published().is_some_and(|message| publish::is_read(message.kind)));
        (messages, whole)
    }

    /// Registers a connection of this user without a cursor, and finds where it resumes.
    pub(super) async fn arrive(&self, browser: Browser) -> Arrival {
        let misses =
            |seq| self.state.gateway.hub.with_snapshot(|snapshot| !self.messages_after(snapshot, seq).0.is_empty());
        self.state.pages.arrive(&self.user, browser, misses).await
    }

    /// Returns the current states of this user's bots.
    pub(super) fn bots(&self) -> Vec<Arc<Envelope>> {
        let of =
            |snapshot: &Snapshot, audience| snapshot.states_of(&audience, types::BOTS).cloned().collect::<Vec<_>>();
        self.state
            .gateway
            .hub
            .with_snapshot(|snapshot| self.audiences.each().flat_map(|audience| of(snapshot, audience)).collect())
    }

    /// Returns the frames of an event of this platform: the first one is for every client, a second one for the
    /// dashboard's own socket.
    pub(super) fn frames<'a>(&self, publication: &'a Arc<Envelope>) -> Cow<'a, [Utf8Bytes]> {
        let Some(message) = publication.published() else { return Cow::Borrowed(&[]) };
        if message.kind == types::SYSTEM_HEALTH {
            return Cow::Owned(vec![self.health(clock::wall())]);
        }
        let hub = &self.state.gateway.hub;
        let history =
            || hub.with_snapshot(|snapshot| snapshot.messages_after(&Audiences::only(&message.audience), 0).0);
        let bot = || {
            let audiences = Audiences { all: true, ..Audiences::only(&message.audience) };
            hub.with_snapshot(|snapshot| wire::Bot::of_trade(snapshot, &audiences, message))
        };
        Cow::Borrowed(wire::frames(publication, &self.log, history, bot))
    }

    /// Returns the cursor of an ordered message. States have no cursor: they may overtake ordered messages, and a
    /// client that resumed after a state would skip messages that it has not received.
    pub(super) fn cursor(&self, publication: &Envelope) -> Option<MessageCursor> {
        let message = publication.published().filter(|message| message.kind.class() == Class::Ordered)?;
        Some(MessageCursor::new(&self.log, message.seq))
    }

    /// How often [`due`](Self::due) has to be called.
    pub(super) const INTERVAL: Duration = PRICES_INTERVAL;

    /// Returns the periodic frames that are due: at once after joining, then every few seconds.
    pub(super) fn due(&mut self) -> Vec<Utf8Bytes> {
        let (now, mut frames) = (Instant::now(), Vec::new());
        if self.prices_due <= now {
            self.prices_due = now + PRICES_INTERVAL;
            frames.extend(self.prices());
        }
        if self.health_due <= now {
            self.health_due = now + HEALTH_INTERVAL;
            frames.push(self.health(clock::wall()));
        }
        frames
    }

    fn prices(&self) -> [Utf8Bytes; 2] {
        self.state.price_frames.get(|| {
            let prices = self.state.gateway.hub.prices();
            wire::prices(prices.iter().map(AsRef::as_ref), &self.state.gateway.instruments, clock::wall())
        })
    }

    fn health(&self, now: DateTime<Utc>) -> Utf8Bytes {
        let published: Vec<_> = self.state.gateway.hub.with_snapshot(|snapshot| {
            let of = |audience| snapshot.states_of(&audience, types::SYSTEM_HEALTH).cloned().collect::<Vec<_>>();
            self.audiences.each().flat_map(of).collect()
        });
        let state = self.state.server_state();
        wire::health_frame(&state, published.iter().filter_map(|publication| publication.published()), now)
    }

    /// Returns the last frame before the server closes the connection.
    pub(super) fn closing_frame(&self, close: Close) -> Utf8Bytes {
        wire::disconnected(self.mode, closing(close), clock::wall())
    }
}

/// Returns the cursor that a request presents: under the name of the platform's back end, of this server, or of
/// browsers.
pub(super) fn cursor_of_request(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
    let named = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let header = || headers.get("last-event-id")?.to_str().ok().map(str::to_owned);
    // A browser that reconnects on its own still uses the first URL, so the header is newer.
    let cursor = header().or_else(|| named("last_event_id")).or_else(|| named("since"));
    cursor.filter(|cursor| !cursor.is_empty())
}

/// Returns the cursor that a frame presents.
pub(super) fn cursor_of_frame(frame: &Value) -> Option<String> {
    let fields = ["last_sequence", "last_event_id", "since"];
    let cursor = fields.iter().find_map(|name| frame.get(name).filter(|value| !value.is_null()))?;
    MessageCursor::read(cursor).ok().map(|cursor| cursor.to_string())
}

fn head(snapshot: &Snapshot) -> MessageCursor {
    MessageCursor::new(snapshot.position(), snapshot.last_message())
}

/// Returns why the connection ends, in this platform's terms.
fn closing(close: Close) -> Closing {
    let (code, message) = match close {
        Close::Expired => ("TOKEN_EXPIRED", "the token has expired: log in again"),
        Close::Revoked => ("TOKEN_REVOKED", "the token was revoked: log in again"),
        Close::Restart => ("RESTARTING", "the server restarts: connect again"),
        Close::TooSlow => ("TOO_SLOW", "this client reads too slowly: connect again"),
        other => ("CLOSED", other.reason()),
    };
    Closing { code, message }
}
