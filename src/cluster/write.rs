//! What the writer does with what the pipeline appends: it gathers messages of a bounded size, sends them one at a time,
//! applies them, and answers.

use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::append::{Appended, GIVE_UP_AFTER};
use super::apply::Trouble;
use super::log::{MAX_ENTRIES, QueuedAppend};
use super::message::{LogBatch, MessageContent};
use super::node::Node;
use crate::pipeline::clock;
use crate::store::{AppendReceipt, Health, LogEntries, StoreError};

/// Soft limit of a message in bytes, before it is deflated.
const MAX_BYTES: usize = 512 << 10;
/// What the server's limit leaves for the headers, in bytes.
const HEADERS: usize = 4 << 10;

impl Node {
    /// Appends what was gathered, in its order.
    ///
    /// # Errors
    /// [`Trouble`] of the copy. The appends are answered with an error then.
    pub(super) async fn write(&mut self, gathered: Vec<QueuedAppend>) -> Result<(), Trouble> {
        let mut waiting = std::collections::VecDeque::from(gathered);
        let mut trouble = Ok(());
        while let Some(first) = waiting.pop_front() {
            let mut together = vec![first];
            let (mut entries, mut bytes) = (together[0].entries.len(), weight(&together[0]));
            while let Some(next) = waiting.front() {
                (entries, bytes) = (entries + next.entries.len(), bytes + weight(next));
                if entries > MAX_ENTRIES || bytes > MAX_BYTES {
                    break;
                }
                together.extend(waiting.pop_front());
            }
            let outcome = match &trouble {
                Ok(()) => self.write_together(&together).await,
                Err(_) => Err(Refusal::Log("an earlier append failed".to_owned())),
            };
            match outcome {
                Ok(first) => answer(together, first),
                Err(refusal) => {
                    let error = refusal.error();
                    for append in together {
                        if let Some(to) = append.answer {
                            to.send(Err(error.clone())).ok();
                        } else {
                            self.shared.metrics.store_bars_dropped_total.inc_by(append.bars.len() as u64);
                        }
                    }
                    if let Refusal::Copy(found) = refusal {
                        trouble = Err(found);
                    }
                }
            }
        }
        trouble
    }

    /// Sends one message, and applies it. Returns the numbers of its first entries.
    async fn write_together(&mut self, together: &[QueuedAppend]) -> Result<AppendReceipt, Refusal> {
        let Some(term) = self.writing else { return Err(Refusal::Log("another node writes".to_owned())) };
        if let Health::Failing { error, .. } = self.store.health() {
            warn!(%error, "this node's copy cannot be written: another node takes over");
            self.step_down();
            return Err(Refusal::Store(error));
        }
        let heads = self.store.heads();
        let payload = self.encode(term, together).map_err(Refusal::Log)?;
        match self.send(term, payload.clone(), GIVE_UP_AFTER).await {
            Appended::Done => {
                // On its way to being answered: from here on it is in the log, whatever happens.
                self.apply(vec![(self.place.stream_seq + 1, payload)]).await.map_err(|trouble| {
                    self.step_down();
                    Refusal::Copy(trouble)
                })?;
                Ok(AppendReceipt { first_signal: heads.events.seq + 1, first_published: heads.published + 1 })
            }
            Appended::Fenced => {
                warn!(term, "this node was replaced as the writer");
                self.shared.metrics.cluster_fenced_total.inc();
                self.step_down();
                Err(Refusal::Log("another node writes".to_owned()))
            }
            Appended::Unknown(why) => {
                let seconds = GIVE_UP_AFTER.as_secs();
                warn!(term, why, "the log has not answered for {seconds} s: this node writes no longer");
                self.step_down();
                Err(Refusal::Log(why))
            }
        }
    }

    fn encode(&self, term: u64, together: &[QueuedAppend]) -> Result<Bytes, String> {
        let mut batch = LogBatch {
            after: self.store.heads().into(),
            stored_at: clock::wall().timestamp_millis().max(self.place.stored_at),
            signals: Vec::new(),
            published: Vec::new(),
            notes: Vec::new(),
            outcomes: Vec::new(),
            open: Vec::new(),
            bars: Vec::new(),
            requests: Vec::new(),
        };
        for QueuedAppend { entries, bars, requests, .. } in together {
            let LogEntries { signals, published, notes, outcomes, open } = entries;
            batch.signals.extend(signals.iter().cloned());
            batch.published.extend(published.iter().map(Into::into));
            batch.notes.extend(notes.iter().cloned());
            batch.outcomes.extend(outcomes.iter().cloned());
            batch.open.extend(open.iter().cloned());
            batch.bars.extend(bars.iter().cloned());
            batch.requests.extend(requests.iter().cloned());
        }
        let payload = self.message(term, MessageContent::Batch(Box::new(batch))).encode()?;
        let most = self.shared.client.server_info().max_payload.saturating_sub(HEADERS);
        if payload.len() > most {
            return Err(format!("{} bytes are more than the NATS server takes (max_payload)", payload.len()));
        }
        Ok(payload)
    }
}

/// Why entries were not taken.
enum Refusal {
    /// The log did not take them, or it is not known.
    Log(String),
    /// The copy could not be written before.
    Store(StoreError),
    /// They are in the log, and could not be applied to the copy.
    Copy(Trouble),
}

impl Refusal {
    fn error(&self) -> StoreError {
        match self {
            Self::Log(why) => StoreError::NotReplicated(why.clone()),
            Self::Store(error) => error.clone(),
            Self::Copy(trouble) => StoreError::NotReplicated(trouble.to_string()),
        }
    }
}

fn answer(together: Vec<QueuedAppend>, mut next: AppendReceipt) {
    for QueuedAppend { entries, answer, .. } in together {
        if let Some(to) = answer {
            // The caller may have stopped waiting.
            to.send(Ok(next)).ok();
        }
        next.first_signal += entries.signals.len() as u64;
        next.first_published += entries.published.len() as u64;
    }
}

/// Returns about how many bytes an append takes in a message.
fn weight(append: &QueuedAppend) -> usize {
    let LogEntries { signals, published, .. } = &append.entries;
    let texts = signals.iter().map(|signal| signal.reason.len()).sum::<usize>()
        + published.iter().map(|message| message.data.len()).sum::<usize>();
    texts + 768 * append.entries.len() + 160 * append.bars.len()
}

/// How long a hand-over may take.
pub(super) const HANDOVER_TIMEOUT: Duration = Duration::from_secs(3);
