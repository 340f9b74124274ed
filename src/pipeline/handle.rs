//! The way in: the one bounded channel to the pipeline.

use tokio::sync::{mpsc, oneshot};

use crate::domain::{Accepted, Input, Rejection};

/// Why a submitted input got no [`Accepted`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// It was looked at and not taken.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It could not be stored; nothing of it was published.
    #[error("cannot be stored now: {0}")]
    NotStored(String),
    /// Too much is waiting already.
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

/// An input on its way, with the place for its answer.
#[derive(Debug)]
pub struct Request {
    /// What is told.
    pub input: Input,
    /// Where the answer goes; sources do not wait for one.
    pub answer: Option<oneshot::Sender<Result<Accepted, SubmitError>>>,
}

/// The sending side of the channel. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

impl Handle {
    /// Inputs that may wait before senders have to.
    pub const CAPACITY: usize = 4096;

    /// A channel to a pipeline that does not run yet.
    pub fn channel() -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(Self::CAPACITY);
        (Self { requests }, receiver)
    }

    /// Sends without waiting for an answer; waits while the channel is full, which is how a source is slowed down.
    ///
    /// # Errors
    /// [`Stopped`] when the pipeline has ended.
    pub async fn send(&self, input: Input) -> Result<(), Stopped> {
        self.requests.send(Request { input, answer: None }).await.map_err(|_| Stopped)
    }

    /// Sends and waits until the input is durable and published.
    ///
    /// # Errors
    /// [`SubmitError`]; `Overloaded` at once when the channel is full, because a pusher can try again.
    pub async fn submit(&self, input: Input) -> Result<Accepted, SubmitError> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request { input, answer: Some(answer) }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
        })?;
        answered.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Inputs that wait now.
    pub fn depth(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }
}
