//! Every HTTP route, in one function.

use axum::routing::{MethodRouter, any, get, post};
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;

use super::error::ApiError;
use super::{
    AppState, ReadLimit, admin, aria, bots, console, history, ingest, market, observe, ops, overview, reads, sentio,
    sources, stats, webhooks,
};

/// Returns all routes. `streams` are the routes of the gateways, which have their own state.
pub fn router(state: AppState, streams: Router) -> Router {
    let (tokens, metrics) = (state.tokens.clone(), state.metrics.clone());
    let reads = &state.reads.clone();
    let limited = |handler| limited(reads, handler);
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
        .route("/api/admin/revoke", post(admin::revoke))
        .route("/health", get(ops::health))
        .route("/ready", get(ops::ready))
        .route("/metrics", get(ops::public_metrics))
        .merge(console::routes())
        .merge(aria_routes(reads))
        .merge(bots_routes(reads))
        .merge(sentio_routes(reads))
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

/// Limits how many requests of an expensive route run at the same time. `GET /api/stats` has its own limit.
fn limited(reads: &ReadLimit, handler: MethodRouter<AppState>) -> MethodRouter<AppState> {
    handler.route_layer(middleware::from_fn_with_state(reads.clone(), reads::limited))
}

/// The routes of the bot platform's pages.
fn bots_routes(reads: &ReadLimit) -> Router<AppState> {
    let limited = |handler| limited(reads, handler);
    Router::new()
        .route("/api/auth/me", get(bots::me))
        .route("/api/trades/recent", limited(get(bots::trades)))
        .route("/api/bots", limited(get(bots::bots)))
        .route("/api/wallet/balances", limited(get(bots::wallet)))
        .route("/api/portfolio/summary", limited(get(bots::portfolio)))
        .route("/api/system/health", get(bots::system_health))
        .route("/api/prices/live", get(bots::prices))
        .route("/api/advanced/decisions/recent", limited(get(bots::decisions)))
        .route("/api/advanced/whale/summary", limited(get(bots::whales)))
}

/// The routes of ARIA's page that exist only for it.
fn aria_routes(reads: &ReadLimit) -> Router<AppState> {
    let limited = |handler| limited(reads, handler);
    Router::new()
        .route("/signals/history", limited(get(aria::history)))
        .route("/trading/positions", get(aria::positions))
        .route("/trading/account-info", get(aria::account))
        .route("/trading/risk-metrics", limited(get(aria::risk)))
        .route("/api/analytics/trading-heatmap", limited(get(aria::heatmap)))
        .route("/api/analytics/equity-curve", limited(get(aria::equity_curve)))
        .route("/api/analytics/performance-metrics", limited(get(aria::performance_metrics)))
        .route("/api/institutional-ai/market-regimes", get(aria::regimes))
        .route("/api/institutional-ai/model-performance", get(aria::models))
        .route("/api/institutional-ai/model-configs", get(aria::models))
        .route("/monitoring/metrics", get(aria::usage))
        .route("/monitoring/performance/metrics", get(aria::performance))
}

/// The routes of Sentio's pages that exist only for them.
fn sentio_routes(reads: &ReadLimit) -> Router<AppState> {
    let limited = |handler| limited(reads, handler);
    Router::new()
        .route("/api/v1/dashboard/trade-signals", limited(get(sentio::trade_signals)))
        .route("/api/v1/dashboard/earnings", get(sentio::earnings))
        .route("/api/v1/market/quote/{symbol}", get(sentio::quote))
        .route("/api/v1/market/quotes", limited(get(sentio::quotes)))
        .route("/api/v1/market/history/{symbol}", limited(get(sentio::history)))
        .route("/api/v1/admin/users", limited(get(sentio::admin_users)))
        .route("/api/v1/admin/subscribers", limited(get(sentio::admin_subscribers)))
        .route("/api/v1/admin/analytics/revenue", limited(get(sentio::admin_revenue)))
        .route("/api/v1/admin/analytics/users", limited(get(sentio::admin_user_analytics)))
}
