//! The request body with a time-out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::BoxError;

/// Bodies up to this size, in bytes, arrive in the buffer of the head or right after it.
const COMES_WITH_HEAD: u64 = 4096;

/// A body did not arrive in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request body did not arrive in time")]
pub struct BodyTimeout;

/// The body of a request. It fails with [`BodyTimeout`] when it is not complete within the time-out, counted from the first
/// read that had to wait, so that neither a stalled nor a trickled body blocks a handler.
pub struct RequestBody {
    inner: Incoming,
    timeout: Duration,
    /// Created by the first read that has to wait; most bodies arrive with their head and never need it.
    deadline: Option<Pin<Box<Sleep>>>,
    read: BodyRead,
}

/// Whether a request's body was read to its end.
///
/// hyper closes the connection after the response when much of the body was not received, but has sent the head of the
/// response by then. Unless that head says `Connection: close`, the client sends its next request into a closing connection.
#[derive(Debug, Clone, Default)]
pub(super) struct BodyRead(Arc<AtomicBool>);

impl BodyRead {
    pub(super) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, timeout: Duration) -> Self {
        let read = BodyRead::default();
        // hyper itself reads and discards what came with the head.
        let is_small = inner.size_hint().upper().is_some_and(|bytes| bytes <= COMES_WITH_HEAD);
        read.0.store(is_small, Ordering::Relaxed);
        Self { inner, timeout, deadline: None, read }
    }

    /// Returns a handle that tells, once the response is there, whether the body was read.
    pub(super) fn read(&self) -> BodyRead {
        self.read.clone()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            if frame.is_none() || self.inner.is_end_stream() {
                self.read.0.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(frame.map(|result| result.map_err(Into::into)));
        }
        let timeout = self.timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        deadline.as_mut().poll(cx).map(|()| Some(Err(BodyTimeout.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
