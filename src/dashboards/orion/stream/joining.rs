//! Joining live events: with a snapshot, with the missed events, or with one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::wire;
use super::{MAX_SUBSCRIBE_WAIT, OPENING_PING, OrionProtocol, SubscribeWait};
use crate::config::duration_text;
use crate::domain::{Event, PROTOCOL, Position, Signal, SignalState};
use crate::hub::{Envelope, Selection, Snapshot, Topics};
use crate::store::SignalChange;
use crate::transport::command::SubscriptionRequest;
use crate::transport::completeness::Completeness;
use crate::transport::messages::{Subscribed, Typed, encode};
use crate::transport::resume::{self, Gone, NoRoom, ResumeRequest, Resumed};
use crate::transport::ws::Client;

/// Signals of snapshots that are remembered per connection. Beyond this number a later cursor is not filled in.
const MAX_SNAPSHOT_STATES: usize = 4096;

impl OrionProtocol {
    /// Sends prices, which carry no cursor, and waits for the client's first `subscribe`.
    pub(super) async fn wait_for_subscribe(&mut self, client: &mut Client) -> Result<(), Gone> {
        self.gateway.hub.with_snapshot(|snapshot| {
            client.put(snapshot.prices(|_| true));
            client.set_topics(Topics { prices: Selection::All, ..Topics::default() });
        });
        self.waiting = Some(SubscribeWait { until: Instant::now() + MAX_SUBSCRIBE_WAIT });
        client.ping(OPENING_PING).await
    }

    /// The request of a native client that does not subscribe.
    pub(super) fn everything(&self) -> SubscriptionRequest {
        let topics = Topics { filter: self.filter.clone(), ..Topics::market() };
        SubscriptionRequest { topics, replay: self.replay, ..SubscriptionRequest::default() }
    }

    /// Joins the client to everything, if it has not subscribed yet.
    pub(super) fn join_everything(&mut self, client: &Client) {
        if self.waiting.take().is_some() {
            self.join_with_snapshot(client, &self.everything(), None);
        }
    }

    /// Sends the snapshot of what `request` adds to the subscription, and joins the client to live events.
    pub(super) fn join_with_snapshot(
        &mut self,
        client: &Client,
        request: &SubscriptionRequest,
        recovered: Option<bool>,
    ) {
        let gateway = self.gateway.clone();
        gateway.hub.with_snapshot(|snapshot| {
            let before = client.topics();
            let wanted = &request.topics;
            let mut signals = snapshot.signals_by_age(|signal, age| {
                let is_new = !before.contain_signal(signal);
                // A client that asks for a replay later gets what its first snapshot left out.
                let is_asked_for = is_new || (request.replay.is_some() && recovered.is_none());
                wanted.contain_signal(signal) && is_asked_for && self.is_due(request, recovered, signal, age)
            });
            signals.retain(|publication| !self.has_sent(publication, &before));
            if before.refilters(wanted) {
                // What the previous filters have left out was never sent.
                self.completeness = Completeness::default();
            }
            self.has_joined |= !wanted.signals.is_none();
            self.set_signals(&wanted.signals, snapshot.position().seq);
            self.snapshot.extend(signals.iter().filter_map(|publication| match publication.event() {
                Event::Signal(signal) => Some((signal.id.clone(), publication.seq()?)),
                _ => None,
            }));
            client.put(snapshot.prices(|symbol| wanted.prices.contains(symbol) && !before.prices.contains(symbol)));
            client.put(signals);
            join(client, snapshot, request, recovered);
        });
    }

    /// Whether a signal whose last change has this age belongs in the snapshot. A page sounds an alarm for each
    /// confirmed signal that it has not seen, so a page that has just been loaded gets only recent ones, unless it asks
    /// for more.
    fn is_due(&self, request: &SubscriptionRequest, recovered: Option<bool>, signal: &Signal, age: Duration) -> bool {
        match (recovered, request.replay) {
            // The snapshot is complete when it stands in for a gap that was not filled.
            (Some(_), _) => true,
            (None, Some(replay)) => signal.state.is_pending() || age <= replay,
            (None, None) => self.has_joined || signal.state != SignalState::Confirmed || age <= self.alarm_window,
        }
    }

    /// Whether this connection, which is subscribed to `subscribed`, has been sent a signal's state, or will be.
    fn has_sent(&self, publication: &Envelope, subscribed: &Topics) -> bool {
        let (Event::Signal(signal), Some(seq)) = (publication.event(), publication.seq()) else { return false };
        subscribed.contain_signal(signal)
            && (self.completeness.after(&signal.symbol).is_none_or(|after| seq > after)
                || self.completeness.has_gap_after(seq)
                || self.snapshot.contains_key(&signal.id))
    }

    /// Sets the symbols whose signals the client gets from now on.
    pub(super) fn set_signals(&mut self, wanted: &Selection, seq: u64) {
        self.completeness.set(wanted, seq);
        if wanted.is_none() {
            self.snapshot.clear();
        } else if self.snapshot.len() > MAX_SNAPSHOT_STATES {
            // Forgotten states cannot be left out when a gap is filled later.
            self.completeness.leave_gap_until(self.completeness.after_all());
            self.snapshot.clear();
        }
    }

    /// Sends the client everything after `seq` and joins it to live events.
    pub(super) async fn catch_up(
        &mut self,
        client: &mut Client,
        seq: u64,
        request: &SubscriptionRequest,
    ) -> Result<(), Gone> {
        let gateway = self.gateway.clone();
        let mut resumer = Resumer { client, request };
        match resume::resume(&gateway.hub, &gateway.log, seq, &mut resumer).await {
            Ok(Resumed::Joined) => {
                self.has_joined = true;
                self.set_signals(&request.topics.signals, seq);
            }
            Ok(Resumed::Impossible) => self.join_with_snapshot(client, request, Some(false)),
            Ok(Resumed::Gone) => return Err(Gone),
            Err(error) => {
                resume::log_unreadable(&error);
                self.join_with_snapshot(client, request, Some(false));
            }
        }
        Ok(())
    }

    /// Sends the events from `from` that this live connection has not had. Returns whether the gap is filled: a state
    /// that is older than one the client has had of the same signal is left out.
    pub(super) async fn fill_in(
        &mut self,
        client: &mut Client,
        from: u64,
        request: &SubscriptionRequest,
    ) -> Result<bool, Gone> {
        let epoch = self.gateway.hub.position().epoch;
        let (wanted, target) = (&request.topics, self.completeness.after_all());
        let (mut seq, mut whole) = (from, !self.completeness.has_gap_after(from));
        while seq < target {
            let page = match resume::read_changes(&self.gateway.log, seq).await {
                Ok(page) if page.first().is_some_and(|first| first.seq == seq + 1) => page,
                _ => return Ok(false),
            };
            seq = page.last().map_or(target, |last| last.seq);
            let mut frames = Vec::new();
            for SignalChange { seq, signal, latest } in page {
                let after = self.completeness.after(&signal.symbol).filter(|_| wanted.contain_signal(&signal));
                if after.is_none_or(|after| seq > after) {
                    continue;
                }
                match self.snapshot.get(&signal.id) {
                    Some(sent) if *sent == seq => {}
                    Some(sent) if *sent > seq => whole = false,
                    _ if after < Some(latest) => whole = false,
                    _ => frames.push(wire::signal_frame(&signal, &Position { epoch: epoch.clone(), seq })),
                }
            }
            client.write(frames).await?;
        }
        self.completeness.fill(&wanted.signals, from);
        if !whole {
            self.completeness.leave_gap_until(target);
        }
        Ok(whole)
    }
}

/// A client that resumes. It gets no live events until its gap is filled.
struct Resumer<'a> {
    client: &'a mut Client,
    request: &'a SubscriptionRequest,
}

impl ResumeRequest for Resumer<'_> {
    async fn send(&mut self, page: Vec<(Position, Signal)>) -> Result<(), Gone> {
        let wanted = &self.request.topics;
        let missed = page.iter().filter(|(_, signal)| wanted.contain_signal(signal));
        let frames: Vec<_> = missed.map(|(position, signal)| wire::signal_frame(signal, position)).collect();
        self.client.write(frames).await
    }

    fn join(&mut self, snapshot: &Snapshot, rest: Vec<Arc<Envelope>>) -> Result<(), NoRoom> {
        // The previous pages are written, so there is room for the rest of the log.
        let (client, wanted) = (&self.client, &self.request.topics);
        let before = client.topics();
        client.put(snapshot.prices(|symbol| wanted.prices.contains(symbol) && !before.prices.contains(symbol)));
        client.put(rest.into_iter().filter(|publication| wanted.contain(publication.event())));
        join(client, snapshot, self.request, Some(true));
        Ok(())
    }
}

/// Sets the subscription to exactly what the request names, and answers it.
fn join(client: &Client, snapshot: &Snapshot, request: &SubscriptionRequest, recovered: Option<bool>) {
    client.set_topics(request.topics.clone());
    client.set_price_interval(request.max_hz.map(|hz| Duration::from_secs_f64(1.0 / hz)));
    let subscribed = Subscribed {
        channels: request.channels(),
        symbols: request.symbol_list(),
        unfed: request.unfed(snapshot),
        cursor: snapshot.position().to_string(),
        recovered,
        protocol: PROTOCOL,
        replay: request.granted_replay(snapshot).map(duration_text),
        max_hz: request.max_hz,
        filters: request.filters(),
        last_event_id: None,
    };
    client.answer(encode(&Typed { kind: "subscribed", fields: &subscribed }));
    client.put_current(&request.topics);
}
