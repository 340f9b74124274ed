//! ARIA PRO's conversation on `/ws`, and the reports for its performance page on `/monitoring/ws/performance`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use http::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use super::{Client, Conversation};
use crate::domain::{Audience, Event, Kind, Published, iso};
use crate::gateways::Gateway;
use crate::gateways::close::Close;
use crate::gateways::command::short;
use crate::gateways::dialects::aria::{self, Channels};
use crate::gateways::resume::Gone;
use crate::hub::{Audiences, Publication, Topics};
use crate::pipeline::clock;

const DESK: &str = "/ws";
const PERFORMANCE: &str = "/monitoring/ws/performance";

/// Published messages of a kind that a newcomer gets: what the page shows of them.
const SNAPSHOT_MESSAGES: usize = 20;
/// Largest payload that `echo` sends back, in bytes.
const MAX_ECHO: usize = 4 * 1024;
/// Time between two reports of the server's own state.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The token of ARIA's own header.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-aria-token")?.to_str().ok()
}

/// One socket of an ARIA page, which has one for each panel.
#[derive(Debug)]
pub(super) struct Aria {
    gateway: Arc<Gateway>,
    id: String,
    channels: Channels,
}

impl Aria {
    /// A client that gets everything, or the channels of its query.
    pub(super) fn new(gateway: Arc<Gateway>, channels: Option<&str>) -> Self {
        let channels = channels.map(|list| Channels::of(Channels::listed(list))).unwrap_or_default();
        Self { gateway, id: Uuid::new_v4().to_string(), channels }
    }

    /// What the client says about itself and its channels, answered.
    fn answer(&mut self, kind: Option<&str>, frame: &Value) -> Option<Utf8Bytes> {
        let now = clock::wall();
        let named = || Channels::named(frame.get("channels"));
        let answer = match kind {
            Some("ping") => aria::pong(now),
            // Our own pings need no answer; who answers all the same is not told off.
            Some("pong") => return None,
            Some("subscribe") => {
                self.channels.add(named());
                aria::subscription_confirmed(&self.channels, now)
            }
            Some("unsubscribe") => {
                self.channels.remove(named());
                aria::subscription_updated(&self.channels, now)
            }
            Some("set_subscriptions") => {
                self.channels = Channels::of(named());
                aria::subscription_updated(&self.channels, now)
            }
            Some("whoami") => aria::identity(&self.id, &self.channels, now),
            Some("echo") => {
                let payload = frame.get("payload").unwrap_or(&Value::Null);
                if payload.to_string().len() > MAX_ECHO {
                    aria::error("too_large", &format!("echo sends back up to {MAX_ECHO} bytes"), now)
                } else {
                    aria::echo(payload, now)
                }
            }
            Some(other) => aria::error("unknown_type", &format!("unknown type '{}'", short(other)), now),
            None => aria::error("invalid_message", "a frame is an object with a type", now),
        };
        Some(answer)
    }
}

impl Conversation for Aria {
    fn endpoint(&self) -> &'static str {
        DESK
    }

    /// The welcome, then all that is known, then live: no page asks for it, and none asks again after it came back.
    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        client.write([aria::welcome(&self.id, &self.channels, clock::wall())]).await?;
        let for_all = |published: &Published| published.audience == Audience::All;
        let everybody = Audiences::everybody();
        self.gateway.hub.hold(|present| {
            client.outbox.put(present.prices(|_| true));
            client.outbox.put(present.states(for_all));
            client.outbox.put(present.signals(|_| true));
            client.outbox.put(latest(present.messages_after(&everybody, 0).0));
            client.outbox.set_topics(Topics::public());
        });
        Ok(())
    }

    fn frames(&mut self, publication: &Arc<Publication>, frames: &mut Vec<Utf8Bytes>) {
        if self.channels.is_all() {
            frames.extend_from_slice(aria::frames(publication));
            return;
        }
        let symbol = aria::symbol(publication.event());
        let wanted = aria::messages(publication).filter(|(kind, _)| self.channels.contain(kind, symbol.as_deref()));
        frames.extend(wanted.map(|(_, frame)| frame.clone()));
    }

    async fn said(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let answer = match serde_json::from_str::<Value>(text) {
            Ok(frame) => self.answer(frame.get("type").and_then(Value::as_str), &frame),
            Err(_) => Some(aria::error("invalid_json", "a frame is one JSON object", clock::wall())),
        };
        if let Some(answer) = answer {
            client.outbox.answer(answer);
        }
        Ok(())
    }

    fn beat_interval(&self) -> Option<Duration> {
        Some(self.gateway.heartbeat.app_ping)
    }

    fn beat(&mut self, client: &mut Client) {
        client.outbox.answer(aria::ping(clock::wall()));
    }
}

/// The last few messages of each kind, in order.
fn latest(mut messages: Vec<Arc<Publication>>) -> Vec<Arc<Publication>> {
    let mut counted: BTreeMap<Kind, usize> = BTreeMap::new();
    messages.reverse();
    messages.retain(|publication| {
        let Event::Published(published) = publication.event() else { return false };
        let count = counted.entry(published.kind).or_default();
        *count += 1;
        *count <= SNAPSHOT_MESSAGES
    });
    messages.reverse();
    messages
}

/// One performance page: gets the server's own state, and nothing else.
#[derive(Debug)]
pub(super) struct Performance {
    gateway: Arc<Gateway>,
}

impl Performance {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }

    fn report(&self) -> Utf8Bytes {
        aria::system_metrics(self.gateway.metrics.process.usage(), &iso(clock::wall()))
    }
}

impl Conversation for Performance {
    fn endpoint(&self) -> &'static str {
        PERFORMANCE
    }

    async fn open(&mut self, client: &mut Client) -> Result<(), Gone> {
        client.outbox.answer(self.report());
        Ok(())
    }

    fn frames(&mut self, _publication: &Arc<Publication>, _frames: &mut Vec<Utf8Bytes>) {}

    /// The page's hook pings here as well.
    async fn said(&mut self, client: &mut Client, text: &str) -> Result<(), Close> {
        let frame = serde_json::from_str::<Value>(text).unwrap_or_default();
        if frame.get("type").and_then(Value::as_str) == Some("ping") {
            client.outbox.answer(aria::pong(clock::wall()));
        }
        Ok(())
    }

    fn beat_interval(&self) -> Option<Duration> {
        Some(REPORT_INTERVAL)
    }

    fn beat(&mut self, client: &mut Client) {
        client.outbox.answer(self.report());
    }
}
