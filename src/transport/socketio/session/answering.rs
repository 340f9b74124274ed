//! Answers to a client: as an event, as an acknowledgement, or as both.

use serde::Serialize;
use socketioxide::SendError;
use socketioxide::extract::SocketRef;
use tracing::debug;

use super::{Caller, ClientSession};
use crate::transport::command::SubscriptionRequest;
use crate::transport::messages::{ErrorObject, Typed};
use crate::transport::socketio::rooms;

impl Caller {
    /// Acknowledges the command, if the client asked for it.
    pub(super) fn acknowledge<T: Serialize>(&mut self, socket: &SocketRef, answer: &T) {
        let Some(ack) = self.ack.take() else { return };
        rooms::count_acknowledged(socket);
        if let Err(error) = ack.send(answer) {
            debug!(%error, "an acknowledgement was not sent");
        }
    }

    /// Acknowledges a request with its answer and its first fault: the valid part of the request is in effect.
    pub(super) fn acknowledge_with<T: Serialize>(
        &mut self,
        socket: &SocketRef,
        answer: &T,
        request: &SubscriptionRequest,
    ) {
        #[derive(Serialize)]
        struct Both<'a, T> {
            #[serde(flatten)]
            answer: &'a T,
            #[serde(flatten)]
            fault: Option<&'a ErrorObject>,
        }
        self.acknowledge(socket, &Both { answer, fault: request.faults.first() });
    }
}

impl ClientSession {
    pub(super) fn send_faults(&self, socket: &SocketRef, caller: &Caller, request: &SubscriptionRequest) {
        for fault in &request.faults {
            self.send_answer(socket, caller, "error", fault);
        }
    }

    pub(super) fn send_answer<T: Serialize>(
        &self,
        socket: &SocketRef,
        caller: &Caller,
        event: &'static str,
        answer: &T,
    ) {
        let sent = if caller.as_message {
            rooms::emit_answer(socket, "message", &Typed { kind: event, fields: answer })
        } else {
            rooms::emit_answer(socket, event, answer)
        };
        self.disconnect_if_full(socket, sent);
    }

    /// Disconnects the client if its queue was full. Otherwise it would miss something without knowing it; when it
    /// reconnects, it catches up.
    #[expect(clippy::needless_pass_by_value, reason = "it is the result of an emit, judged on the spot")]
    pub(super) fn disconnect_if_full(&self, socket: &SocketRef, sent: Result<(), SendError>) {
        if rooms::is_full(&sent) {
            self.disconnector.disconnect_slow(socket, "answer");
        }
    }
}
