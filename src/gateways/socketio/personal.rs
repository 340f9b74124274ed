//! Users' own streams: which published messages they are made of, and what a newcomer gets of the past.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::SendError;
use socketioxide::extract::SocketRef;

use super::rooms::{self, is_full};
use crate::domain::{Class, CursorError, Event, MessageType, RelayedMessage};
use crate::gateways::cursor::MessageCursor;
use crate::gateways::dialects::bots::spelled;
use crate::gateways::resume::NoRoom;
use crate::hub::{Audiences, Envelope, Snapshot};

/// Whether a message is an event of the users' streams. The others are forms of the market that single dashboards read; here
/// the market has its own events, some of them under the same names.
pub(super) const fn is_personal(kind: MessageType) -> bool {
    match kind {
        MessageType::Trades
        | MessageType::Bots
        | MessageType::Balances
        | MessageType::Decisions
        | MessageType::Metrics
        | MessageType::Whale
        | MessageType::Alerts
        | MessageType::SystemHealth
        | MessageType::Wallet
        | MessageType::AiTasks
        | MessageType::OrderUpdate
        | MessageType::Earnings
        | MessageType::Notification
        | MessageType::AdminUsers
        | MessageType::AdminSubscribers
        | MessageType::AdminRevenue
        | MessageType::AdminUserAnalytics => true,
        MessageType::Signal
        | MessageType::Tick
        | MessageType::Bar
        | MessageType::TradeSignals
        | MessageType::Idea
        | MessageType::PreparedPayload => false,
    }
}

/// What a client gets beside a message.
#[derive(Debug, Serialize)]
struct Meta {
    /// The number of the message.
    sequence: u64,
    /// What to present to get all that comes after.
    cursor: String,
}

/// Emits a message to one client: an event of its type's name.
pub(super) fn emit(socket: &SocketRef, published: &RelayedMessage, cursor: &MessageCursor) -> Result<(), SendError> {
    emit_data(socket, published, &spelled(published, None), cursor)
}

/// The same with the message's `data` in both spellings at hand.
pub(super) fn emit_data(
    socket: &SocketRef,
    published: &RelayedMessage,
    data: &str,
    cursor: &MessageCursor,
) -> Result<(), SendError> {
    // What we encoded ourselves is embedded as it is.
    let Ok(data) = serde_json::from_str::<&RawValue>(data) else { return Ok(()) };
    let meta = Meta { sequence: published.seq, cursor: cursor.to_string() };
    rooms::emit(socket, published.kind.name(), &(data, meta), data.get().len())
}

/// What a user who joins still has to get: the states as they are, and the ordered messages since he was there.
///
/// It comes in the order of the numbers, whatever it is. So every cursor on the way says the truth: a client that is cut and
/// presents the last one that it got has missed nothing, and gets nothing ordered twice.
#[derive(Debug)]
pub(super) struct Backlog {
    audiences: Audiences,
    presented: Option<Result<MessageCursor, CursorError>>,
    /// The number that ordered messages are due after; known with the first look at the present.
    place: Option<u64>,
    /// All up to this number has found a place in the client's queue.
    reached: u64,
    recovered: Option<bool>,
}

impl Backlog {
    /// All that is due to somebody who may read `audiences` and presents this cursor, or none.
    pub(super) fn new(audiences: Audiences, presented: Option<Result<MessageCursor, CursorError>>) -> Self {
        Self { audiences, presented, place: None, reached: 0, recovered: None }
    }

    /// Whose messages they are.
    pub(super) fn audiences(&self) -> &Audiences {
        &self.audiences
    }

    /// Whether the gap since the presented cursor was filled; `None` when none was presented.
    pub(super) fn recovered(&self) -> Option<bool> {
        self.recovered
    }

    /// Emits what is still due, while nothing is published.
    ///
    /// # Errors
    /// When there is no room for all of it; the next call goes on from there.
    pub(super) fn hand_over(&mut self, socket: &SocketRef, present: &Snapshot) -> Result<(), NoRoom> {
        let (place, due) = self.due(present);
        let mut reached = None;
        for publication in due {
            let Event::RelayedMessage(published) = publication.event() else { continue };
            let cursor = MessageCursor::new(present.position(), place.max(published.seq));
            if is_full(&emit(socket, published, &cursor)) {
                return Err(NoRoom { reached });
            }
            self.reached = published.seq;
            reached = Some(published.seq);
        }
        Ok(())
    }

    /// The number that ordered messages come after, and what is due, in the order of its numbers.
    fn due(&mut self, present: &Snapshot) -> (u64, Vec<Arc<Envelope>>) {
        let last = present.last_message();
        let place = *self.place.get_or_insert_with(|| {
            let presented = self.presented.take();
            let place = presented.as_ref().map(|cursor| cursor.as_ref().ok()?.place(present.position(), last));
            self.recovered = place.map(|place| place.is_some());
            // Of a log that is not this one, everything that is kept may have been missed.
            place.map_or(last, Option::unwrap_or_default)
        });
        let (mut due, whole) = present.messages_after(&self.audiences, place.max(self.reached));
        if !whole {
            self.recovered = Some(false);
        }
        due.retain(
            |publication| matches!(publication.event(), Event::RelayedMessage(message) if is_personal(message.kind)),
        );
        let states =
            MessageType::ALL.into_iter().filter(|(kind, _, class)| *class == Class::State && is_personal(*kind));
        for (kind, ..) in states {
            for audience in self.audiences.each() {
                let states = present.states_of(&audience, kind);
                due.extend(states.filter(|state| number(state) > self.reached).cloned());
            }
        }
        due.sort_unstable_by_key(|publication| number(publication));
        (place, due)
    }
}

fn number(publication: &Envelope) -> u64 {
    match publication.event() {
        Event::RelayedMessage(published) => published.seq,
        Event::Signal(_) | Event::Price(_) => 0,
    }
}

#[cfg(test)]
mod tests;
