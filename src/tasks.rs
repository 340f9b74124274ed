//! Background tasks: all of them are spawned here, each with a name.
//!
//! When an essential task ends early, fails or panics, the process stops. Work for one connection is only tracked, because one
//! client must never be able to stop the others.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The failure of an essential task, for which the process has to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskFailure {
    /// The task returned before the process began to stop.
    #[error("task '{0}' ended unexpectedly")]
    Ended(&'static str),
    /// The task returned an error.
    #[error("task '{0}' failed: {1}")]
    Failed(&'static str, String),
    /// The task panicked.
    #[error("task '{0}' panicked")]
    Panicked(&'static str),
}

/// What a task does. Boxed: otherwise the compiler makes a copy of tokio's task code for each of them.
type BoxedWork<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// All background tasks of a process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    essential: Arc<Mutex<JoinSet<()>>>,
    connections: TaskTracker,
    stop: CancellationToken,
    failed: Arc<Mutex<Option<TaskFailure>>>,
    failure: CancellationToken,
}

impl Tasks {
    /// Returns a set without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a token that is cancelled when the process begins to stop; every essential task has to return soon after.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Spawns an essential task. It has to return `Ok` once [`stopping`](Self::stopping) is cancelled; an earlier end, an error
    /// or a panic makes [`failure`](Self::failure) return.
    pub fn spawn<F, E>(&self, name: &'static str, work: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        self.spawn_boxed(name, Box::pin(async { work.await.map_err(|error| error.to_string()) }));
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn spawn_boxed(&self, name: &'static str, work: BoxedWork<Result<(), String>>) {
        let (tasks, inner) = (self.clone(), tokio::spawn(work));
        self.essential.lock().spawn(async move {
            let failure = match inner.await {
                Ok(Ok(())) if tasks.stop.is_cancelled() => None,
                Ok(Ok(())) => Some(TaskFailure::Ended(name)),
                Ok(Err(error)) => Some(TaskFailure::Failed(name, error)),
                Err(error) if error.is_panic() => Some(TaskFailure::Panicked(name)),
                Err(_) => None,
            };
            if let Some(failure) = failure {
                tasks.failed.lock().get_or_insert(failure);
                tasks.failure.cancel();
            }
        });
    }

    /// Spawns the work of one connection.
    pub fn spawn_connection<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work: BoxedWork<()> = Box::pin(work);
        self.connections.spawn(work);
    }

    /// Waits until an essential task fails, and returns the first failure.
    pub async fn failure(&self) -> TaskFailure {
        self.failure.cancelled().await;
        self.failed.lock().clone().unwrap_or(TaskFailure::Ended("unknown"))
    }

    /// Stops all essential tasks, and waits for them and for all connections, at most for `deadline`.
    ///
    /// Returns the number of connections that have not ended by then.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.stop.cancel();
        self.connections.close();
        let mut essential = std::mem::take(&mut *self.essential.lock());
        let all = async {
            self.connections.wait().await;
            while essential.join_next().await.is_some() {}
        };
        match tokio::time::timeout(deadline, all).await {
            Ok(()) => 0,
            Err(_) => self.connections.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_essential_task_that_ends_early_is_named() {
        let tasks = Tasks::new();
        tasks.spawn("publisher", async { Ok::<_, String>(()) });
        assert_eq!(tasks.failure().await, TaskFailure::Ended("publisher"));
    }

    #[tokio::test]
    async fn a_panic_is_named() {
        let tasks = Tasks::new();
        tasks.spawn("publisher", async {
            assert!(!tasks_panic(), "for the test");
            Ok::<_, String>(())
        });
        assert_eq!(tasks.failure().await, TaskFailure::Panicked("publisher"));
    }

    fn tasks_panic() -> bool {
        true
    }

    #[tokio::test]
    async fn draining_counts_connections_that_do_not_end() {
        let tasks = Tasks::new();
        let stopping = tasks.stopping();
        tasks.spawn("publisher", async move {
            stopping.cancelled().await;
            Ok::<_, String>(())
        });
        tasks.spawn_connection(std::future::pending());
        assert_eq!(tasks.drain(Duration::from_millis(20)).await, 1);
    }
}
