//! Appends one message to the stream, whatever happens in between: the same message is sent again until it is known
//! whether it is there.

use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream::Stream};
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::{LOG, STREAM};

/// How long an acknowledgement may take before the message is sent again.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a message is sent again before the writer gives up.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(20);
/// Pauses before the message is sent again: after an error, and while the place is being decided.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Appended {
    /// It is at its place.
    Done,
    /// Another message is at its place: another node writes.
    Fenced,
    /// It may be there or not: the log did not answer.
    Unknown(String),
}

/// A message to append.
#[derive(Debug)]
pub(super) struct PlacedMessage<'a> {
    /// Identifies it at every attempt.
    pub(super) id: &'a str,
    pub(super) payload: Bytes,
    /// The last message of the stream before it.
    pub(super) after: u64,
    /// Whether the server checks the place.
    pub(super) fenced: bool,
}

impl PlacedMessage<'_> {
    /// Sends the message until it is known what became of it, at most for `time_limit`.
    pub(super) async fn send(&self, context: &jetstream::Context, time_limit: Duration) -> Appended {
        let until = Instant::now() + time_limit;
        loop {
            let (why, pause) = match timeout(ACK_TIMEOUT, self.attempt(context)).await {
                Ok(Ok(sequence)) if sequence == self.after + 1 => return Appended::Done,
                Ok(Ok(sequence)) => {
                    warn!(sequence, after = self.after, "a message came to another place than it was meant for");
                    return Appended::Fenced;
                }
                Ok(Err(error)) if error.kind() == PublishErrorKind::WrongLastSequence => {
                    match timeout(ACK_TIMEOUT, self.look(context)).await {
                        Ok(Some(decided)) => return decided,
                        // Proposed by someone and not stored yet.
                        Ok(None) | Err(_) => ("the place is not decided".to_owned(), LOOK_PAUSE),
                    }
                }
                Ok(Err(error)) => (error.to_string(), RETRY_PAUSE),
                Err(_) => ("no acknowledgement".to_owned(), Duration::ZERO),
            };
            debug!(why, after = self.after, "an append is sent again");
            if Instant::now() >= until {
                return Appended::Unknown(why);
            }
            sleep(pause).await;
        }
    }

    async fn attempt(&self, context: &jetstream::Context) -> Result<u64, PublishError> {
        let message = PublishMessage::build().payload(self.payload.clone()).message_id(self.id).expected_stream(STREAM);
        let message = if self.fenced { message.expected_last_sequence(self.after) } else { message };
        Ok(context.send_publish(LOG, message).await?.await?.sequence)
    }

    /// Looks at what is at the place; `None` when nothing is there yet.
    async fn look(&self, context: &jetstream::Context) -> Option<Appended> {
        let stream: Stream<()> = context.get_stream_no_info(STREAM).await.ok()?;
        let there = stream.get_raw_message(self.after + 1).await.ok()?;
        let id = there.headers.get(async_nats::header::NATS_MESSAGE_ID)?;
        Some(if id.as_str() == self.id { Appended::Done } else { Appended::Fenced })
    }
}
