//! The bounded channel through which all inputs reach the pipeline.

use tokio::sync::{mpsc, oneshot};

use crate::domain::{Accepted, Input, Rejection};
use crate::store::RequestId;

/// Why a submitted input got no [`Accepted`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The engine rejected it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It could not be stored, and was not published.
    #[error("cannot be stored now: {0}")]
    NotStored(String),
    /// The channel is full.
    #[error("the server is overloaded")]
    Overloaded,
    /// The process is stopping.
    #[error("the server is stopping")]
    Stopped,
}

/// The pipeline has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has stopped")]
pub struct Stopped;

/// An input on its way to the pipeline, with the sender for its answer.
#[derive(Debug)]
pub struct Request {
    /// The input.
    pub input: Input,
    /// Identifies the request when it is sent again; `None` where requests are not repeated.
    pub id: Option<RequestId>,
    /// Receives the answer; `None` for sources, which do not wait for it.
    pub answer: Option<oneshot::Sender<Result<Accepted, SubmitError>>>,
}

/// The sending side of the channel. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

impl Handle {
    /// Maximum number of queued inputs.
    pub const CAPACITY: usize = 4096;

    /// Returns the two ends of a new channel.
    pub fn channel() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(Self::CAPACITY);
        (Self { requests }, receiver)
    }

    /// Sends an input without waiting for its answer. Waits while the channel is full, which slows a source down.
    ///
    /// # Errors
    /// [`Stopped`] when the pipeline has ended.
    pub async fn send(&self, input: Input) -> Result<(), Stopped> {
        self.requests.send(Request { input, id: None, answer: None }).await.map_err(|_| Stopped)
    }

    /// Sends an input, and waits until it is committed and published.
    ///
    /// # Errors
    /// [`SubmitError`]. When the channel is full it returns `Overloaded` at once, because the sender of a push can
    /// retry.
    pub async fn submit(&self, input: Input) -> Result<Accepted, SubmitError> {
        self.submit_request(input, None).await
    }

    /// Sends an input with the id of its request, and waits as [`submit`](Self::submit) does.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub async fn submit_request(&self, input: Input, id: Option<RequestId>) -> Result<Accepted, SubmitError> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request { input, id, answer: Some(answer) }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
        })?;
        answered.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Returns the number of queued inputs.
    pub fn depth(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }
}
