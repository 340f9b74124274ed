//! Server-sent events: the bot platform's stream for pages whose WebSocket does not open.
//!
//! The events have no names, because the page listens to `message` only. Ordered events carry their cursor as `id`, so
//! that a browser that reconnects by itself says where it stopped.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::Utf8Bytes;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, Uri};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::info;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::GROUP;
use super::feed::{StreamStart, StreamState, UserFeed, cursor_of_request};
use super::pages::Browser;
use super::wire::Mode;
use crate::auth::UserSession;
use crate::http::{AppState, Refuses, grouped};
use crate::hub::{Envelope, Membership, Ordered, Outbox, OutboxClosed};
use crate::listener::{KillSwitch, Peer};
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::connection_guard::{ConnectionEnd, ConnectionGuard, Opening};

pub(super) const ENDPOINT: &str = "/api/realtime/events";
/// Idle time after which a comment is written, so that no proxy considers the connection dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long the browser waits before it reconnects.
const RETRY: Duration = Duration::from_secs(2);

/// Route of the endpoint.
pub(super) fn routes(state: Arc<StreamState>) -> OpenApiRouter<AppState> {
    grouped(GROUP, OpenApiRouter::new().routes(routes!(events)).with_state(state))
}

/// Streams the user's messages as server-sent events.
///
/// The events have no names. Ordered ones have their cursor as `id`, so that a browser resumes by itself; the messages
/// are those of `/api/ws` (docs/messages.md).
#[utoipa::path(
    get,
    path = "/api/realtime/events",
    operation_id = "bots_events",
    security(("user" = [])),
    params(
        ("token" = Option<String>, Query, description = "The user token, for an `EventSource`, which cannot set headers"),
        ("last_event_id" = Option<String>, Query, description = "Resumes after this cursor; also as the header `Last-Event-ID`"),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream", description = "The stream, until the client closes it"), Refuses<403>),
)]
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
    let slot = match gateway.enter("sse", ENDPOINT) {
        Ok(slot) => slot,
        Err(refusal) => return refusal.into_response(),
    };
    let address = peer.map(|Extension(peer)| peer.client);
    let feed = UserFeed::new(state, login.identity(), Mode::ServerSentEvents);
    let cursor = cursor_of_request(&headers, &uri);
    // A page whose WebSocket does not open any more continues here. What it has shown is not known, so its connection
    // is not tracked: after this stream it polls, until its user reloads it.
    let arrival = match &cursor {
        Some(_) => None,
        None => Some(feed.arrive(Browser::of(&headers, address, false)).await),
    };
    let start = match (&cursor, arrival.and_then(|arrival| arrival.after())) {
        (Some(cursor), _) => StreamStart::Cursor(cursor),
        (None, Some(seq)) => StreamStart::After(seq),
        (None, None) => StreamStart::Live,
    };
    let opening = Opening {
        transport: "sse",
        endpoint: ENDPOINT,
        peer: address,
        user: Some(login.identity().user.clone()),
        socketio: None,
        unless_noted: ConnectionEnd::Peer,
    };
    let guard = ConnectionGuard::new(gateway.metrics.clone(), slot, opening);
    let mut events = EventStream::new(gateway, login, guard, feed);
    if let Some(Extension(connection)) = connection {
        events.guard.serve_on(connection, Arc::<Outbox>::downgrade(&events.outbox));
    }
    let first = events.join(start);
    // Tells proxies to pass on each event at once.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    (unbuffered, response(stream::iter(first).chain(events.into_stream()))).into_response()
}

/// Returns the response with these events, and a comment after each interval without an event.
fn response(events: impl Stream<Item = Event> + Send + 'static) -> impl IntoResponse {
    Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here"))
}

/// One event stream, until its client is gone.
struct EventStream {
    gateway: Arc<Gateway>,
    guard: ConnectionGuard,
    feed: UserFeed,
    login: UserSession,
    outbox: Arc<Outbox>,
    membership: Membership,
    interval: Interval,
    has_ended: bool,
}

impl EventStream {
    fn new(gateway: Arc<Gateway>, login: UserSession, guard: ConnectionGuard, feed: UserFeed) -> Self {
        let outbox = Arc::new(Outbox::new(gateway.metrics.clone()));
        gateway.fanout.join(&outbox);
        let mut interval = interval_at(Instant::now() + UserFeed::INTERVAL, UserFeed::INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, guard, feed, login, membership: gateway.hub.join("native"), outbox, gateway, has_ended: false }
    }

    /// Joins the client to live events, and returns the events that come before everything else.
    fn join(&mut self, start: StreamStart<'_>) -> Vec<Event> {
        let hello = self.feed.join(&self.outbox, start, |_| ());
        self.membership.set(&self.feed.topics());
        let frames = std::iter::once(hello).chain(self.feed.due());
        std::iter::once(Event::default().retry(RETRY)).chain(frames.map(|frame| event(&frame))).collect()
    }

    fn into_stream(self) -> impl Stream<Item = Event> + Send {
        let span = self.guard.identity();
        let batches = stream::unfold(self, move |mut events| {
            span.run(async move { Some((stream::iter(events.next().await?), events)) })
        });
        batches.flatten()
    }

    /// Returns the next events to write; `None` after the end.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.has_ended {
            return None;
        }
        tokio::select! {
            () = self.gateway.draining.cancelled() => Some(self.finish(Close::Restart)),
            () = self.login.end().cancelled() => {
                let close = Close::of_login(self.gateway.tokens.still_good(&self.login));
                Some(self.finish(close))
            }
            due = self.outbox.due() => match due {
                Ok(batch) => {
                    let delivered = &self.gateway.metrics.deliveries_total;
                    delivered.with_label_values(&["state", "sse"]).inc_by(batch.states.len() as u64);
                    delivered.with_label_values(&["ordered", "sse"]).inc_by(batch.ordered.len() as u64);
                    let states = batch.states.iter().filter_map(|publication| self.published(publication));
                    let ordered = batch.ordered.iter().filter_map(|ordered| match ordered {
                        Ordered::Event(publication) => self.published(publication),
                        Ordered::Frame(frame) => Some(event(frame)),
                        Ordered::Ping(_) => None,
                    });
                    Some(states.chain(ordered).collect())
                }
                Err(OutboxClosed { waiting, behind }) => {
                    let seconds_behind = behind.as_secs_f64();
                    info!(endpoint = ENDPOINT, waiting, seconds_behind, "an event stream is too slow: cut, to come back and catch up");
                    self.gateway.metrics.cut_slow("sse", behind);
                    Some(self.finish(Close::TooSlow))
                }
            },
            _ = self.interval.tick() => Some(self.feed.due().iter().map(event).collect()),
        }
    }

    /// Returns a published event of this user.
    fn published(&self, publication: &Arc<Envelope>) -> Option<Event> {
        // Only the event bus reads this stream.
        let frames = self.feed.frames(publication);
        let id = || self.feed.cursor(publication).map(|cursor| Event::default().id(cursor.to_string()));
        frames.first().map(|frame| id().unwrap_or_default().data(frame.as_str()))
    }

    fn finish(&mut self, close: Close) -> Vec<Event> {
        self.has_ended = true;
        self.guard.ended(ConnectionEnd::Closed(close));
        vec![event(&self.feed.closing_frame(close))]
    }
}

/// Returns an event without an id. The frame is JSON in one line.
fn event(frame: &Utf8Bytes) -> Event {
    Event::default().data(frame.as_str())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn written(events: impl Stream<Item = Event> + Send + 'static) -> String {
        let response = response(events).into_response();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn events_are_written_with_their_id_first() {
        let events = [
            Event::default().retry(RETRY),
            event(&Utf8Bytes::from_static(r#"{"type":"connection"}"#)),
            Event::default().id("e:m7").data(r#"{"type":"trades"}"#),
        ];
        assert_eq!(
            written(stream::iter(events)).await,
            "retry: 2000\n\ndata: {\"type\":\"connection\"}\n\nid: e:m7\ndata: {\"type\":\"trades\"}\n\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_writes_comments() {
        let late = stream::once(async {
            tokio::time::sleep(2 * KEEP_ALIVE + KEEP_ALIVE / 2).await;
            event(&Utf8Bytes::from_static("{}"))
        });
        assert_eq!(written(late).await, ": still here\n\n: still here\n\ndata: {}\n\n");
    }
}
