//! Server-sent events: the bot platform's stream for pages whose WebSocket does not open.
//!
//! The events have no names, because the page listens to `message` only. Ordered events carry their cursor as `id`, so
//! that a browser that reconnects by itself says where it stopped.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::ws::Utf8Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Uri};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::info;

use super::feed::{StreamStart, StreamState, UserFeed, cursor_of_request};
use super::pages::Browser;
use super::wire::Mode;
use crate::auth::UserSession;
use crate::gateways::Gateway;
use crate::gateways::channels::ChannelSlot;
use crate::gateways::close::Close;
use crate::hub::{Envelope, Membership, Ordered, Outbox, OutboxClosed};
use crate::listener::{KillSwitch, Peer};

const ENDPOINT: &str = "/api/realtime/events";
/// Idle time after which a comment is written, so that no proxy considers the connection dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long the browser waits before it reconnects, in milliseconds.
const RETRY: &str = "retry: 2000\n\n";

/// Route of the endpoint.
pub(super) fn routes(state: Arc<StreamState>) -> Router {
    Router::new().route(ENDPOINT, get(events)).with_state(state)
}

async fn events(
    State(state): State<Arc<StreamState>>,
    connection: Option<Extension<KillSwitch>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let gateway = state.gateway.clone();
    let login = gateway.admit_connection(&headers, true).and_then(|()| gateway.admit_user(&headers, &uri));
    let login = match login {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let place = match gateway.enter("sse", ENDPOINT) {
        Ok(place) => place,
        Err(refusal) => return refusal.into_response(),
    };
    let feed = UserFeed::new(state, login.identity(), Mode::ServerSentEvents);
    let cursor = cursor_of_request(&headers, &uri);
    // A page whose WebSocket does not open any more continues here. What it has shown is not known, so its connection
    // is not tracked: after this stream it polls, until its user reloads it.
    let arrival = match &cursor {
        Some(_) => None,
        None => {
            let address = peer.map(|Extension(peer)| peer.client);
            Some(feed.arrive(Browser::of(&headers, address, false)).await)
        }
    };
    let start = match (&cursor, arrival.and_then(|arrival| arrival.after())) {
        (Some(cursor), _) => StreamStart::Cursor(cursor),
        (None, Some(seq)) => StreamStart::After(seq),
        (None, None) => StreamStart::Live,
    };
    let events = Events::open(gateway, login, place, feed, start);
    if let Some(Extension(connection)) = connection {
        connection.serves(ENDPOINT, Some(Arc::<Outbox>::downgrade(&events.outbox)));
    }
    let body = Body::from_stream(stream::unfold(events, |mut events| async move {
        let chunk = events.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), events))
    }));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
        // Tells proxies to pass on each event at once.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// One event stream, until its client is gone.
struct Events {
    gateway: Arc<Gateway>,
    feed: UserFeed,
    login: UserSession,
    outbox: Arc<Outbox>,
    _membership: Membership,
    _place: ChannelSlot,
    interval: Interval,
    keep_alive: Interval,
    /// The chunk that comes before everything else.
    first: Option<String>,
    since: Instant,
    end: Option<Close>,
}

impl Events {
    fn open(
        gateway: Arc<Gateway>,
        login: UserSession,
        place: ChannelSlot,
        mut feed: UserFeed,
        start: StreamStart<'_>,
    ) -> Self {
        let outbox = Arc::new(Outbox::new(gateway.metrics.clone()));
        let membership = gateway.clients.join(outbox.clone());
        let mut first = RETRY.to_owned();
        for frame in std::iter::once(feed.join(&outbox, start, |_| ())).chain(feed.due()) {
            write(&mut first, None, &frame);
        }
        gateway.metrics.connections.with_label_values(&["sse", ENDPOINT]).inc();
        gateway.metrics.connections_total.with_label_values(&["sse", ENDPOINT]).inc();
        info!(endpoint = ENDPOINT, "event stream opened");
        Self {
            interval: every(UserFeed::INTERVAL),
            keep_alive: every(KEEP_ALIVE),
            gateway,
            feed,
            login,
            outbox,
            _membership: membership,
            _place: place,
            first: Some(first),
            since: Instant::now(),
            end: None,
        }
    }

    /// Returns the next chunk to write; `None` after the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first.into());
        }
        if self.end.is_some() {
            return None;
        }
        let mut chunk = String::new();
        tokio::select! {
            () = self.gateway.draining.cancelled() => self.finish(Close::Restart, &mut chunk),
            () = self.login.end().cancelled() => {
                let close = Close::of_login(self.gateway.tokens.still_good(&self.login));
                self.finish(close, &mut chunk);
            }
            due = self.outbox.due() => match due {
                Ok(batch) => {
                    let delivered = &self.gateway.metrics.deliveries_total;
                    for publication in &batch.states {
                        self.event(&mut chunk, publication);
                    }
                    delivered.with_label_values(&["state", "sse"]).inc_by(batch.states.len() as u64);
                    for ordered in &batch.ordered {
                        match ordered {
                            Ordered::Event(publication) => self.event(&mut chunk, publication),
                            Ordered::Frame(frame) => write(&mut chunk, None, frame),
                            Ordered::Ping(_) => {}
                        }
                    }
                    delivered.with_label_values(&["ordered", "sse"]).inc_by(batch.ordered.len() as u64);
                }
                Err(OutboxClosed { waiting, behind }) => {
                    let seconds_behind = behind.as_secs_f64();
                    info!(endpoint = ENDPOINT, waiting, seconds_behind, "an event stream is too slow: cut, to come back and catch up");
                    self.gateway.metrics.cut_slow("sse", behind);
                    self.finish(Close::TooSlow, &mut chunk);
                }
            },
            _ = self.interval.tick() => {
                for frame in self.feed.due() {
                    write(&mut chunk, None, &frame);
                }
            }
            _ = self.keep_alive.tick() => chunk.push_str(": still here\n\n"),
        }
        if !chunk.is_empty() {
            self.keep_alive.reset();
        }
        Some(chunk.into())
    }

    fn event(&self, chunk: &mut String, publication: &Arc<Envelope>) {
        // Only the event bus reads this stream.
        if let Some(frame) = self.feed.frames(publication).first() {
            let id = self.feed.cursor(publication).map(|cursor| cursor.to_string());
            write(chunk, id.as_deref(), frame);
        }
    }

    fn finish(&mut self, close: Close, chunk: &mut String) {
        write(chunk, None, &self.feed.closing_frame(close));
        self.end = Some(close);
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let reason = self.end.map_or("peer", Close::reason);
        self.gateway.metrics.connections.with_label_values(&["sse", ENDPOINT]).dec();
        self.gateway.metrics.disconnects_total.with_label_values(&[ENDPOINT, reason]).inc();
        let seconds = self.since.elapsed().as_secs_f64();
        info!(endpoint = ENDPOINT, reason, seconds, "event stream closed");
    }
}

/// Appends one event. The frame is JSON in one line.
fn write(chunk: &mut String, id: Option<&str>, frame: &Utf8Bytes) {
    if let Some(id) = id {
        chunk.push_str("id: ");
        chunk.push_str(id);
        chunk.push('\n');
    }
    chunk.push_str("data: ");
    chunk.push_str(frame.as_str());
    chunk.push_str("\n\n");
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
