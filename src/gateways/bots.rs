//! What one user of the bot platform gets, whichever way it reaches him: the same frames over WebSocket and as
//! server-sent events.

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

use super::Gateway;
use super::close::Close;
use super::cursor::MessageCursor;
use super::dialects::bots::{self, Closing, Mode, ServerState};
use super::pages::{Arrival, Browser};
use crate::auth::Principal;
use crate::domain::{Class, MessageType, Position};
use crate::hub::{Audiences, Envelope, Outbox, Snapshot, Topics};
use crate::pipeline::clock;
use crate::telemetry::STORE;

/// Time between two tellings of all prices: what the platform's own back end does.
const PRICES_INTERVAL: Duration = Duration::from_secs(5);
/// Time between two tellings of the server's own state.
const HEALTH_INTERVAL: Duration = Duration::from_secs(30);

/// All prices as they go out, made once for everybody who is due at about the same time.
#[derive(Debug, Default)]
pub struct PriceFrames(Mutex<Option<(Instant, [Utf8Bytes; 2])>>);

impl PriceFrames {
    /// Frames are shared for this long.
    const FRESH: Duration = Duration::from_secs(1);

    fn get(&self, make: impl FnOnce() -> [Utf8Bytes; 2]) -> [Utf8Bytes; 2] {
        let mut last = self.0.lock();
        match &*last {
            Some((made, frames)) if made.elapsed() < Self::FRESH => frames.clone(),
            _ => last.insert((Instant::now(), make())).1.clone(),
        }
    }
}

/// From where a stream goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    /// From now on.
    Live,
    /// After the place that the client presents.
    Cursor(&'a str),
    /// After the last message that has reached the page.
    After(u64),
}

/// One user's stream.
#[derive(Debug)]
pub(super) struct Feed {
    gateway: Arc<Gateway>,
    user: Arc<str>,
    audiences: Audiences,
    /// Which log the numbers of messages are of.
    log: Position,
    mode: Mode,
    prices_due: Instant,
    health_due: Instant,
}

impl Feed {
    pub(super) fn new(gateway: Arc<Gateway>, identity: &Principal, mode: Mode) -> Self {
        let audiences = Audiences::of_user(identity.user.clone(), identity.admin);
        let (log, now) = (gateway.hub.position(), Instant::now());
        Self { gateway, user: identity.user.clone(), audiences, log, mode, prices_due: now, health_due: now }
    }

    /// Puts the states as they are, and what was missed, into the outbox, and joins it to what is live; `begin` is told the number
    /// of the last message so far. Returns the frame that comes before all of it.
    pub(super) fn join(&self, outbox: &Outbox, start: Start<'_>, begin: impl FnOnce(u64)) -> Utf8Bytes {
        let (begins, recovered) = self.gateway.hub.with_snapshot(|present| {
            for audience in self.audiences.each() {
                let states = bots::KINDS.into_iter().filter(|kind| kind.class() == Class::State);
                // The server's own state has its own time.
                for kind in states.filter(|kind| *kind != MessageType::SystemHealth) {
                    outbox.put(present.states_of(&audience, kind).cloned());
                }
            }
            let mut begins = head(present);
            begin(begins.seq);
            let missed = match start {
                Start::Live => None,
                Start::Cursor(since) => Some(self.missed(present, since)),
                Start::After(seq) => Some(self.messages_after(present, seq)),
            };
            // A page that presents nothing and has missed nothing has nothing to be told.
            let missed =
                missed.filter(|(missed, whole)| matches!(start, Start::Cursor(_)) || !missed.is_empty() || !whole);
            let recovered = missed.map(|(missed, whole)| {
                // A client that is cut in the middle of what it missed must not take itself for further than that.
                let first = missed.first().and_then(|first| first.published()).map(|first| first.seq - 1);
                begins.seq = first.unwrap_or(begins.seq);
                outbox.put(missed);
                whole
            });
            outbox.set_topics(Topics { published: self.audiences.clone(), ..Topics::default() });
            (begins, recovered)
        });
        bots::connected(&self.user, self.mode, &begins, recovered, clock::wall())
    }

    /// Puts everything that is kept after `since` into the outbox once more, and the end of it.
    pub(super) fn replay(&self, outbox: &Outbox, since: &str) {
        self.gateway.hub.with_snapshot(|present| {
            let (missed, whole) = self.missed(present, since);
            let count = missed.len();
            outbox.put(missed);
            outbox.answer(bots::replayed(count, &head(present), whole, clock::wall()));
        });
    }

    /// The ordered messages after `since` that are kept, and whether these are all. Of a place that this log does not know,
    /// everything that is kept comes.
    fn missed(&self, present: &Snapshot, since: &str) -> (Vec<Arc<Envelope>>, bool) {
        let cursor = MessageCursor::parse(since).ok();
        let known = cursor.and_then(|cursor| cursor.place(present.position(), present.last_message()));
        let (missed, whole) = self.messages_after(present, known.unwrap_or(0));
        (missed, whole && known.is_some())
    }

    /// The ordered messages of this platform after `seq` that are kept, and whether these are all.
    fn messages_after(&self, present: &Snapshot, seq: u64) -> (Vec<Arc<Envelope>>, bool) {
        let (mut messages, whole) = present.messages_after(&self.audiences, seq);
        messages.retain(|it| it.published().is_some_and(|message| bots::KINDS.contains(&message.kind)));
        (messages, whole)
    }

    /// A connection of this user without a cursor: whose place it takes, and from where it goes on.
    pub(super) async fn arrive(&self, browser: Browser) -> Arrival {
        let misses = |seq| self.gateway.hub.with_snapshot(|present| !self.messages_after(present, seq).0.is_empty());
        self.gateway.pages.arrive(&self.user, browser, misses).await
    }

    /// The bots of this user as they are.
    pub(super) fn bots(&self) -> Vec<Arc<Envelope>> {
        let of =
            |present: &Snapshot, audience| present.states_of(&audience, MessageType::Bots).cloned().collect::<Vec<_>>();
        self.gateway
            .hub
            .with_snapshot(|present| self.audiences.each().flat_map(|audience| of(present, audience)).collect())
    }

    /// The frames of an event, if it is one of this platform: the first one is for every client, a second one for the dashboard's
    /// own socket.
    pub(super) fn frames<'a>(&self, publication: &'a Arc<Envelope>) -> Cow<'a, [Utf8Bytes]> {
        let Some(message) = publication.published() else { return Cow::Borrowed(&[]) };
        if message.kind == MessageType::SystemHealth {
            return Cow::Owned(vec![self.health(clock::wall())]);
        }
        let hub = &self.gateway.hub;
        let history = || hub.with_snapshot(|present| present.messages_after(&Audiences::only(&message.audience), 0).0);
        let bot = || {
            let audiences = Audiences { all: true, ..Audiences::only(&message.audience) };
            hub.with_snapshot(|present| bots::Bot::of_trade(present, &audiences, message))
        };
        Cow::Borrowed(bots::frames(publication, &self.log, history, bot))
    }

    /// The cursor of an event, where it has one. Only ordered messages do: a state may overtake them, and a client that
    /// stopped at the state would skip those it has not had.
    pub(super) fn cursor(&self, publication: &Envelope) -> Option<MessageCursor> {
        let message = publication.published().filter(|message| message.kind.class() == Class::Ordered)?;
        Some(MessageCursor::new(&self.log, message.seq))
    }

    /// How often [`due`](Self::due) has to be asked.
    pub(super) const BEAT: Duration = PRICES_INTERVAL;

    /// What is due at regular times: at once after joining, then every few seconds.
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
        self.gateway.price_frames.get(|| {
            let prices = self.gateway.hub.prices();
            bots::prices(prices.iter().map(AsRef::as_ref), &self.gateway.instruments, clock::wall())
        })
    }

    fn health(&self, now: DateTime<Utc>) -> Utf8Bytes {
        let published: Vec<_> = self.gateway.hub.with_snapshot(|present| {
            let of = |audience| present.states_of(&audience, MessageType::SystemHealth).cloned().collect::<Vec<_>>();
            self.audiences.each().flat_map(of).collect()
        });
        let state = self.gateway.server_state();
        bots::health_frame(&state, published.iter().filter_map(|publication| publication.published()), now)
    }

    /// What the user is told before we close.
    pub(super) fn farewell(&self, close: Close) -> Utf8Bytes {
        bots::disconnected(self.mode, closing(close), clock::wall())
    }
}

impl Gateway {
    /// What the server knows of itself.
    fn server_state(&self) -> ServerState {
        ServerState {
            healthy: self.readiness.reasons().is_empty(),
            database: !self.readiness.suffers(STORE),
            usage: self.metrics.process.usage(),
        }
    }
}

/// The cursor that a request presents: as the page's back end calls it, as ours does, or as a browser does by itself.
pub(super) fn cursor_of_request(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|query| query.0).unwrap_or_default();
    let named = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let header = || headers.get("last-event-id")?.to_str().ok().map(str::to_owned);
    // A browser that comes back on its own still has the first URL, and the header is newer.
    let cursor = header().or_else(|| named("last_event_id")).or_else(|| named("since"));
    cursor.filter(|cursor| !cursor.is_empty())
}

/// The cursor that a frame presents.
pub(super) fn cursor_of_frame(frame: &Value) -> Option<String> {
    let fields = ["last_sequence", "last_event_id", "since"];
    let cursor = fields.iter().find_map(|name| frame.get(name).filter(|value| !value.is_null()))?;
    MessageCursor::read(cursor).ok().map(|cursor| cursor.to_string())
}

fn head(present: &Snapshot) -> MessageCursor {
    MessageCursor::new(present.position(), present.last_message())
}

/// Why the connection ends, in this platform's words.
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
