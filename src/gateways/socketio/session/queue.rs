//! Commands that wait until they can be executed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use socketioxide::extract::SocketRef;
use tokio::time::{Instant, sleep};

use super::{Said, Session};
use crate::gateways::socketio::polling::PollingSession;

/// Largest number of queued commands.
const MAX_SAID: usize = 32;
/// Largest total size of the queued commands, in bytes.
const MAX_BYTES: usize = 128 * 1024;
/// How long a client may take to poll while too much waits for all clients together.
const POLL_PATIENCE: Duration = Duration::from_secs(10);
/// Time between two checks whether it polls.
const PAUSE: Duration = Duration::from_millis(20);

/// Queued commands, in the order in which the client sent them.
#[derive(Default)]
pub(super) struct SaidQueue {
    said: VecDeque<(usize, Said)>,
    bytes: usize,
}

impl SaidQueue {
    /// Appends a command.
    ///
    /// # Errors
    /// Returns the command when there is no room for it.
    pub(super) fn push(&mut self, said: Said) -> Result<(), Said> {
        let bytes = weight(&said.data);
        if self.said.len() >= MAX_SAID || self.bytes + bytes > MAX_BYTES {
            return Err(said);
        }
        self.bytes += bytes;
        self.said.push_back((bytes, said));
        Ok(())
    }

    /// Removes the first command.
    pub(super) fn pop(&mut self) -> Option<Said> {
        let (bytes, said) = self.said.pop_front()?;
        self.bytes -= bytes;
        Some(said)
    }
}

impl Session {
    /// Executes the queued commands as soon as the client polls, or less data waits for all clients. A client that does
    /// not poll in time is disconnected.
    pub(super) fn wait_for_poll(self: &Arc<Self>, socket: &SocketRef) {
        let (session, socket) = (self.clone(), socket.clone());
        self.gateway.tasks.clone().spawn_connection(async move {
            let deadline = Instant::now() + POLL_PATIENCE;
            while PollingSession::of(&socket).is_some_and(|polling| !polling.may_ask()) {
                if !socket.connected() {
                    return;
                }
                if Instant::now() > deadline {
                    return session.cuts.too_slow(&socket, "answer");
                }
                sleep(PAUSE).await;
            }
            session.listen(&socket);
        });
    }
}

/// Estimates the memory that a value takes, in bytes.
fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(fields) => fields.iter().map(|(name, field)| name.len() + 64 + weight(field)).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateways::socketio::session::{Caller, Command};

    fn said(data: Value) -> Said {
        Said { command: Command::Subscribe, data, caller: Caller { as_message: false, ack: None } }
    }

    #[test]
    fn the_queue_is_bounded_in_number_and_bytes() {
        let mut queue = SaidQueue::default();
        for _ in 0..MAX_SAID {
            assert!(queue.push(said(Value::Null)).is_ok());
        }
        assert!(queue.push(said(Value::Null)).is_err());
        while queue.pop().is_some() {}
        assert_eq!(queue.bytes, 0);
        // A short message that takes far more memory as a value.
        let numbers = || said(json!(vec![1; 3_000]));
        assert!(queue.push(numbers()).is_ok());
        assert!(queue.push(numbers()).is_err());
        assert!(queue.push(said(json!({"channels": ["signals"]}))).is_ok());
    }
}
