//! The bot platform's conversation on `/api/ws`: everything that is a user's comes without asking.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::Utf8Bytes;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Uri};
use serde_json::Value;
use tokio::time::Instant;

use super::{Client, Conversation, Handshake};
use crate::gateways::Gateway;
use crate::gateways::bots::{Feed, cursor_of_frame, cursor_of_request};
use crate::gateways::close::Close;
use crate::gateways::command::short;
use crate::gateways::dialects::bots::{self, Mode};
use crate::gateways::pace::TOO_FAST;
use crate::gateways::resume::Gone;
use crate::hub::Publication;
use crate::pipeline::clock;

/// `GET /api/ws?token=`; `/api/ws&token=` has become this before it gets here.
pub(super) async fn handshake(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    uri: Uri,
    handshake: Handshake,
) -> Response {
    let login = match gateway.admit_user(&headers, &uri) {
        Ok(login) => login,
        Err(refusal) => return refusal.into_response(),
    };
    let feed = Feed::new(gateway.clone(), login.identity(), Mode::WebSocket);
    let conversation = Bots::new(&gateway, feed, cursor_of_request(&headers, &uri));
    handshake.serve(gateway, Some(login), conversation)
}

/// One page of the bot platform.
#[derive(Debug)]
struct Bots {
    gateway: Arc<Gateway>,
    feed: Feed,
    since: Option<String>,
    ping_due: Instant,
    /// A ping of ours that has no pong yet. Its lack is counted and never punished: one of the two clients sends none.
    unanswered: bool,
}

impl Bots {
    fn new(gateway: &Arc<Gateway>, feed: Feed, since: Option<String>) -> Self {
        let ping_due = Instant::now() + gateway.heartbeat.app_ping;
        Self { gateway: gateway.clone(), feed, since, ping_due, unanswered: false }
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
        client.outbox.answer(bots::ping(clock::wall()));
    }
}

impl Conversation for Bots {
    fn endpoint(&self) -> &'static str {
        "/api/ws"
    }

    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        let hello = self.feed.join(&client.outbox, self.since.take().as_deref());
        client.write(std::iter::once(hello).chain(self.feed.due())).await
    }

    fn frames(&mut self, publication: &Arc<Publication>, frames: &mut Vec<Utf8Bytes>) {
        frames.extend(self.feed.frame(publication));
    }

    fn beat_interval(&self) -> Option<Duration> {
        Some(Feed::BEAT.min(self.gateway.heartbeat.app_ping))
    }

    fn beat(&mut self, client: &mut Client) {
        for frame in self.feed.due() {
            client.outbox.answer(frame);
        }
        self.ping(client);
    }

    fn farewell(&self, close: Close) -> Option<Utf8Bytes> {
        Some(self.feed.farewell(close))
    }

    fn too_fast(&self) -> Utf8Bytes {
        bots::error("RATE_LIMITED", TOO_FAST.1, clock::wall())
    }

    async fn said(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let now = clock::wall();
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            client.outbox.answer(bots::error("INVALID_JSON", "a frame is one JSON object", now));
            return Ok(());
        };
        match frame.get("type").and_then(Value::as_str) {
            Some("ping") => client.outbox.answer(bots::pong(frame.get("timestamp"), now)),
            Some("pong") => self.unanswered = false,
            Some("request_replay") => match cursor_of_frame(&frame) {
                Some(since) => self.feed.replay(&client.outbox, &since),
                None => {
                    let wanted = "last_sequence must be a number, or the cursor of a message";
                    client.outbox.answer(bots::error("INVALID_REQUEST", wanted, now));
                }
            },
            Some(other) => {
                let message = format!("unknown type '{}'", short(other));
                client.outbox.answer(bots::error("UNKNOWN_TYPE", &message, now));
            }
            None => {
                client.outbox.answer(bots::error("INVALID_MESSAGE", "a frame is an object with a type", now));
            }
        }
        Ok(())
    }
}
