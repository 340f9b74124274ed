//! Every HTTP route, in one function.

use axum::routing::{any, get, post};
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;
use super::{AppState, admin, console, history, ingest, market, observe, ops, overview, sources, stats, webhooks};

/// Returns all routes. `dashboards` are the routes that exist only for them; `streams` have their own state.
pub fn router(state: AppState, dashboards: Router<AppState>, streams: Router) -> Router {
    let (tokens, metrics) = (state.tokens.clone(), state.metrics.clone());
    let reads = state.reads.clone();
    let limited = |handler| reads.limit(handler);
    Router::new()
        .route("/api/signals", limited(get(history::signals)).post(ingest::signal))
        .route("/api/signals/{id}", limited(get(history::signal)).patch(ingest::update))
        .route("/api/prices", get(market::prices).post(ingest::prices))
        .route("/api/events", post(ingest::events))
        .route("/api/mt/ticks", post(ingest::metatrader))
        .route("/api/webhooks/tradingview/{token}", any(webhooks::tradingview))
        .route("/api/bars", limited(get(history::bars)))
        .route("/api/sources", limited(get(sources::sources)))
        .route("/api/stats", get(stats::stats))
        .route("/api/instruments", get(market::instruments))
        .route("/api/admin/overview", limited(get(overview::overview)))
        .route("/api/admin/cluster", limited(get(overview::cluster)))
        .route("/api/admin/revoke", post(admin::revoke))
        .route("/health", get(ops::health))
        .route("/ready", get(ops::ready))
        .route("/metrics", get(ops::public_metrics))
        .merge(console::routes())
        .merge(dashboards)
        .with_state(state)
        .merge(streams)
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(middleware::from_fn_with_state((tokens, metrics.clone()), observe::throttle))
        .layer(middleware::from_fn_with_state(metrics, observe::observe))
}

/// Returns the routes of the listener for operators.
pub fn checks(state: AppState) -> Router {
    let metrics = state.metrics.clone();
    Router::new()
        .route("/health", get(ops::health))
        .route("/ready", get(ops::ready))
        .route("/metrics", get(ops::metrics))
        .with_state(state)
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(middleware::from_fn_with_state(metrics, observe::observe))
}
