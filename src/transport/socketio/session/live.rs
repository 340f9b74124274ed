//! Live events of a client: through its lane, or through rooms while it polls.

use std::sync::Arc;

use socketioxide::extract::SocketRef;

use super::{ClientSession, SessionState};
use crate::hub::{Envelope, Hub, Outbox, Selection, Topics};
use crate::transport::lane::MARKER;
use crate::transport::resume::NoRoom;
use crate::transport::socketio::{lanes, rooms, websocket};

impl ClientSession {
    /// Holds live events back until [`join_live`](Self::join_live), so that they follow what is emitted meanwhile. Call it
    /// under the hub's lock.
    pub(super) fn hold_live(&self, socket: &SocketRef) {
        let Some(lane) = websocket::lane(socket) else { return };
        self.gateway.fanout.settle(&lane);
        if !std::mem::replace(&mut self.state.lock().owes_marker, true) {
            lane.close_gate();
        }
    }

    /// Sends a snapshot behind everything that was emitted, and before everything that follows. On a lane it waits behind a
    /// marker of its own: through the engine it would leave a buffer of its size with every client. Call it under the hub's
    /// lock, after [`hold_live`](Self::hold_live).
    pub(super) fn send_snapshot(&self, socket: &SocketRef, prices: Vec<Arc<Envelope>>, signals: Vec<Arc<Envelope>>) {
        let Some(lane) = websocket::lane(socket).filter(|_| !prices.is_empty() || !signals.is_empty()) else {
            for price in &prices {
                self.disconnect_if_full(socket, rooms::emit_object(socket, price));
            }
            for signal in &signals {
                self.disconnect_if_full(socket, rooms::emit_signal(socket, signal));
            }
            return;
        };
        let sent = socket.emit(MARKER.as_str(), &());
        if sent.is_ok() {
            self.state.lock().owes_marker = false;
            let events = [prices, signals].concat();
            self.gateway.fanout.put_behind_gate(&lane, lanes::slot(socket.ns()), &events);
            self.hold_live(socket);
        }
        self.disconnect_if_full(socket, sent);
    }

    /// Joins the live events of the current subscription, behind everything that was emitted. Call it under the hub's lock.
    ///
    /// # Errors
    /// Fails when the client's queue is full. Live events are held back until the next call.
    pub(super) fn join_live(&self, socket: &SocketRef) -> Result<(), NoRoom> {
        let mut state = self.state.lock();
        self.membership.set(&state.topics);
        let Some(lane) = websocket::lane(socket) else {
            self.join_rooms(socket, &mut state);
            return Ok(());
        };
        if let Some(limited) = state.limited.take() {
            self.gateway.fanout.settle_outbox(&limited);
            limited.set_price_interval(None);
            emit_due(socket, &limited);
        }
        if state.owes_marker {
            if rooms::is_full(&socket.emit(MARKER.as_str(), &())) {
                return Err(NoRoom { reached: None });
            }
            state.owes_marker = false;
        }
        let slot = lanes::slot(socket.ns());
        lane.set_price_interval(slot, state.max_hz.map(lanes::interval));
        self.gateway.fanout.subscribe(&lane, slot, state.topics.clone());
        self.seat.leave_rooms();
        Ok(())
    }

    /// Leaves the live events that are no longer subscribed. Call it under the hub's lock.
    pub(super) fn leave_live(&self, socket: &SocketRef) {
        let mut state = self.state.lock();
        self.membership.set(&state.topics);
        match websocket::lane(socket) {
            Some(lane) => self.gateway.fanout.subscribe(&lane, lanes::slot(socket.ns()), state.topics.clone()),
            None => self.join_rooms(socket, &mut state),
        }
    }

    /// Joins the rooms of the subscription. The prices of a client that limits them come through an outbox, once it has
    /// asked for that.
    fn join_rooms(&self, socket: &SocketRef, state: &mut SessionState) {
        if state.limited.is_none() && state.max_hz.is_some() {
            let limited = Arc::new(Outbox::new(self.gateway.metrics.clone()));
            self.gateway.fanout.join(&limited);
            self.spawn_limited(socket, limited.clone());
            state.limited = Some(limited);
        }
        let Some(limited) = &state.limited else { return rooms::join(socket, &state.topics, self.gateway.delay) };
        self.gateway.fanout.settle_outbox(limited);
        limited.set_price_interval(state.max_hz.map(lanes::interval));
        limited.set_topics(Topics { prices: state.topics.prices.clone(), ..Topics::default() });
        let others = Topics { prices: Selection::None, ..state.topics.clone() };
        rooms::join(socket, &others, self.gateway.delay);
    }

    fn spawn_limited(&self, socket: &SocketRef, limited: Arc<Outbox>) {
        let (closed, draining, socket) = (self.closed.clone(), self.gateway.draining.clone(), socket.clone());
        self.spawn(async move {
            loop {
                tokio::select! {
                    () = limited.ready() => {}
                    () = closed.cancelled() => return,
                    () = draining.cancelled() => return,
                }
                let Some(session) = Self::of(&socket) else { return };
                // Not while the client joins, or a price could follow a newer one.
                let state = session.state.lock();
                if state.limited.as_ref().is_none_or(|current| !Arc::ptr_eq(current, &limited)) {
                    return;
                }
                emit_due(&socket, &limited);
            }
        });
    }

    /// Goes over from the rooms to the lane of the WebSocket that the client has upgraded to. Call it under the lock of `locked`.
    pub(in crate::transport::socketio) fn move_to_lane(&self, socket: &SocketRef, locked: &Arc<Hub>) {
        if Arc::ptr_eq(locked, &self.gateway.hub) {
            return self.take_lane(socket);
        }
        self.gateway.hub.with_snapshot(|_| self.take_lane(socket));
    }

    fn take_lane(&self, socket: &SocketRef) {
        self.hold_live(socket);
        // What was emitted into the rooms goes out before the marker.
        socket.leave_all();
        if self.join_live(socket).is_err() {
            self.disconnector.disconnect_slow(socket, "upgrade");
        }
    }
}

/// Emits the prices that are due. A full queue loses them: what is queued is older, and the next signal disconnects the
/// client.
fn emit_due(socket: &SocketRef, limited: &Outbox) {
    for price in limited.drain().map(|batch| batch.states).unwrap_or_default() {
        rooms::emit_object(socket, &price).ok();
    }
}
