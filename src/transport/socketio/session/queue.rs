//! Commands that wait until they can be executed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use socketioxide::extract::SocketRef;
use tokio::time::{Instant, sleep};

use super::{ClientSession, ReceivedCommand};
use crate::transport::socketio::polling::PollingSession;

/// Largest number of queued commands.
const MAX_COMMANDS: usize = 32;
/// Largest total size of the queued commands, in bytes.
const MAX_BYTES: usize = 128 * 1024;
/// How long a client may take to poll while too much waits for all clients together.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two checks whether it polls.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Queued commands, in the order in which the client sent them.
#[derive(Default)]
pub(super) struct CommandQueue {
    received: VecDeque<(usize, ReceivedCommand)>,
    bytes: usize,
}

impl CommandQueue {
    /// Appends a command.
    ///
    /// # Errors
    /// Returns the command when there is no room for it.
    pub(super) fn push(&mut self, received: ReceivedCommand) -> Result<(), ReceivedCommand> {
        let bytes = weight(&received.data);
        if self.received.len() >= MAX_COMMANDS || self.bytes + bytes > MAX_BYTES {
            return Err(received);
        }
        self.bytes += bytes;
        self.received.push_back((bytes, received));
        Ok(())
    }

    /// Removes the first command.
    pub(super) fn pop(&mut self) -> Option<ReceivedCommand> {
        let (bytes, received) = self.received.pop_front()?;
        self.bytes -= bytes;
        Some(received)
    }
}

impl ClientSession {
    /// Executes the queued commands as soon as the client polls, or less data waits for all clients. A client that does
    /// not poll in time is disconnected.
    pub(super) fn wait_for_poll(self: &Arc<Self>, socket: &SocketRef) {
        let (session, socket) = (self.clone(), socket.clone());
        self.spawn(async move {
            let deadline = Instant::now() + POLL_TIMEOUT;
            while PollingSession::of(&socket).is_some_and(|polling| !polling.may_ask()) {
                if !socket.connected() {
                    return;
                }
                if Instant::now() > deadline {
                    return session.disconnector.disconnect_slow(&socket, "answer");
                }
                sleep(CHECK_INTERVAL).await;
            }
            session.execute_queued(&socket);
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
    use crate::transport::socketio::session::{Caller, ClientCommand};

    fn received(data: Value) -> ReceivedCommand {
        ReceivedCommand { command: ClientCommand::Subscribe, data, caller: Caller { as_message: false, ack: None } }
    }

    #[test]
    fn the_queue_is_bounded_in_number_and_bytes() {
        let mut queue = CommandQueue::default();
        for _ in 0..MAX_COMMANDS {
            assert!(queue.push(received(Value::Null)).is_ok());
        }
        assert!(queue.push(received(Value::Null)).is_err());
        while queue.pop().is_some() {}
        assert_eq!(queue.bytes, 0);
        // A short message that takes far more memory as a value.
        let numbers = || received(json!(vec![1; 3_000]));
        assert!(queue.push(numbers()).is_ok());
        assert!(queue.push(numbers()).is_err());
        assert!(queue.push(received(json!({"channels": ["signals"]}))).is_ok());
    }
}
