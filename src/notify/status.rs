//! What operators see of the lanes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// The state of a lane.
#[derive(Debug, Clone, Default)]
pub struct ReceiverState {
    /// The channel, such as `telegram`.
    pub channel: &'static str,
    /// Which of the channel's receivers it is, and how many there are.
    pub place: (usize, usize),
    /// Why messages are not taken now.
    pub problem: Option<String>,
    /// How often in a row messages were not taken.
    pub failures: u32,
    /// When the oldest step happened that waits to be sent.
    pub waiting_since: Option<DateTime<Utc>>,
    /// When the last message was taken.
    pub sent_at: Option<DateTime<Utc>>,
}

impl ReceiverState {
    /// Returns the name with the number of the receiver, where there are several.
    pub fn label(&self) -> String {
        match self.place {
            (_, 1) => self.channel.to_owned(),
            (number, all) => format!("{} {number}/{all}", self.channel),
        }
    }
}

/// The states of all lanes.
#[derive(Debug, Clone, Default)]
pub(super) struct LaneStates(Arc<Mutex<Vec<ReceiverState>>>);

impl LaneStates {
    /// Adds a lane, and returns its index.
    pub(super) fn add(&self, channel: &'static str, place: (usize, usize)) -> usize {
        let mut lanes = self.0.lock();
        lanes.push(ReceiverState { channel, place, ..ReceiverState::default() });
        lanes.len() - 1
    }

    /// Changes the state of a lane.
    pub(super) fn set(&self, lane: usize, change: impl FnOnce(&mut ReceiverState)) {
        if let Some(state) = self.0.lock().get_mut(lane) {
            change(state);
        }
    }

    /// Returns all states.
    pub(super) fn list(&self) -> Vec<ReceiverState> {
        self.0.lock().clone()
    }
}
