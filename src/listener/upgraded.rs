//! The raw socket of a connection that became a WebSocket. It is written from several tasks, without a queue.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead as _, ReadBuf};
#[cfg(test)]
use tokio::net::TcpStream;

use super::kill::{KillSwitch, Reason};
#[cfg(test)]
use super::linger::Lingering;
use super::linger::LingeringStream;
use super::registry::ConnectionSlot;
use super::stream::{GuardedStream, report};
use crate::tasks::Tasks;
#[cfg(test)]
use crate::telemetry::Metrics;

/// The socket of an upgraded connection. Whoever writes has to keep track of where frames end, and to end the connection of
/// a peer that does not read: the guard of a plain HTTP connection is gone.
#[derive(Debug)]
pub struct UpgradedSocket {
    stream: LingeringStream,
    kill: KillSwitch,
    write_timeout: Duration,
    /// Counts the connection while its socket exists.
    _slot: Option<ConnectionSlot>,
    /// Whether a write takes a random part.
    #[cfg(test)]
    is_chopped: bool,
}

impl UpgradedSocket {
    /// Takes the socket from hyper, and returns it with the bytes that were read behind the handshake.
    ///
    /// # Errors
    /// Returns the connection unchanged when it does not come from a [`Listener`](super::Listener).
    pub fn take(upgraded: Upgraded) -> Result<(Self, Bytes), Upgraded> {
        let parts = upgraded.downcast::<TokioIo<GuardedStream<LingeringStream>>>()?;
        let (stream, kill, write_timeout, slot) = parts.io.into_inner().into_parts();
        // A copy, because hyper's whole buffer would stay in memory otherwise.
        let early = Bytes::copy_from_slice(&parts.read_buf);
        let socket = Self {
            stream,
            kill,
            write_timeout,
            _slot: slot,
            #[cfg(test)]
            is_chopped: false,
        };
        Ok((socket, early))
    }

    /// Returns the switch that ends the connection.
    pub fn kill(&self) -> &KillSwitch {
        &self.kill
    }

    /// Returns where the tasks of the connection are spawned.
    pub fn tasks(&self) -> &Tasks {
        self.stream.tasks()
    }

    /// Returns how long the peer may accept nothing.
    pub fn write_timeout(&self) -> Duration {
        self.write_timeout
    }

    /// Writes what the socket accepts now.
    ///
    /// # Errors
    /// `WouldBlock` when it accepts nothing now, or another error when the connection is broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let bytes = &bytes[..self.part_of(bytes.len())];
        self.stream.tcp()?.try_write(bytes)
    }

    /// Writes several slices like [`try_write`](Self::try_write).
    ///
    /// # Errors
    /// The same.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(test)]
        if self.is_chopped && rand::random_bool(0.5) {
            return self.try_write(&slices[0]);
        }
        self.stream.tcp()?.try_write_vectored(slices)
    }

    /// Waits until the socket accepts more. Any number of tasks may wait.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn writable(&self) -> io::Result<()> {
        self.stream.tcp()?.writable().await
    }

    /// Polls whether the socket accepts more. Only the last task that polls is woken.
    ///
    /// # Errors
    /// When the connection is broken or was killed.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        self.kill.register_writer(cx.waker());
        self.stream.tcp()?.poll_write_ready(cx)
    }

    /// Reads what has arrived, through the connection's filter. Only the last task that polls is woken.
    ///
    /// # Errors
    /// When the connection is broken or was killed.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let mut raw = &self.stream;
        let read = match self.kill.inbound() {
            Some(inbound) => inbound.lock().poll_read(&mut raw, cx, buf),
            None => Pin::new(&mut raw).poll_read(cx, buf),
        };
        if read.is_pending() {
            self.kill.register_reader(cx.waker());
        }
        read
    }

    /// Makes the task of a read that must wait be woken when the connection is killed.
    pub fn pause_reading(&self, cx: &Context<'_>) {
        self.kill.register_reader(cx.waker());
    }

    /// Drops the wakers of a stream that has ended, although its socket is still in use.
    pub fn forget_wakers(&self) {
        self.kill.forget_wakers();
    }

    /// Fails when the connection was killed.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> io::Result<()> {
        self.kill.killed().map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// Notes that a write waits for the peer.
    pub fn block(&self) {
        self.kill.write_stats().block();
    }

    /// Notes that no write waits for the peer.
    pub fn unblock(&self) {
        self.kill.write_stats().unblock();
    }

    /// Ends the connection, because its peer has accepted nothing for the write time-out.
    pub fn kill_slow_reader(&self) {
        if self.kill.killed().is_none() {
            report(self.kill.write_stats());
            self.kill.kill(Reason::SlowReader);
        }
    }

    /// Tells the peer that nothing follows.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn shut_down_writing(&self) -> io::Result<()> {
        Ok(shutdown(self.stream.tcp()?, Shutdown::Write)?)
    }

    /// Wakes everything that waits for the socket: reads and writes end.
    pub fn shut_down(&self) {
        if let Ok(tcp) = self.stream.tcp() {
            // The peer may have reset the connection meanwhile.
            shutdown(tcp, Shutdown::Both).ok();
        }
    }

    /// Returns the socket of a connection that was not accepted by a listener. With `is_chopped`, each write takes a random
    /// part.
    #[cfg(test)]
    pub(crate) fn of(tcp: TcpStream, kill: KillSwitch, write_timeout: Duration, is_chopped: bool) -> Self {
        let lingering = Lingering::new(Tasks::new(), Metrics::new().unwrap());
        Self {
            stream: LingeringStream::new(tcp, lingering, kill.clone()),
            kill,
            write_timeout,
            _slot: None,
            is_chopped,
        }
    }

    #[cfg(test)]
    fn part_of(&self, length: usize) -> usize {
        if self.is_chopped && length > 0 { rand::random_range(1..=length.min(3000)) } else { length }
    }
}

impl Drop for UpgradedSocket {
    fn drop(&mut self) {
        self.kill.forget_wakers();
        self.unblock();
    }
}
