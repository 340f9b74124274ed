//! Lingering close: ends a connection so that the peer still receives the last bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::kill::{KillSwitch, Reason};
use super::stream::Socket;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Connections that linger at a time; further ones are closed at once.
const MAX_LINGERING: usize = 64;
/// How long a peer has to read the last bytes and close its side.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Closes ended connections after a short wait for their peers.
#[derive(Debug, Clone)]
pub(super) struct Lingering {
    permits: Arc<Semaphore>,
    tasks: Tasks,
    metrics: Metrics,
}

impl Lingering {
    pub(super) fn new(tasks: Tasks, metrics: Metrics) -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_LINGERING)), tasks, metrics }
    }

    /// Ends a connection: sends `last_bytes`, shuts the sending side down, and discards what the peer sends until it closes too.
    ///
    /// With unread bytes in its buffer the kernel would reset the connection, and the peer would lose the last message: an
    /// error, or why it was disconnected.
    ///
    /// # Errors
    /// Returns the stream when too many connections linger already.
    pub(super) fn close(&self, mut stream: TcpStream, last_bytes: &'static [u8]) -> Result<(), TcpStream> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { return Err(stream) };
        self.tasks.spawn_connection(async move {
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
    peer_closed: bool,
}

impl LingeringStream {
    pub(super) fn new(inner: TcpStream, lingering: Lingering, kill: KillSwitch) -> Self {
        Self { inner: Some(inner), lingering, kill, peer_closed: false }
    }

    fn inner(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for LingeringStream {
    fn drop(&mut self) {
        let Some(stream) = self.inner.take() else { return };
        if self.kill.killed() == Some(Reason::SlowReader) {
            self.lingering.metrics.cut_slow("write", self.kill.blocked().unwrap_or_default());
        }
        // Lingering spawns a task, which needs the runtime.
        if !self.peer_closed && self.kill.killed().is_none() && tokio::runtime::Handle::try_current().is_ok() {
            self.lingering.close(stream, b"").ok();
        }
    }
}

impl Socket for LingeringStream {
    fn discard_unsent(&self) {
        if let Some(stream) = &self.inner {
            stream.discard_unsent();
        }
    }
}

impl AsyncRead for LingeringStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = self.inner()?.poll_read(cx, buf);
        if let Poll::Ready(read) = &outcome {
            self.peer_closed = read.is_err() || (buf.filled().len() == before && buf.remaining() > 0);
        }
        outcome
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
