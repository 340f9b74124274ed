//! A guarded socket: a peer that has stopped reading cannot hold our memory or our tasks.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::kill::{KillSwitch, Reason};
use super::registry::ConnectionSlot;
use super::write_stats::WriteStats;

/// Guards a socket in three ways.
///
/// - A write that waits for the peer for `write_timeout` kills the connection: reads and writes fail from then on, so that
///   the reader and the writer task both end.
/// - Nothing is read while a write waits. A peer that sends requests (pings, subscriptions) without reading the answers is
///   slowed down by TCP instead of filling our memory.
/// - The [`KillSwitch`] makes reads and writes fail at once.
///
/// A caller that abandons a waiting write has to write again, shut down or drop the stream: reading is paused until then,
/// at most for `write_timeout`.
#[derive(Debug)]
pub struct GuardedStream<S> {
    inner: S,
    kill: KillSwitch,
    write_timeout: Duration,
    /// The operation that waits for the peer, and its deadline.
    blocked: Option<(BlockedOperation, Pin<Box<Sleep>>)>,
    /// Keeps the connection in the registry while its stream exists, also after an upgrade.
    slot: Option<ConnectionSlot>,
    _wakers: ForgetWakers,
}

/// An operation that waits for the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlockedOperation {
    Write,
    Flush,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    /// Guards `inner`, which `kill` ends.
    pub fn new(inner: S, kill: KillSwitch, write_timeout: Duration) -> Self {
        Self { inner, _wakers: ForgetWakers(kill.clone()), kill, write_timeout, blocked: None, slot: None }
    }

    /// Holds the connection's slot in the registry until the stream is dropped.
    pub(super) fn with_slot(mut self, slot: ConnectionSlot) -> Self {
        self.slot = Some(slot);
        self
    }

    /// Takes the guard off: returns the socket, its switch, its write time-out and its slot.
    pub(super) fn into_parts(self) -> (S, KillSwitch, Duration, Option<ConnectionSlot>) {
        (self.inner, self.kill, self.write_timeout, self.slot)
    }

    fn check(&self) -> io::Result<()> {
        self.kill.killed().map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// Ready when the waiting operation has reached its deadline, or the connection was killed.
    fn poll_timeout(&mut self) -> Poll<io::Error> {
        if let Some((_, deadline)) = &mut self.blocked {
            let waker = self.kill.waker_of_both();
            if deadline.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() && self.kill.killed().is_none() {
                report(self.kill.write_stats());
                self.kill.kill(Reason::SlowReader);
            }
        }
        match self.check() {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }

    /// Records the outcome of a write or flush: whether it waits now, or waits no longer.
    fn settle<T>(
        &mut self,
        cx: &Context<'_>,
        what: BlockedOperation,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            if self.blocked.as_ref().is_some_and(|(waits, _)| *waits == what) {
                self.unblock();
            }
            return outcome;
        }
        self.kill.register_writer(cx.waker());
        if self.blocked.is_none() {
            self.blocked = Some((what, Box::pin(tokio::time::sleep(self.write_timeout))));
            self.kill.write_stats().block();
        }
        self.poll_timeout().map(Err)
    }

    fn unblock(&mut self) {
        self.blocked = None;
        self.kill.write_stats().unblock();
        self.kill.wake_reader();
    }
}

/// Logs that a client is disconnected, and how far behind it is. Comes before the connection is killed: whoever serves it then
/// drops what waits.
pub(super) fn report(write_stats: &WriteStats) {
    let (endpoint, seconds_blocked) = (write_stats.endpoint(), write_stats.blocked().unwrap_or_default().as_secs_f64());
    let waiting = write_stats.behind().map(|behind| behind.ordered + behind.states);
    write_stats.span().in_scope(|| {
        tracing::info!(endpoint, seconds_blocked, waiting, "a client took nothing of what was written to it: cut");
    });
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        if self.blocked.is_none() {
            let Self { inner, kill, .. } = &mut *self;
            let read = match kill.inbound() {
                Some(inbound) => inbound.lock().poll_read(inner, cx, buf),
                None => Pin::new(inner).poll_read(cx, buf),
            };
            if read.is_ready() {
                return read;
            }
        }
        self.kill.register_reader(cx.waker());
        self.poll_timeout().map(Err)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.settle(cx, BlockedOperation::Write, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.settle(cx, BlockedOperation::Write, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.settle(cx, BlockedOperation::Flush, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
        if outcome.is_ready() && self.blocked.is_some() {
            self.unblock();
        }
        self.settle(cx, BlockedOperation::Flush, outcome)
    }
}

/// Drops the wakers of a switch when its stream ends.
#[derive(Debug)]
struct ForgetWakers(KillSwitch);

impl Drop for ForgetWakers {
    fn drop(&mut self) {
        self.0.forget_wakers();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::listener::linger::{Lingering, LingeringStream};
    use crate::tasks::Tasks;
    use crate::telemetry::Metrics;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    /// A socket that records a read attempted while its last write waits.
    #[derive(Debug)]
    struct RecordingSocket {
        inner: TcpStream,
        write_waits: bool,
        read_meanwhile: Arc<AtomicBool>,
    }

    impl AsyncRead for RecordingSocket {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.read_meanwhile.fetch_or(self.write_waits, Ordering::SeqCst);
            Pin::new(&mut self.inner).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for RecordingSocket {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
            self.write_waits = outcome.is_pending();
            outcome
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(cx)
        }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    fn reason(error: &io::Error) -> Option<Reason> {
        error.get_ref()?.downcast_ref().copied()
    }

    async fn write_for_ever(mut writer: impl AsyncWrite + Unpin) -> io::Error {
        let chunk = vec![b'x'; 64 * 1024];
        loop {
            if let Err(error) = writer.write_all(&chunk).await {
                return error;
            }
        }
    }

    /// Writes until a write waits, and abandons that write. Returns how many bytes were written.
    async fn fill(writer: &mut (impl AsyncWrite + Unpin)) -> usize {
        let chunk = vec![b'x'; 64 * 1024];
        let mut total = 0;
        while let Ok(written) = timeout(SHORT / 4, writer.write(&chunk)).await {
            total += written.unwrap();
        }
        total
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_disconnected() {
        let (client, server) = pair().await;
        let kill = KillSwitch::new();
        let (mut reader, writer) = tokio::io::split(GuardedStream::new(server, kill.clone(), SHORT));
        let mut byte = [0];
        let ends = async { tokio::join!(reader.read(&mut byte), write_for_ever(writer)) };
        let (read, written) = timeout(LONG, ends).await.expect("both end");
        assert_eq!(reason(&read.unwrap_err()), Some(Reason::SlowReader));
        assert_eq!(reason(&written), Some(Reason::SlowReader));
        assert_eq!(kill.killed(), Some(Reason::SlowReader));
        drop(client);
    }

    #[tokio::test]
    async fn an_abandoned_write_still_ends_the_reader() {
        let (client, server) = pair().await;
        let (mut reader, mut writer) = tokio::io::split(GuardedStream::new(server, KillSwitch::new(), SHORT));
        fill(&mut writer).await;
        let read = timeout(LONG, reader.read(&mut [0])).await.expect("the reader ends");
        assert_eq!(reason(&read.unwrap_err()), Some(Reason::SlowReader));
        drop(client);
    }

    #[tokio::test]
    async fn closing_a_slow_reader_discards_unsent_bytes() {
        let (mut client, server) = pair().await;
        let kill = KillSwitch::new();
        let lingering = Lingering::new(Tasks::new(), Metrics::new().unwrap());
        let server = LingeringStream::new(server, lingering, kill.clone());
        write_for_ever(GuardedStream::new(server, kill, SHORT)).await;
        let mut taken = Vec::new();
        let error = client.read_to_end(&mut taken).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn nothing_is_read_while_a_write_waits() {
        let (client, server) = pair().await;
        let read_meanwhile = Arc::new(AtomicBool::new(false));
        let watched =
            RecordingSocket { inner: server, write_waits: false, read_meanwhile: Arc::clone(&read_meanwhile) };
        let (mut reader, mut writer) = tokio::io::split(GuardedStream::new(watched, KillSwitch::new(), SHORT));
        // Reads as fast as it can, and answers as much as it reads, in another future.
        let (answers, mut asked) = tokio::sync::mpsc::channel::<usize>(1 << 20);
        let read = async move {
            let (mut buffer, mut total) = (vec![0; 16 * 1024], 0);
            while let Ok(n @ 1..) = reader.read(&mut buffer).await {
                total += n;
                answers.try_send(n).unwrap();
            }
            total
        };
        let write = async move {
            while let Some(n) = asked.recv().await {
                if writer.write_all(&vec![b'p'; n]).await.is_err() {
                    return;
                }
            }
        };
        let flood = write_for_ever(client);
        let ((), total, _) = timeout(LONG, async { tokio::join!(write, read, flood) }).await.expect("all end");
        assert!(total > 0);
        assert!(!read_meanwhile.load(Ordering::SeqCst), "read while a write waited");
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "the reader has to be another task, woken by the writer alone")]
    async fn reading_goes_on_when_the_peer_reads_again() {
        let (mut client, server) = pair().await;
        let (mut reader, mut writer) = tokio::io::split(GuardedStream::new(server, KillSwitch::new(), LONG));
        let filled = fill(&mut writer).await;
        client.write_all(b"hello").await.unwrap();
        let mut read = tokio::spawn(async move {
            let mut greeting = [0; 5];
            reader.read_exact(&mut greeting).await.unwrap();
            greeting
        });
        assert!(timeout(SHORT / 4, &mut read).await.is_err(), "nothing is read meanwhile");
        let write = async { writer.write_all(b"end").await.unwrap() };
        let drain = async { client.read_exact(&mut vec![0; filled + 3]).await.unwrap() };
        timeout(LONG, async { tokio::join!(write, drain) }).await.expect("everything arrives");
        assert_eq!(&timeout(LONG / 4, read).await.expect("the reader is woken").unwrap(), b"hello");
    }

    #[tokio::test]
    async fn the_kill_switch_ends_a_parked_read() {
        let (client, server) = pair().await;
        let kill = KillSwitch::new();
        let mut stream = GuardedStream::new(server, kill.clone(), LONG);
        let read = async {
            let error = stream.read(&mut [0]).await.unwrap_err();
            (reason(&error), reason(&stream.write(b"x").await.unwrap_err()))
        };
        let (reasons, ()) = timeout(LONG, async { tokio::join!(read, async { kill.kill(Reason::Draining) }) })
            .await
            .expect("the read ends");
        assert_eq!(reasons, (Some(Reason::Draining), Some(Reason::Draining)));
        drop(client);
    }

    #[tokio::test]
    async fn the_kill_switch_ends_a_parked_write() {
        let (client, server) = pair().await;
        let kill = KillSwitch::new();
        let writing = write_for_ever(GuardedStream::new(server, kill.clone(), LONG));
        tokio::pin!(writing);
        assert!(timeout(SHORT / 4, &mut writing).await.is_err(), "the write waits");
        kill.kill(Reason::Overloaded);
        let error = timeout(LONG, writing).await.expect("the write ends");
        assert_eq!(reason(&error), Some(Reason::Overloaded));
        drop(client);
    }
}
