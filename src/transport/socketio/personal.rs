//! Users' streams: which published messages they contain, and which of the past a joining client gets.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::SendError;
use socketioxide::extract::SocketRef;

use super::rooms::{self, is_full};
use crate::domain::{Class, CursorError, Event, RelayedMessage};
use crate::hub::{Audiences, Envelope, Snapshot};
use crate::transport::cursor::MessageCursor;
use crate::transport::events::PublishedTypes;
use crate::transport::resume::NoRoom;

/// Emitted beside a message.
#[derive(Debug, Serialize)]
pub(super) struct MessageMeta {
    /// Sequence number of the message.
    sequence: u64,
    /// Cursor that resumes after the message.
    cursor: String,
}

impl MessageMeta {
    pub(super) fn new(published: &RelayedMessage, cursor: &MessageCursor) -> Self {
        Self { sequence: published.seq, cursor: cursor.to_string() }
    }
}

/// Emits a message to one client, as an event with the name of its type. `data` is the form of its users' streams.
pub(super) fn emit(
    socket: &SocketRef,
    published: &RelayedMessage,
    data: &str,
    cursor: &MessageCursor,
) -> Result<(), SendError> {
    // The data was encoded here, so it is embedded without a check.
    let Ok(data) = serde_json::from_str::<&RawValue>(data) else { return Ok(()) };
    let meta = MessageMeta::new(published, cursor);
    rooms::emit(socket, published.kind.name(), &(data, meta), data.get().len())
}

/// What a user who joins still has to get: the current states, and the ordered messages since the presented cursor.
///
/// Everything is emitted in the order of the sequence numbers, so every cursor on the way is correct: a client that is
/// disconnected and presents its last cursor has missed nothing, and gets no ordered message twice.
#[derive(Debug)]
pub(super) struct Backlog {
    types: Arc<PublishedTypes>,
    audiences: Audiences,
    presented: Option<Result<MessageCursor, CursorError>>,
    /// Number after which ordered messages are due; set by the first call with a snapshot.
    place: Option<u64>,
    /// Everything up to this number has been queued for the client.
    reached: u64,
    recovered: Option<bool>,
}

impl Backlog {
    /// Creates the backlog of a user who may read `audiences` and has presented this cursor, if any.
    pub(super) fn new(
        types: Arc<PublishedTypes>,
        audiences: Audiences,
        presented: Option<Result<MessageCursor, CursorError>>,
    ) -> Self {
        Self { types, audiences, presented, place: None, reached: 0, recovered: None }
    }

    /// Returns the audiences whose messages these are.
    pub(super) fn audiences(&self) -> &Audiences {
        &self.audiences
    }

    /// Whether the gap since the presented cursor was filled; `None` when no cursor was presented.
    pub(super) fn recovered(&self) -> Option<bool> {
        self.recovered
    }

    /// Emits what is still due, while nothing is published.
    ///
    /// # Errors
    /// Fails when the client's queue has no room for all of it. The next call continues from there.
    pub(super) fn emit_to(&mut self, socket: &SocketRef, snapshot: &Snapshot) -> Result<(), NoRoom> {
        let (place, due) = self.due(snapshot);
        let mut reached = None;
        for publication in due {
            let Event::RelayedMessage(published) = publication.event() else { continue };
            let Some(data) = self.types.on_user_streams(published.kind) else { continue };
            let cursor = MessageCursor::new(snapshot.position(), place.max(published.seq));
            if is_full(&emit(socket, published, &data(published), &cursor)) {
                return Err(NoRoom { reached });
            }
            self.reached = published.seq;
            reached = Some(published.seq);
        }
        Ok(())
    }

    /// Returns the number after which ordered messages are due, and the due messages in the order of their numbers.
    fn due(&mut self, snapshot: &Snapshot) -> (u64, Vec<Arc<Envelope>>) {
        let last = snapshot.last_message();
        let place = *self.place.get_or_insert_with(|| {
            let presented = self.presented.take();
            let place = presented.as_ref().map(|cursor| cursor.as_ref().ok()?.place(snapshot.position(), last));
            self.recovered = place.map(|place| place.is_some());
            // With a cursor of another log, any of the retained messages may have been missed.
            place.map_or(last, Option::unwrap_or_default)
        });
        let (mut due, whole) = snapshot.messages_after(&self.audiences, place.max(self.reached));
        if !whole {
            self.recovered = Some(false);
        }
        due.retain(|publication| {
            publication.published().is_some_and(|message| self.types.on_user_streams(message.kind).is_some())
        });
        let on_streams = self.types.iter().filter(|declared| declared.on_user_streams.is_some());
        for state in on_streams.filter(|declared| declared.kind.class() == Class::State) {
            for audience in self.audiences.each() {
                let states = snapshot.states_of(&audience, state.kind);
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
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
