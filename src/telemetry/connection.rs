//! Names a client's connection in the log.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Span;

/// The id of a client's connection: its number since the start of the process, printed in base 36. It is no secret, unlike a
/// Socket.IO session id, with which a stranger could poll the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// Returns an id that no other connection of the process has.
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::new();
        let mut rest = self.0;
        while rest > 0 || digits.is_empty() {
            digits.extend(char::from_digit((rest % 36) as u32, 36));
            rest /= 36;
        }
        f.write_str(&digits.iter().rev().collect::<String>())
    }
}

/// Names a connection in the log: every line that is logged within its span has the field `connection`.
///
/// The span itself exists only while something happens on the connection. The log's registry never gives back the memory of a
/// span, and after a storm of clients each of these small pieces would keep a page of memory from being given back.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionSpan {
    id: ConnectionId,
}

impl Default for ConnectionSpan {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectionSpan {
    /// Names a new connection.
    pub fn new() -> Self {
        Self { id: ConnectionId::next() }
    }

    /// Returns the connection's id.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Returns a span, for a step of work. It must not be kept for as long as the connection.
    pub fn span(&self) -> Span {
        // At the level of errors, so that no filter takes the id from the lines that it lets through. Without a parent,
        // because the request that began the connection ends before it.
        tracing::error_span!(parent: None, "client", connection = %self.id)
    }

    /// Runs a task that serves the connection, with a span around each of its steps.
    pub fn run<F: Future>(self, task: F) -> impl Future<Output = F::Output> {
        // Boxed, because the compiler would keep room for it twice: as the argument and in its pinned place.
        let mut task = Box::pin(task);
        poll_fn(move |cx| self.span().in_scope(|| task.as_mut().poll(cx)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_in_base_36() {
        for (number, text) in
            [(0, "0"), (1, "1"), (35, "z"), (36, "10"), (1_000_000, "lfls"), (u64::MAX, "3w5e11264sgsf")]
        {
            assert_eq!(ConnectionId(number).to_string(), text);
        }
    }

    #[test]
    fn no_two_connections_have_one_id() {
        assert_ne!(ConnectionSpan::new().id(), ConnectionSpan::new().id());
    }
}
