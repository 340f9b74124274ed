//! Lingering close: ends a connection so that the peer still receives the last bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::kill::{KillSwitch, Reason};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Connections that linger at a time; further ones are closed at once.
const MAX_LINGERING: usize = 64;
/// Maximum number of bytes that are read at a time from a stream that other tasks write to.
const READ_CHUNK: usize = 16 * 1024;
/// How long a peer has to read the last bytes and close its side.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Closes ended connections after a short wait for their peers. Every connection has a clone.
#[derive(Debug, Clone)]
pub(super) struct Lingering(Arc<LingeringState>);

#[derive(Debug)]
struct LingeringState {
    permits: Arc<Semaphore>,
    tasks: Tasks,
    metrics: Metrics,
}

impl Lingering {
    pub(super) fn new(tasks: Tasks, metrics: Metrics) -> Self {
        Self(Arc::new(LingeringState { permits: Arc::new(Semaphore::new(MAX_LINGERING)), tasks, metrics }))
    }

    /// Ends a connection: sends `last_bytes`, shuts the sending side down, and discards what the peer sends until it closes too.
    ///
    /// With unread bytes in its buffer the kernel would reset the connection, and the peer would lose the last message: an
    /// error, or why it was disconnected.
    ///
    /// # Errors
    /// Returns the stream when too many connections linger already.
    pub(super) fn close(&self, mut stream: TcpStream, last_bytes: &'static [u8]) -> Result<(), TcpStream> {
        let Ok(permit) = Arc::clone(&self.0.permits).try_acquire_owned() else { return Err(stream) };
        self.0.tasks.spawn_connection(async move {
            let farewell = async {
                stream.write_all(last_bytes).await?;
                stream.shutdown().await?;
                let mut unread = [0; 4096];
                while stream.read(&mut unread).await? > 0 {}
                io::Result::Ok(())
            };
            tokio::time::timeout(LINGER_TIMEOUT, farewell).await.ok();
            drop(permit);
        });
        Ok(())
    }
}

/// A stream that lingers when it is dropped, unless its peer has closed it or it was killed.
#[derive(Debug)]
pub(super) struct LingeringStream {
    /// `None` once the stream is dropped.
    inner: Option<TcpStream>,
    lingering: Lingering,
    kill: KillSwitch,
    peer_closed: AtomicBool,
}

impl LingeringStream {
    pub(super) fn new(inner: TcpStream, lingering: Lingering, kill: KillSwitch) -> Self {
        Self { inner: Some(inner), lingering, kill, peer_closed: AtomicBool::new(false) }
    }

    /// Returns the socket.
    pub(super) fn tcp(&self) -> io::Result<&TcpStream> {
        self.inner.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Returns where the tasks of the connection are spawned.
    pub(super) fn tasks(&self) -> &Tasks {
        &self.lingering.0.tasks
    }

    /// Notes whether a read has found the end.
    fn note_read(&self, read: &io::Result<()>, buf: &ReadBuf<'_>, before: usize) {
        let is_end = read.is_err() || (buf.filled().len() == before && buf.remaining() > 0);
        self.peer_closed.store(is_end, Ordering::Relaxed);
    }

    fn inner(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for LingeringStream {
    fn drop(&mut self) {
        let Some(stream) = self.inner.take() else { return };
        if self.kill.killed().is_some_and(Reason::discards_output)
            && let Err(error) = stream.set_zero_linger()
        {
            tracing::debug!(%error, "cannot discard the unsent bytes of a connection");
        }
        if self.kill.killed() == Some(Reason::SlowReader) {
            self.lingering.0.metrics.cut_slow("write", self.kill.write_stats().longest());
        }
        // Lingering spawns a task, which needs the runtime.
        if !self.peer_closed.load(Ordering::Relaxed)
            && self.kill.killed().is_none()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            self.lingering.close(stream, b"").ok();
        }
    }
}

impl AsyncRead for LingeringStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = self.inner()?.poll_read(cx, buf);
        if let Poll::Ready(read) = &outcome {
            self.note_read(read, buf, before);
        }
        outcome
    }
}

/// Reads from a stream that other tasks write to.
impl AsyncRead for &LingeringStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (tcp, before) = (self.tcp()?, buf.filled().len());
        loop {
            ready!(tcp.poll_read_ready(cx))?;
            // Bounded, because the buffer has to be initialized.
            let wanted = buf.remaining().min(READ_CHUNK);
            let read = match tcp.try_read(buf.initialize_unfilled_to(wanted)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                read => read.map(|count| buf.advance(count)),
            };
            self.note_read(&read, buf, before);
            return Poll::Ready(read);
        }
    }
}

impl AsyncWrite for LingeringStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_shutdown(cx)
    }
}
