//! Long polling: the signal events after a cursor, as soon as there are some.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Gateway;
use super::resume::{self, Gone, NoRoom, ResumeRequest, Resumed};
use crate::domain::{Event, Position, Signal};
use crate::hub::{Envelope, Ordered, Outbox, Snapshot, Topics};
use crate::store::StoreError;

/// What a client waits for.
#[derive(Debug)]
pub(crate) struct PollRequest {
    /// The signals that it wants.
    pub(crate) topics: Topics,
    /// The cursor of what it has, unparsed; `None` for the current signals.
    pub(crate) since: Option<String>,
    /// How long it waits for the first event.
    pub(crate) wait: Duration,
    /// Maximum number of events in an answer.
    pub(crate) limit: usize,
}

/// The answer to a poll.
#[derive(Debug)]
pub(crate) struct MissedSignals {
    /// Signal events in their order, each with its position.
    pub(crate) events: Vec<(Position, Arc<Signal>)>,
    /// Where the next poll goes on.
    pub(crate) cursor: Position,
    /// Whether they are all events after the cursor; `Some(false)` and `None` stand for the snapshot, with and without a
    /// cursor.
    pub(crate) recovered: Option<bool>,
}

impl Gateway {
    /// Returns the events after a cursor. Without any, it waits for the first one, until the time has passed or the server
    /// stops.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub(crate) async fn poll(&self, request: &PollRequest) -> Result<MissedSignals, StoreError> {
        let head = self.hub.position();
        let Some(seq) = request.since.as_deref().and_then(|since| resume::reachable(since, &head)) else {
            return Ok(self.poll_snapshot(request));
        };
        let outbox = Arc::new(Outbox::new(self.metrics.clone()));
        let mut poller = Poller { gateway: self, request, outbox: &outbox, events: Vec::new(), cursor: head };
        let outcome = resume::resume(&self.hub, &self.log, seq, &mut poller).await?;
        if outcome == Resumed::Impossible {
            return Ok(self.poll_snapshot(request));
        }
        let Poller { mut events, mut cursor, .. } = poller;
        let (mut is_over, until) = (false, Instant::now() + request.wait);
        while events.is_empty() && !is_over {
            is_over = tokio::select! {
                () = outbox.ready() => false,
                () = sleep_until(until) => true,
                () = self.draining.cancelled() => true,
            };
            self.hub.with_snapshot(|snapshot| {
                self.fanout.settle_outbox(&outbox);
                let drained = outbox.drain();
                // A client that fell too far behind polls again from where it was.
                is_over |= drained.is_err();
                if let Ok(batch) = drained {
                    let ordered = batch.ordered.iter().filter_map(|ordered| match ordered {
                        Ordered::Event(envelope) => placed(envelope),
                        Ordered::Frame(_) | Ordered::Ping(_) => None,
                    });
                    events.extend(ordered);
                    cursor = snapshot.position().clone();
                }
            });
        }
        if events.len() > request.limit {
            events.truncate(request.limit);
            cursor = events.last().map_or(cursor, |(position, _)| position.clone());
        }
        Ok(MissedSignals { events, cursor, recovered: Some(true) })
    }

    fn poll_snapshot(&self, request: &PollRequest) -> MissedSignals {
        self.hub.with_snapshot(|snapshot| {
            let signals = snapshot.signals_by_age(|signal, _| request.topics.contain_signal(signal));
            MissedSignals {
                events: signals.iter().filter_map(placed).collect(),
                cursor: snapshot.position().clone(),
                recovered: request.since.as_ref().map(|_| false),
            }
        })
    }
}

/// Returns a signal event with its position.
fn placed(envelope: &Arc<Envelope>) -> Option<(Position, Arc<Signal>)> {
    match envelope.event() {
        Event::Signal(signal) => Some((envelope.position()?.clone(), signal.clone())),
        _ => None,
    }
}

/// A poll that reads what was missed, and waits for more if that is nothing.
struct Poller<'a> {
    gateway: &'a Gateway,
    request: &'a PollRequest,
    outbox: &'a Arc<Outbox>,
    events: Vec<(Position, Arc<Signal>)>,
    /// Everything up to here is among the events, or not wanted.
    cursor: Position,
}

impl ResumeRequest for Poller<'_> {
    async fn send(&mut self, page: Vec<(Position, Signal)>) -> Result<(), Gone> {
        for (position, signal) in page {
            self.cursor = position.clone();
            if self.request.topics.contain_signal(&signal) {
                self.events.push((position, Arc::new(signal)));
            }
        }
        // With a full answer nothing more has to be read.
        if self.events.len() >= self.request.limit { Err(Gone) } else { Ok(()) }
    }

    fn join(&mut self, snapshot: &Snapshot, rest: Vec<Arc<Envelope>>) -> Result<(), NoRoom> {
        let wanted = rest.iter().filter(|envelope| self.request.topics.contain(envelope.event()));
        self.events.extend(wanted.filter_map(placed));
        self.cursor = snapshot.position().clone();
        if self.events.is_empty() {
            let fanout = &self.gateway.fanout;
            fanout.join(self.outbox);
            fanout.settle_outbox(self.outbox);
            self.outbox.set_topics(self.request.topics.clone());
        }
        Ok(())
    }
}
