//! What a client says while it cannot be answered yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use socketioxide::extract::SocketRef;
use tokio::time::{Instant, sleep};

use super::{Said, Session};
use crate::gateways::socketio::polling::PollingSession;

/// What waits its turn, up to this many.
const MAX_SAID: usize = 32;
/// And up to so much memory, in bytes.
const MAX_BYTES: usize = 128 * 1024;
/// How long a client may take to poll when too much waits for all clients together.
const POLL_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked at again whether it polls.
const PAUSE: Duration = Duration::from_millis(20);

/// What a client has said and not been answered, in the order in which it was said.
#[derive(Default)]
pub(super) struct SaidQueue {
    said: VecDeque<(usize, Said)>,
    bytes: usize,
}

impl SaidQueue {
    /// Puts something at the end.
    ///
    /// # Errors
    /// What was said, when there is no room for it.
    pub(super) fn push(&mut self, said: Said) -> Result<(), Said> {
        let bytes = weight(&said.data);
        if self.said.len() >= MAX_SAID || self.bytes + bytes > MAX_BYTES {
            return Err(said);
        }
        self.bytes += bytes;
        self.said.push_back((bytes, said));
        Ok(())
    }

    /// Takes what was said first.
    pub(super) fn pop(&mut self) -> Option<Said> {
        let (bytes, said) = self.said.pop_front()?;
        self.bytes -= bytes;
        Some(said)
    }
}

impl Session {
    /// Goes on with what the client has said as soon as it polls, or less waits for all clients together. One that does not
    /// poll is cut.
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

/// About how much memory a value takes, in bytes.
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
    fn what_waits_is_bounded_in_number_and_bytes() {
        let mut queue = SaidQueue::default();
        for _ in 0..MAX_SAID {
            assert!(queue.push(said(Value::Null)).is_ok());
        }
        assert!(queue.push(said(Value::Null)).is_err());
        while queue.pop().is_some() {}
        assert_eq!(queue.bytes, 0);
        // A short message, which takes far more as a value.
        let numbers = || said(json!(vec![1; 3_000]));
        assert!(queue.push(numbers()).is_ok());
        assert!(queue.push(numbers()).is_err());
        assert!(queue.push(said(json!({"channels": ["signals"]}))).is_ok());
    }
}
