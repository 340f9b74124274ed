//! The writing side of a native connection: its lane, and an outbox if its task encodes events itself.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;

use super::Protocol;
use crate::auth::{AuthError, TokenKind, UserSession};
use crate::domain::Event;
use crate::hub::{Envelope, Membership, Ordered, Outbox, OutboxBatch, Topics};
use crate::telemetry::Queue;
use crate::transport::Gateway;
use crate::transport::close::Close;
use crate::transport::connection_guard::ConnectionGuard;
use crate::transport::lane::{self, Lane, Slot};
use crate::transport::messages::{ErrorObject, current_states};
use crate::transport::resume::Gone;

/// The writing side of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) lane: Arc<Lane>,
    /// The encoding in which it gets events that all clients share.
    encoding: Option<Slot>,
    /// What the connection's task encodes itself.
    pub(super) outbox: Option<Arc<Outbox>>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) guard: ConnectionGuard,
    /// Boxed, because most clients have none.
    pub(super) login: Option<Box<UserSession>>,
    membership: Membership,
    /// Number of pings with a receipt that have not been answered.
    pub(super) unanswered: usize,
}

impl Client {
    pub(super) fn new(
        lane: Arc<Lane>,
        gateway: Arc<Gateway>,
        guard: ConnectionGuard,
        login: Option<UserSession>,
        protocol: &impl Protocol,
    ) -> Self {
        let outbox = protocol.outbox().cloned();
        if let Some(outbox) = &outbox {
            gateway.fanout.join(outbox);
        }
        let user = login.as_ref().and_then(UserSession::user).map(|principal| principal.user.clone());
        let membership = gateway.hub.join("native", user);
        Self {
            lane,
            encoding: protocol.encoding(),
            outbox,
            gateway,
            guard,
            login: login.map(Box::new),
            membership,
            unanswered: 0,
        }
    }

    /// Returns what waits for the client, for the statistics.
    pub(super) fn queue(&self) -> Weak<dyn Queue> {
        match &self.outbox {
            Some(outbox) => Arc::<Outbox>::downgrade(outbox),
            None => Arc::<Lane>::downgrade(&self.lane),
        }
    }

    /// Ties the connection to this token: it ends with the token.
    pub(crate) fn log_in(&mut self, login: UserSession) {
        if let Some(principal) = login.user() {
            self.guard.log_in(principal.user.clone());
            self.membership.log_in(principal.user.clone());
        }
        self.login = Some(Box::new(login));
    }

    /// Returns the error for a token that was rejected: the reason, or that the client's address has presented too many
    /// wrong tokens.
    pub(crate) fn token_fault(&self, kind: TokenKind, error: AuthError) -> ErrorObject {
        self.gateway.token_fault(kind, error, self.guard.peer())
    }

    /// Returns why the connection's token has ended.
    pub(super) fn login_end(&self) -> Close {
        Close::of_login(self.login.as_ref().map_or(Ok(()), |login| self.gateway.tokens.still_good(login)))
    }

    /// Sends a frame to this client only, behind everything that was published.
    pub(crate) fn answer(&self, frame: Utf8Bytes) {
        match &self.outbox {
            Some(outbox) => {
                self.gateway.fanout.settle_outbox(outbox);
                outbox.answer(frame);
            }
            None => {
                self.gateway.fanout.settle(&self.lane);
                self.lane.send([lane::text(frame.as_bytes())]);
            }
        }
    }

    /// Sends events regardless of the subscription. For a snapshot or a replay. Call it inside
    /// [`Hub::with_snapshot`](crate::hub::Hub::with_snapshot).
    pub(crate) fn put(&self, events: impl IntoIterator<Item = Arc<Envelope>>) {
        let (shared, own): (Vec<_>, Vec<_>) = events.into_iter().partition(|envelope| self.shares(envelope.event()));
        if let Some(slot) = self.encoding.filter(|_| !shared.is_empty()) {
            self.gateway.fanout.settle(&self.lane);
            self.gateway.fanout.put(&self.lane, slot, &shared);
        }
        if let Some(outbox) = &self.outbox {
            self.gateway.fanout.settle_outbox(outbox);
            outbox.put(own);
        }
    }

    /// Sends the states that a client gets once it has subscribed to them.
    pub(crate) fn put_current(&self, topics: &Topics) {
        self.put(current_states(topics, &self.gateway.hub));
    }

    /// Whether it gets an event in its encoding.
    fn shares(&self, event: &Event) -> bool {
        self.encoding.is_some() && (self.outbox.is_none() || matches!(event, Event::Price(_)))
    }

    /// Replaces the subscription. Call it inside [`Hub::with_snapshot`](crate::hub::Hub::with_snapshot), together with
    /// reading the snapshot.
    pub(crate) fn set_topics(&self, topics: Topics) {
        self.membership.set(&topics);
        let Some(outbox) = &self.outbox else {
            if let Some(slot) = self.encoding {
                self.subscribe(slot, topics);
            }
            return;
        };
        let mut own = topics;
        if let Some(slot) = self.encoding {
            let prices = std::mem::take(&mut own.prices);
            self.subscribe(slot, Topics { prices, ..Topics::default() });
        }
        self.gateway.fanout.settle_outbox(outbox);
        outbox.set_topics(own);
    }

    /// Gets all events through the outbox from now on. Call it inside
    /// [`Hub::with_snapshot`](crate::hub::Hub::with_snapshot).
    pub(crate) fn stop_sharing(&mut self, topics: Topics) {
        if let Some(slot) = self.encoding.take() {
            self.subscribe(slot, Topics::default());
        }
        self.set_topics(topics);
    }

    /// Counts the client by a subscription that was set in its outbox.
    pub(crate) fn count(&self, topics: &Topics) {
        self.membership.set(topics);
    }

    fn subscribe(&self, slot: Slot, topics: Topics) {
        self.gateway.fanout.settle(&self.lane);
        self.lane.seal();
        self.gateway.fanout.subscribe(&self.lane, slot, topics);
    }

    /// Returns the subscription of a client without an outbox.
    pub(crate) fn topics(&self) -> Topics {
        self.encoding.map(|slot| self.lane.topics(slot)).unwrap_or_default()
    }

    /// Limits how often the client gets a price of each symbol; in between, only the newest is kept. `None` removes the
    /// limit.
    pub(crate) fn set_price_interval(&self, interval: Option<Duration>) {
        if let Some(slot) = self.encoding {
            self.lane.set_price_interval(slot, interval);
        }
    }

    /// Writes frames at once and waits until they are written. Replays use this, because only so much may wait for a
    /// client.
    pub(crate) async fn write(&mut self, frames: impl IntoIterator<Item = Utf8Bytes>) -> Result<(), Gone> {
        self.lane.send(frames.into_iter().map(|frame| lane::text(frame.as_bytes())));
        self.lane.written(0).await
    }

    /// Writes a protocol ping. Its answer calls [`on_receipt`](Protocol::on_receipt) with this number.
    pub(crate) async fn ping(&mut self, receipt: u64) -> Result<(), Gone> {
        let ping = self.receipt(receipt);
        self.lane.send([ping]);
        self.lane.written(0).await
    }

    fn receipt(&mut self, receipt: u64) -> Bytes {
        self.unanswered += 1;
        lane::ping(receipt)
    }

    /// Writes what was due in the outbox, and waits until it is written.
    pub(super) async fn write_batch(&mut self, batch: OutboxBatch, protocol: &mut impl Protocol) -> Result<(), Gone> {
        let (mut frames, mut receipts) = (Vec::new(), VecDeque::new());
        for publication in &batch.states {
            protocol.encode(publication, &mut frames);
        }
        let states = frames.len() as u64;
        let mut answers = 0;
        for ordered in batch.ordered {
            match ordered {
                Ordered::Event(publication) => {
                    receipts.extend(protocol.delivery_probe(&publication).map(|receipt| (frames.len(), receipt)));
                    protocol.encode(&publication, &mut frames);
                }
                Ordered::Frame(frame) => {
                    answers += 1;
                    frames.push(frame);
                }
                Ordered::Ping(number) => receipts.push_back((frames.len(), number)),
            }
        }
        protocol.batch_end(&mut frames);
        let ordered = frames.len() as u64 - states - answers;
        let mut written = Vec::with_capacity(frames.len() + receipts.len());
        for (index, frame) in frames.into_iter().enumerate() {
            while let Some((_, receipt)) = receipts.pop_front_if(|(before, _)| *before == index) {
                written.push(self.receipt(receipt));
            }
            written.push(lane::text(frame.as_bytes()));
        }
        for (_, receipt) in receipts {
            written.push(self.receipt(receipt));
        }
        self.lane.send(written);
        self.lane.written(0).await?;
        if let Some(outbox) = &self.outbox {
            outbox.wrote();
        }
        let delivered = &self.gateway.metrics.deliveries_total;
        delivered.with_label_values(&["state", "native"]).inc_by(states);
        delivered.with_label_values(&["ordered", "native"]).inc_by(ordered);
        Ok(())
    }
}
