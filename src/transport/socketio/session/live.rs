//! Live events of a client: through its lane, or through rooms while it polls.

use socketioxide::extract::SocketRef;

use super::ClientSession;
use crate::transport::lane::MARKER;
use crate::transport::resume::NoRoom;
use crate::transport::socketio::rates::PriceRate;
use crate::transport::socketio::{lanes, rooms, websocket};

/// Returns the rate of prices that a client gets: what it asked for, or the next lower rate that has a room.
pub(super) fn granted_rate(socket: &SocketRef, max_hz: Option<f64>) -> Option<f64> {
    match websocket::lane(socket) {
        Some(_) => max_hz,
        None => PriceRate::at_most(max_hz).map(PriceRate::hz),
    }
}

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

    /// Joins the live events of the current subscription, behind everything that was emitted. Call it under the hub's lock.
    ///
    /// # Errors
    /// Fails when the client's queue is full. Live events are held back until the next call.
    pub(super) fn join_live(&self, socket: &SocketRef) -> Result<(), NoRoom> {
        let mut state = self.state.lock();
        self.membership.set(&state.topics);
        let Some(lane) = websocket::lane(socket) else {
            let rate = PriceRate::at_most(state.max_hz);
            if let Some(rate) = rate {
                self.rates.enable(rate);
            }
            rooms::join(socket, &state.topics, rate);
            return Ok(());
        };
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
        let state = self.state.lock();
        self.membership.set(&state.topics);
        match websocket::lane(socket) {
            Some(lane) => self.gateway.fanout.subscribe(&lane, lanes::slot(socket.ns()), state.topics.clone()),
            None => rooms::join(socket, &state.topics, PriceRate::at_most(state.max_hz)),
        }
    }

    /// Goes over from the rooms to the lane of the WebSocket that the client has upgraded to. Call it under the hub's lock.
    pub(in crate::transport::socketio) fn move_to_lane(&self, socket: &SocketRef) {
        self.hold_live(socket);
        // What was emitted into the rooms goes out before the marker.
        socket.leave_all();
        if self.join_live(socket).is_err() {
            self.disconnector.disconnect_slow(socket, "upgrade");
        }
    }
}
