//! Server-sent events: the bot platform's stream for pages whose WebSocket does not open.
//!
//! The events have no names, because the page listens to `message` only. Ordered events carry their cursor as `id`, so
//! that a browser that reconnects by itself says where it stopped.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::Utf8Bytes;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::GROUP;
use super::feed::{StreamStart, StreamState, UserFeed, cursor_of_request};
use super::pages::Browser;
use super::wire::Mode;
use crate::http::{AppState, Refuses, grouped};
use crate::hub::{Envelope, Ordered};
use crate::listener::{KillSwitch, Peer};
use crate::transport::resume::Gone;
use crate::transport::sse::{self, EventSender, SseConnection};

pub(super) const ENDPOINT: &str = "/api/realtime/events";

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
    let (login, principal) = match login {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.into_response(),
    };
    let slot = match gateway.enter("sse", ENDPOINT) {
        Ok(slot) => slot,
        Err(refusal) => return refusal.into_response(),
    };
    let address = peer.map(|Extension(peer)| peer.client);
    let mut feed = UserFeed::new(state, &principal, Mode::ServerSentEvents);
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
    let connection = connection.map(|Extension(connection)| connection);
    let connection = SseConnection::open(gateway, Some(login), (ENDPOINT, slot), address, connection);
    let hello = feed.join(&connection.outbox, start, |_| ());
    connection.membership.set(&feed.topics());
    let first = std::iter::once(hello).chain(feed.due()).map(|frame| event(&frame)).collect();
    let identity = connection.guard.identity();
    sse::respond(|events| async move {
        // A client that is gone needs no more.
        identity.run(async move { EventStream { connection, feed, events }.run(first).await.ok() }).await;
    })
}

/// One event stream, until its client is gone.
struct EventStream {
    connection: SseConnection,
    feed: UserFeed,
    events: EventSender,
}

impl EventStream {
    /// Sends the events that come before everything else, then what is due.
    async fn run(mut self, first: Vec<Event>) -> Result<(), Gone> {
        self.events.send_all(first).await?;
        let mut interval = interval_at(Instant::now() + UserFeed::INTERVAL, UserFeed::INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let events: Vec<_> = tokio::select! {
                due = self.connection.due() => match due {
                    Ok(batch) => {
                        let states = batch.states.iter().filter_map(|publication| self.published(publication));
                        let ordered = batch.ordered.iter().filter_map(|ordered| match ordered {
                            Ordered::Event(publication) => self.published(publication),
                            Ordered::Frame(frame) => Some(event(frame)),
                            Ordered::Ping(_) => None,
                        });
                        states.chain(ordered).collect()
                    }
                    Err(close) => return self.events.send(event(&self.feed.closing_frame(close))).await,
                },
                _ = interval.tick() => self.feed.due().iter().map(event).collect(),
            };
            self.events.send_all(events).await?;
        }
    }

    /// Returns a published event of this user.
    fn published(&self, publication: &Arc<Envelope>) -> Option<Event> {
        // Only the event bus reads this stream.
        let frames = self.feed.frames(publication);
        let id = || self.feed.cursor(publication).map(|cursor| Event::default().id(cursor.to_string()));
        frames.first().map(|frame| id().unwrap_or_default().data(frame.as_str()))
    }
}

/// Returns an event without an id. The frame is JSON in one line.
fn event(frame: &Utf8Bytes) -> Event {
    Event::default().data(frame.as_str())
}
