//! Applies messages of the stream to the copy, then publishes their entries: the same on every node, the writer included.

use std::sync::Arc;

use bytes::Bytes;
use tracing::{info, warn};

use super::judge::{self, Verdict};
use super::message::{LogBatch, Message, MessageContent, Undecodable, digest};
use super::node::Node;
use super::wire::FindType;
use crate::domain::{Event, Position, RelayedMessage};
use crate::hub::{Envelope, Hub};
use crate::store::{AppendReceipt, LogEntries, ReplicaPlace, Replicated, ReplicatedBatch, StoreError};

/// Events that are published before other tasks run, so that clients can drain their queues.
const PUBLISH_CHUNK: usize = 64;

/// What keeps a node from applying the next message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// The consumer gives nothing, though the stream grows.
    #[error("nothing comes from the stream")]
    Silent,
    /// A message between is missing.
    #[error("a message between is missing")]
    Gap,
    /// The copy cannot be written now.
    #[error("the copy cannot be written: {0}")]
    Disk(StoreError),
    /// The log cannot be read now.
    #[error("the cluster's log cannot be read: {0}")]
    NoLog(String),
    /// The stream and the copy do not fit together.
    #[error("{0}")]
    Damage(String),
    /// This program cannot apply it.
    #[error("message {0} of the stream cannot be applied: {1}")]
    Undecodable(u64, Undecodable),
}

/// A message that was handed to the copy.
struct JudgedMessage {
    place: ReplicaPlace,
    verdict: Verdict,
    entries: LogEntries,
}

impl Node {
    /// Applies messages in their order, then publishes their entries.
    ///
    /// # Errors
    /// [`Trouble`]; everything before the message that caused it is applied.
    pub(super) async fn apply(&mut self, messages: Vec<(u64, Bytes)>) -> Result<(), Trouble> {
        let mut place = self.place.clone();
        let (mut steps, mut writes) = (Vec::new(), Vec::new());
        let mut trouble = None;
        for (seq, payload) in messages {
            match prepare(&place, seq, &payload, self.shared.find) {
                Ok(None) => {}
                Ok(Some((verdict, replicated, entries))) => {
                    place = replicated.place.clone();
                    steps.push(JudgedMessage { place: place.clone(), verdict, entries: entries.clone() });
                    writes.push(self.store.apply(entries, replicated));
                }
                Err(found) => {
                    trouble = Some(found);
                    break;
                }
            }
        }
        for (step, write) in steps.into_iter().zip(writes) {
            match write.await {
                Ok(receipt) => self.applied(step, receipt).await,
                Err(StoreError::Damaged { what, .. }) => return Err(Trouble::Damage(what)),
                Err(error) => return Err(Trouble::Disk(error)),
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    async fn applied(&mut self, step: JudgedMessage, receipt: AppendReceipt) {
        let JudgedMessage { place, verdict, entries } = step;
        self.place = place;
        self.damage = None;
        self.behind_since = None;
        self.heard_of(self.place.stream_seq);
        match verdict {
            Verdict::Term => {
                self.renew_lease();
                info!(term = self.place.term, writer = self.place.writer, "a term of the cluster begins");
            }
            Verdict::Void => {
                self.shared.metrics.cluster_void_batches_total.inc();
                warn!(stream_seq = self.place.stream_seq, "a message of a replaced writer is void");
            }
            Verdict::Entries => {
                self.renew_lease();
                publish(&self.hub, &self.place.epoch, &entries, receipt).await;
                self.shared.note(&entries.notes);
            }
            Verdict::Known | Verdict::Gap | Verdict::Genesis => {}
        }
    }
}

/// What a message does to the copy.
type Prepared = Option<(Verdict, Replicated, LogEntries)>;

/// Decodes and judges a message. Returns what it does to the copy; `None` when it was applied before.
fn prepare(place: &ReplicaPlace, seq: u64, payload: &[u8], find: FindType) -> Result<Prepared, Trouble> {
    if seq <= place.stream_seq {
        return Ok(None);
    }
    let undecodable = |error| Trouble::Undecodable(seq, error);
    let message = Message::decode(payload).map_err(undecodable)?;
    let verdict = judge::judge(place, seq, &message).map_err(|damage| Trouble::Damage(damage.to_string()))?;
    if verdict == Verdict::Gap {
        return Err(Trouble::Gap);
    }
    let next = judge::advance(place, seq, &message, verdict, digest(payload));
    let (batch, entries) = match (&message.content, verdict) {
        (MessageContent::Batch(batch), Verdict::Entries) => {
            (Some(continuation(seq, batch)?), batch.entries(find).map_err(undecodable)?)
        }
        _ => (None, LogEntries::default()),
    };
    Ok(Some((verdict, Replicated { place: next, batch }, entries)))
}

fn continuation(seq: u64, batch: &LogBatch) -> Result<ReplicatedBatch, Trouble> {
    let after =
        batch.after.read().ok_or_else(|| Trouble::Damage(format!("message {seq} of the stream has no valid hash")))?;
    let (stored_at, requests, bars) = (batch.stored_at(), batch.requests.clone(), batch.bars.clone());
    Ok(ReplicatedBatch { after, stored_at, requests, bars })
}

/// Publishes entries that were applied.
async fn publish(hub: &Hub, epoch: &str, entries: &LogEntries, first: AppendReceipt) {
    let epoch: Arc<str> = epoch.into();
    let signals = entries.signals.iter().zip(first.first_signal..).map(|(signal, seq)| {
        info!(id = %signal.id, symbol = %signal.symbol, status = signal.state.status().name(), seq, clients = hub.clients(), "signal");
        Arc::new(Envelope::placed(Event::Signal(signal.clone()), Position { epoch: epoch.clone(), seq }))
    });
    let messages = entries.published.iter().zip(first.first_published..).map(|(message, seq)| {
        let message = RelayedMessage { seq, ..message.clone() };
        Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message))))
    });
    let publications: Vec<_> = signals.chain(messages).collect();
    for chunk in publications.chunks(PUBLISH_CHUNK) {
        hub.publish(chunk);
        tokio::task::yield_now().await;
    }
}
