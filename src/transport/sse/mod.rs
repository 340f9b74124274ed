//! Server-sent events: what every event stream over HTTP has in common.
//!
//! The work of a stream is a future that sends events to its response. It is polled with the response and dropped with it,
//! so that it needs no task, and a client that does not read holds it back.

mod market;
mod replay;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, Stream, StreamExt, future, stream};
use http::HeaderName;
use tokio::sync::mpsc;
use tracing::info;

pub(crate) use market::MarketStream;
pub(crate) use replay::{ReplayRequest, ReplayStream};

use super::Gateway;
use super::channels::ChannelSlot;
use super::close::Close;
use super::connection_guard::{ConnectionEnd, ConnectionGuard, Opening};
use super::resume::Gone;
use crate::auth::UserSession;
use crate::hub::{Membership, Outbox, OutboxBatch, OutboxClosed};
use crate::listener::KillSwitch;

/// Idle time after which a comment is written, so that no proxy considers the connection dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long the client waits before it reconnects.
const RETRY: Duration = Duration::from_secs(2);
/// Events that may wait for the response.
const MAX_WAITING: usize = 16;

/// Sends events to a response.
#[derive(Debug)]
pub(crate) struct EventSender(mpsc::Sender<Event>);

impl EventSender {
    /// Sends an event when the client has read the ones before it.
    ///
    /// # Errors
    /// Returns [`Gone`] when the response has ended.
    pub(crate) async fn send(&self, event: Event) -> Result<(), Gone> {
        self.0.send(event).await.map_err(|_| Gone)
    }

    /// Sends several events.
    ///
    /// # Errors
    /// Returns [`Gone`] when the response has ended.
    pub(crate) async fn send_all(&self, events: impl IntoIterator<Item = Event>) -> Result<(), Gone> {
        for event in events {
            self.send(event).await?;
        }
        Ok(())
    }
}

/// Returns a response with the events that `serve` sends, until its future ends. It begins with the time after which the
/// client reconnects.
pub(crate) fn respond<F>(serve: impl FnOnce(EventSender) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(MAX_WAITING);
    let work = serve(EventSender(sender)).into_stream().filter_map(|()| future::ready(None));
    let sent = stream::poll_fn(move |context| receiver.poll_recv(context));
    // Tells proxies to pass on each event at once.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    let retry = stream::iter([Event::default().retry(RETRY)]);
    (unbuffered, response(retry.chain(stream::select(sent, work)))).into_response()
}

/// Returns the response with these events, and a comment after each interval without an event.
fn response(events: impl Stream<Item = Event> + Send + 'static) -> impl IntoResponse {
    Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here"))
}

/// The connection of one event stream.
#[derive(Debug)]
pub(crate) struct SseConnection {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) guard: ConnectionGuard,
    /// What waits for the client.
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) membership: Membership,
    login: Option<UserSession>,
    endpoint: &'static str,
}

impl SseConnection {
    /// Opens the connection of a client that was admitted. `stream` is the connection that serves it.
    pub(crate) fn open(
        gateway: Arc<Gateway>,
        login: Option<UserSession>,
        (endpoint, slot): (&'static str, ChannelSlot),
        peer: Option<IpAddr>,
        stream: Option<KillSwitch>,
    ) -> Self {
        let user = login.as_ref().and_then(UserSession::user).map(|principal| principal.user.clone());
        let membership = gateway.hub.join("native", user.clone());
        let opening = Opening {
            transport: "sse",
            endpoint,
            peer,
            user,
            socketio: None,
            unless_noted: ConnectionEnd::Peer,
            is_own_page: false,
        };
        let mut guard = ConnectionGuard::new(gateway.metrics.clone(), slot, opening);
        let outbox = Arc::new(Outbox::new(gateway.metrics.clone()));
        gateway.fanout.join(&outbox);
        if let Some(stream) = stream {
            guard.serve_on(stream, Arc::<Outbox>::downgrade(&outbox));
        }
        Self { gateway, guard, outbox, membership, login, endpoint }
    }

    /// Waits for the end that the server makes: it stops, or the client's token has ended.
    pub(crate) async fn ended(&self) -> Close {
        let login = async {
            match &self.login {
                Some(login) => login.end().cancelled().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = self.gateway.draining.cancelled() => Close::Restart,
            () = login => Close::of_login(self.login.as_ref().map_or(Ok(()), |login| self.gateway.tokens.still_good(login))),
        }
    }

    /// Waits for what is due.
    ///
    /// # Errors
    /// Returns why the stream has to end. It is noted already.
    pub(crate) async fn due(&self) -> Result<OutboxBatch, Close> {
        let close = tokio::select! {
            close = self.ended() => close,
            due = self.outbox.due() => match due {
                Ok(batch) => {
                    let delivered = &self.gateway.metrics.deliveries_total;
                    delivered.with_label_values(&["state", "sse"]).inc_by(batch.states.len() as u64);
                    delivered.with_label_values(&["ordered", "sse"]).inc_by(batch.ordered.len() as u64);
                    return Ok(batch);
                }
                Err(OutboxClosed { waiting, behind }) => {
                    let (endpoint, seconds_behind) = (self.endpoint, behind.as_secs_f64());
                    info!(endpoint, waiting, seconds_behind, "an event stream is too slow: cut, to come back and catch up");
                    self.gateway.metrics.cut_slow("sse", behind);
                    Close::TooSlow
                }
            },
        };
        self.guard.ended(ConnectionEnd::Closed(close));
        Err(close)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn written(response: Response) -> String {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn events_are_written_with_their_id_first() {
        let response = respond(|events| async move {
            let sent = [
                Event::default().data(r#"{"type":"connection"}"#),
                Event::default().id("e:m7").data(r#"{"type":"trades"}"#),
            ];
            events.send_all(sent).await.unwrap();
        });
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(
            written(response).await,
            "retry: 2000\n\ndata: {\"type\":\"connection\"}\n\nid: e:m7\ndata: {\"type\":\"trades\"}\n\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_writes_comments() {
        let response = respond(|events| async move {
            tokio::time::sleep(2 * KEEP_ALIVE + KEEP_ALIVE / 2).await;
            events.send(Event::default().data("{}")).await.unwrap();
        });
        assert_eq!(written(response).await, "retry: 2000\n\n: still here\n\n: still here\n\ndata: {}\n\n");
    }

    #[tokio::test]
    async fn an_unread_stream_holds_its_work_back() {
        let (count, seen) = tokio::sync::watch::channel(0);
        let mut body = respond(|events| async move {
            while events.send(Event::default().data("x")).await.is_ok() {
                count.send_modify(|count| *count += 1);
            }
        })
        .into_body()
        .into_data_stream();
        for _ in 0..3 {
            body.next().await.unwrap().unwrap();
        }
        assert!(*seen.borrow() <= MAX_WAITING + 3);
        drop(body);
        assert!(seen.has_changed().is_err(), "the work ends with the response");
    }
}
