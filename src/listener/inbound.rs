//! Rewrites what a peer sends, below HTTP, where the protocol library lacks a detail.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are read at a time.
const CHUNK: usize = 2048;

/// Rewrites the bytes of one connection as they arrive.
pub trait InboundFilter: Send {
    /// Rewrites `received` and appends the result to `out`. Incomplete input may be buffered for the next call; the buffer
    /// has to be bounded.
    fn filter(&mut self, received: &[u8], out: &mut Vec<u8>);
}

/// A filter, and its output that was not read yet.
pub(super) struct Inbound {
    filter: Box<dyn InboundFilter>,
    filtered: Vec<u8>,
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("filtered", &self.filtered.len()).finish_non_exhaustive()
    }
}

impl Inbound {
    pub(super) fn new(filter: impl InboundFilter + 'static) -> Self {
        Self { filter: Box::new(filter), filtered: Vec::new() }
    }

    /// Reads from `inner` through the filter.
    pub(super) fn poll_read(
        &mut self,
        inner: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.filtered.is_empty() {
            let mut chunk = [0; CHUNK];
            let mut received = ReadBuf::new(&mut chunk);
            match Pin::new(&mut *inner).poll_read(cx, &mut received) {
                Poll::Ready(Ok(())) if !received.filled().is_empty() => {
                    self.filter.filter(received.filled(), &mut self.filtered);
                }
                // The end, an error, or nothing yet.
                other => return other,
            }
        }
        let count = self.filtered.len().min(buf.remaining());
        buf.put_slice(&self.filtered[..count]);
        self.filtered.drain(..count);
        Poll::Ready(Ok(()))
    }
}
