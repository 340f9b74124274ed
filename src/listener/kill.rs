//! Ends one connection from anywhere: from the stream itself, from a gateway, or from the listener when the process stops.

use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::inbound::{Inbound, InboundFilter};
use super::write_stats::WriteStats;
use crate::telemetry::{ConnectionSpan, Queue};

/// Why a connection was ended from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A write waited for the peer longer than the write time-out.
    #[error("the peer does not read")]
    SlowReader,
    /// The connection's queue overflowed; the peer has to reconnect and recover.
    #[error("the peer cannot keep up")]
    Overloaded,
    /// The process is stopping.
    #[error("the server is stopping")]
    Draining,
    /// No request had arrived when the head time-out ran out.
    #[error("no request arrived in time")]
    NoRequest,
    /// The peer was silent for longer than the heartbeat allows.
    #[error("the peer is silent")]
    Silent,
    /// The token of the connection has ended or was revoked.
    #[error("the credentials have ended")]
    Unauthorized,
    /// The peer broke a rule of the endpoint.
    #[error("the peer broke a rule")]
    Policy,
}

impl Reason {
    /// Returns the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::SlowReader => "slow_reader",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::NoRequest => "no_request",
            Self::Silent => "silent",
            Self::Unauthorized => "unauthorized",
            Self::Policy => "policy",
        }
    }

    /// Whether unsent bytes in the kernel are discarded on close; they can be up to 4 MB for a peer that does not read.
    pub(super) fn discards_output(self) -> bool {
        matches!(self, Self::SlowReader | Self::Overloaded)
    }
}

impl From<Reason> for io::Error {
    fn from(reason: Reason) -> Self {
        Self::new(io::ErrorKind::ConnectionAborted, reason)
    }
}

/// Ends the connection it belongs to. A clone ends the same connection.
///
/// Every request carries the switch of its connection in its extensions.
#[derive(Debug, Clone)]
pub struct KillSwitch(Arc<SwitchState>);

#[derive(Debug)]
struct SwitchState {
    /// Set once: the first reason is kept.
    reason: OnceLock<Reason>,
    /// The task that waits in a read of the stream.
    reader: AtomicWaker,
    /// The task that waits in a write of the stream; often not the reader's.
    writer: AtomicWaker,
    /// The tasks that wait in [`KillSwitch::wait`].
    waiting: Notify,
    write_stats: WriteStats,
    inbound: OnceLock<Mutex<Inbound>>,
}

/// A timer of the stream wakes both sides, since either task may have ended already.
impl Wake for SwitchState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Default for KillSwitch {
    fn default() -> Self {
        Self(Arc::new(SwitchState {
            reason: OnceLock::new(),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            waiting: Notify::new(),
            write_stats: WriteStats::new(),
            inbound: OnceLock::new(),
        }))
    }
}

impl KillSwitch {
    /// Returns a switch that does not belong to a stream yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records for the statistics what is served on the connection, and the queue of its client. Only the first call counts.
    pub fn serves(&self, endpoint: &'static str, queue: Option<Weak<dyn Queue>>) {
        self.0.write_stats.serves(endpoint, queue);
    }

    /// Records which client is served on the connection, for its log lines and the statistics. Only the first call counts.
    pub fn identify(&self, client: ConnectionSpan) {
        self.0.write_stats.identify(client);
    }

    /// Returns how long the current write has waited for the peer; `None` when none waits.
    pub fn blocked(&self) -> Option<Duration> {
        self.0.write_stats.blocked()
    }

    /// Makes every read and write of the connection fail from now on, and wakes those that wait. The first reason is kept.
    pub fn kill(&self, reason: Reason) {
        if self.0.reason.set(reason).is_ok() {
            self.0.wake_by_ref();
            self.0.waiting.notify_waiters();
        }
    }

    /// Returns why the connection was killed, if it was.
    pub fn killed(&self) -> Option<Reason> {
        self.0.reason.get().copied()
    }

    /// Whether this is the last clone of the switch, which means that its connection has ended.
    pub fn is_orphaned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Waits until the connection is killed; forever if it ends in another way.
    pub async fn wait(&self) -> Reason {
        loop {
            let notified = self.0.waiting.notified();
            if let Some(reason) = self.killed() {
                return reason;
            }
            notified.await;
        }
    }

    /// Passes everything that the peer sends from now on through `filter`. Only the first call counts.
    pub fn filter_inbound(&self, filter: impl InboundFilter + 'static) {
        self.0.inbound.set(Mutex::new(Inbound::new(filter))).ok();
    }

    pub(super) fn inbound(&self) -> Option<&Mutex<Inbound>> {
        self.0.inbound.get()
    }

    pub(super) fn write_stats(&self) -> &WriteStats {
        &self.0.write_stats
    }

    pub(super) fn register_reader(&self, waker: &Waker) {
        self.0.reader.register(waker);
    }

    pub(super) fn register_writer(&self, waker: &Waker) {
        self.0.writer.register(waker);
    }

    pub(super) fn wake_reader(&self) {
        self.0.reader.wake();
    }

    pub(super) fn waker_of_both(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    /// Drops the wakers: a switch may outlive its stream, and a waker keeps the memory of its task.
    pub(super) fn forget_wakers(&self) {
        self.0.reader.take();
        self.0.writer.take();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_first_reason_is_kept_and_ends_waiting() {
        let switch = KillSwitch::new();
        let waiting = switch.wait();
        tokio::pin!(waiting);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        switch.clone().kill(Reason::Overloaded);
        switch.kill(Reason::Draining);
        assert_eq!(waiting.await, Reason::Overloaded);
        assert_eq!(switch.killed(), Some(Reason::Overloaded));
        assert_eq!(switch.wait().await, Reason::Overloaded);
    }
}
