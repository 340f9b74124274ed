//! How many requests of the routes that read much are worked on at a time. What one of them costs is in
//! `docs/operations.md`; a crowd costs no more than that many, and a request waits for two seconds at most.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::ApiError;
use crate::telemetry::Metrics;

/// How long a request waits for its turn before it is refused.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests that may wait for their turn; a further one is refused at once.
const MAX_WAITING: usize = 1024;

/// The turns of requests that read much. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadLimit {
    turns: Arc<Semaphore>,
    /// One for each request that may be there, at work or waiting.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl ReadLimit {
    /// Lets `concurrent` requests work at a time.
    pub fn new(concurrent: usize, metrics: Arc<Metrics>) -> Self {
        let places = Semaphore::new(concurrent + MAX_WAITING);
        Self { turns: Arc::new(Semaphore::new(concurrent)), places: Arc::new(places), metrics }
    }

    /// Waits for a turn, which lasts until what is returned is dropped. `route` is the label under which a refusal is counted.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] when none came free in time, or too many wait already.
    pub(super) async fn turn(&self, route: &str) -> Result<OwnedSemaphorePermit, ApiError> {
        let turn = async {
            let _place = self.places.try_acquire().ok()?;
            timeout(TURN_TIMEOUT, self.turns.clone().acquire_owned()).await.ok()?.ok()
        };
        turn.await.ok_or_else(|| {
            self.metrics.reads_refused_total.with_label_values(&[route]).inc();
            ApiError::Overloaded
        })
    }
}

/// Lets a request work when it is its turn.
pub(super) async fn limited(
    State(limit): State<ReadLimit>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let _turn = limit.turn(route.as_ref().map_or("unmatched", MatchedPath::as_str)).await?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_turn_is_refused_in_time() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let limit = ReadLimit::new(1, metrics.clone());
        let first = limit.turn("/a").await.unwrap();
        let began = Instant::now();
        assert!(matches!(limit.turn("/a").await, Err(ApiError::Overloaded)));
        assert_eq!(began.elapsed(), TURN_TIMEOUT);
        let (second, ()) = tokio::join!(limit.turn("/a"), async {
            tokio::time::sleep(TURN_TIMEOUT / 2).await;
            drop(first);
        });
        assert!(second.is_ok());
        assert_eq!(metrics.reads_refused_total.with_label_values(&["/a"]).get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_full_refuses_at_once() {
        let limit = ReadLimit::new(1, Arc::new(Metrics::new().unwrap()));
        let _working = limit.turn("/a").await.unwrap();
        let waiting = futures_util::future::join_all((0..=MAX_WAITING).map(|_| limit.turn("/a")));
        let refused = async {
            tokio::task::yield_now().await;
            let began = Instant::now();
            let refused = limit.turn("/a").await.is_err();
            (refused, began.elapsed())
        };
        let (_, (refused, waited)) = tokio::join!(waiting, refused);
        assert_eq!((refused, waited), (true, Duration::ZERO));
    }
}
