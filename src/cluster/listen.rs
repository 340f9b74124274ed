//! What a node hears: the messages of the stream after its copy's place, and the writer's beats.

use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::apply::Trouble;
use super::node::Node;
use super::wire::Beat;
use super::{BEAT, connection, message};

/// Longest pull of the consumer: a server that dies is noticed after it.
const MAX_EXPIRES: Duration = Duration::from_secs(4);
/// Maximum number of messages that share a transaction.
const MAX_TOGETHER: usize = 256;

impl Node {
    /// Opens the stream after the copy's place.
    pub(super) async fn open(&mut self) -> Result<(pull::Ordered, Subscriber), Trouble> {
        let no_log = |error: &dyn std::fmt::Display| Trouble::NoLog(error.to_string());
        let limit = connection::REQUEST_TIMEOUT;
        let found = timeout(limit, connection::stream(&self.shared.context)).await;
        let (stream, epoch) = found.map_err(|_| Trouble::NoLog("no answer".into()))?.map_err(|error| no_log(&error))?;
        self.compare(&stream, &epoch).await?;
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.place.stream_seq + 1 },
            max_expires: MAX_EXPIRES,
            ..pull::OrderedConfig::default()
        };
        let opening = async {
            let consumer = stream.create_consumer(config).await.map_err(|error| no_log(&error))?;
            let log = consumer.messages().await.map_err(|error| no_log(&error))?;
            let beats = self.shared.client.subscribe(BEAT).await.map_err(|error| no_log(&error))?;
            Ok((log, beats))
        };
        timeout(limit, opening).await.unwrap_or_else(|_| Err(Trouble::NoLog("no answer".into())))
    }

    /// Compares the stream with the copy.
    async fn compare(&mut self, stream: &Stream, epoch: &str) -> Result<(), Trouble> {
        let place = &self.place;
        if epoch != place.epoch {
            return Err(Trouble::Damage(format!(
                "the stream has the log {epoch}, and this copy is of {}; after a restart this node follows the new one",
                place.epoch
            )));
        }
        let state = &stream.cached_info().state;
        let (first, last) = (state.first_sequence, state.last_sequence);
        if last < place.stream_seq {
            return Err(Trouble::Damage(format!(
                "the stream ends at message {last}, and this copy has {}: the NATS servers have lost acknowledged messages",
                place.stream_seq
            )));
        }
        if first > place.stream_seq + 1 {
            return Err(Trouble::Damage(format!(
                "the stream begins at message {first}, and this copy ends at {}: restore another node's backup",
                place.stream_seq
            )));
        }
        if place.stream_seq > 0 {
            let there = stream.get_raw_message(place.stream_seq).await;
            let there = there.map_err(|error| Trouble::NoLog(error.to_string()))?;
            if message::digest(&there.payload) != place.digest {
                return Err(Trouble::Damage(format!(
                    "message {} of the stream is not the one that this copy has applied",
                    place.stream_seq
                )));
            }
        }
        self.caught_up = last <= self.place.stream_seq;
        self.heard_of(last);
        Ok(())
    }

    /// Takes the next messages of the stream: the one that has come, and those that are there already.
    pub(super) async fn take(
        &mut self,
        first: Option<Result<async_nats::jetstream::Message, pull::OrderedError>>,
        log: &mut pull::Ordered,
    ) -> Result<(), Trouble> {
        let mut messages = Vec::new();
        let mut next = Some(first);
        let mut broken = None;
        while let Some(message) = next.take() {
            match message {
                Some(Ok(message)) => {
                    let info = message.info().map_err(|error| Trouble::NoLog(error.to_string()))?;
                    messages.push((info.stream_sequence, message.payload.clone()));
                }
                Some(Err(error)) => broken = Some(Trouble::NoLog(error.to_string())),
                None => broken = Some(Trouble::Silent),
            }
            if broken.is_none() && messages.len() < MAX_TOGETHER {
                next = log.next().now_or_never();
            }
        }
        self.apply(messages).await?;
        broken.map_or(Ok(()), Err)
    }

    /// Hears a beat of the writer.
    pub(super) fn hear(&mut self, payload: &[u8]) {
        let Ok(beat) = serde_json::from_slice::<Beat>(payload) else { return };
        if beat.epoch != self.place.epoch || beat.term < self.place.term {
            return;
        }
        if beat.node == *self.shared.name {
            // The last beats of this node arrive a moment after it has stepped down.
            if self.writing.is_none() && !self.has_left && self.place.writer != beat.node {
                warn!(node = beat.node, "another node has this node's name: set cluster.node to a name of its own");
            }
            return;
        }
        if beat.leaving {
            self.lease.release(self.now(), beat.successor.as_deref(), &self.shared.name);
        } else {
            self.renew_lease();
        }
        self.heard_of(beat.stream_seq);
    }

    /// Notes that the stream has at least this message.
    pub(super) fn heard_of(&mut self, stream_seq: u64) {
        self.end = self.end.max(stream_seq);
        if self.end <= self.place.stream_seq {
            self.behind_since = None;
            self.caught_up = true;
        } else {
            self.behind_since.get_or_insert_with(Instant::now);
        }
    }
}
