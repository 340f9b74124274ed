//! A limit on how many expensive reads run at the same time. `docs/operations.md` has the cost of one; more clients do
//! not cost more, and a request waits for two seconds at most.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};

use super::AppState;
use super::error::ApiError;
use crate::config::Live;
use crate::telemetry::Metrics;

/// How long a request waits for a permit before it is rejected.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);
/// How many requests may wait; a further one is rejected at once.
const MAX_WAITING: usize = 1024;

/// The permits for expensive reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadLimit {
    permits: Live<Permits>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Permits {
    running: Arc<Semaphore>,
    /// One slot for each request that is running or waiting.
    slots: Semaphore,
}

impl Permits {
    fn new(concurrent: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(concurrent)), slots: Semaphore::new(concurrent + MAX_WAITING) }
    }
}

impl ReadLimit {
    /// Allows `concurrent` requests at the same time.
    pub fn new(concurrent: usize, metrics: Arc<Metrics>) -> Self {
        Self { permits: Live::new(Permits::new(concurrent)), metrics }
    }

    /// Replaces the limit, for the requests that come from now on. Those that came before do not count.
    pub fn set(&self, concurrent: usize) {
        self.permits.set(Permits::new(concurrent));
    }

    /// Limits how many requests of an expensive route run at the same time.
    pub(crate) fn limit(&self, route: UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
        route.map(|handler| handler.route_layer(middleware::from_fn_with_state(self.clone(), limited)))
    }

    /// Waits for a permit. Dropping the permit releases it. `route` is the metric label for a rejection.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] when no permit became free in time, or too many requests are already waiting.
    pub(super) async fn acquire(&self, route: &str) -> Result<OwnedSemaphorePermit, ApiError> {
        let permit = async {
            let permits = self.permits.get();
            let _slot = permits.slots.try_acquire().ok()?;
            timeout(TURN_TIMEOUT, permits.running.clone().acquire_owned()).await.ok()?.ok()
        };
        permit.await.ok_or_else(|| {
            self.metrics.reads_refused_total.with_label_values(&[route]).inc();
            ApiError::Overloaded
        })
    }
}

/// Runs a request once it has a permit.
async fn limited(State(limit): State<ReadLimit>, request: Request, next: Next) -> Result<Response, ApiError> {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let _permit = limit.acquire(route.as_ref().map_or("unmatched", MatchedPath::as_str)).await?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_permit_times_out() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let limit = ReadLimit::new(1, metrics.clone());
        let first = limit.acquire("/a").await.unwrap();
        let began = Instant::now();
        assert!(matches!(limit.acquire("/a").await, Err(ApiError::Overloaded)));
        assert_eq!(began.elapsed(), TURN_TIMEOUT);
        let (second, ()) = tokio::join!(limit.acquire("/a"), async {
            tokio::time::sleep(TURN_TIMEOUT / 2).await;
            drop(first);
        });
        assert!(second.is_ok());
        assert_eq!(metrics.reads_refused_total.with_label_values(&["/a"]).get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_limit_holds_for_later_requests() {
        let limit = ReadLimit::new(1, Arc::new(Metrics::new().unwrap()));
        let _first = limit.acquire("/a").await.unwrap();
        limit.clone().set(2);
        let _more = (limit.acquire("/a").await.unwrap(), limit.acquire("/a").await.unwrap());
        assert!(limit.acquire("/a").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_rejects_at_once() {
        let limit = ReadLimit::new(1, Arc::new(Metrics::new().unwrap()));
        let _working = limit.acquire("/a").await.unwrap();
        let waiting = futures_util::future::join_all((0..=MAX_WAITING).map(|_| limit.acquire("/a")));
        let refused = async {
            tokio::task::yield_now().await;
            let began = Instant::now();
            let refused = limit.acquire("/a").await.is_err();
            (refused, began.elapsed())
        };
        let (_, (refused, waited)) = tokio::join!(waiting, refused);
        assert_eq!((refused, waited), (true, Duration::ZERO));
    }
}
