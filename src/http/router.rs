//! Every HTTP route, in one function. A route that is added without a description does not compile: [`routes!`] reads it.

use axum::routing::{any, get};
use axum::{Extension, Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::compress::compressed;
use super::describe::{Group, complete, grouped};
use super::error::ApiError;
use super::mcp::AgentInterface;
use super::{
    AppState, admin, cluster, console, detections, document, history, ingest, killzones, log, market, mcp, notices,
    observe, ops, outcomes, overview, presence, recomputations, reload, replay, sources, start, stats, stream, tokens,
    webhooks,
};

const MARKET: Group = ("Signals and prices", "Pushing and reading, for every dashboard and every client.");
const OPERATIONS: Group = ("Operations", "For the operator, load balancers and monitoring.");

/// Returns all routes. `dashboards` are the routes that exist only for them; `streams` have their own state.
pub fn router(state: AppState, dashboards: OpenApiRouter<AppState>, streams: Router) -> Router {
    let (tokens, metrics) = (state.tokens.clone(), state.metrics.clone());
    let (routes, api) = described(&state).merge(dashboards).split_for_parts();
    let api = complete(api, &state.streams.base_path);
    let agents = state.agents.clone().map(|origins| {
        let routes = routes.clone().layer(CatchPanicLayer::custom(observe::panicked)).with_state(state.clone());
        AgentInterface::new(routes, &api, origins, metrics.clone())
    });
    let routes = match agents {
        Some(agents) => routes.layer(Extension(agents)),
        None => routes,
    };
    compressed(routes.merge(document::routes(&api, state.streams.clone())).merge(console::routes()))
        .with_state(state)
        .merge(streams)
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(observe::panicked))
        .layer(middleware::from_fn_with_state((tokens, metrics.clone()), observe::throttle))
        .layer(middleware::from_fn_with_state(metrics, observe::observe))
}

/// Returns the server's own routes with their descriptions.
fn described(state: &AppState) -> OpenApiRouter<AppState> {
    let limited = |route| state.reads.limit(route);
    // Other methods than POST get the answer of a route that does not exist, as a wrong token does.
    let tradingview = routes!(webhooks::tradingview).map(|_| any(webhooks::tradingview));
    let market = OpenApiRouter::new()
        .routes(routes!(history::signals))
        .routes(routes!(ingest::signal))
        .routes(limited(routes!(history::signal)))
        .routes(limited(routes!(log::proof)))
        .routes(routes!(log::checkpoint))
        .routes(routes!(log::key))
        .routes(limited(routes!(log::tile)))
        .routes(limited(routes!(log::consistency)))
        .routes(routes!(ingest::update))
        .routes(routes!(market::prices))
        .routes(routes!(ingest::prices))
        .routes(routes!(ingest::events))
        .routes(routes!(notices::test_line))
        .routes(routes!(notices::send_line_notification))
        .routes(tradingview)
        .routes(routes!(ingest::metatrader))
        .routes(limited(routes!(history::bars)))
        .routes(limited(routes!(detections::detections)))
        .routes(routes!(stats::stats))
        .routes(routes!(outcomes::outcomes))
        .routes(limited(routes!(sources::sources)))
        .routes(routes!(market::instruments))
        .routes(routes!(killzones::killzones))
        .routes(routes!(presence::presence))
        .routes(routes!(stream::stream))
        .routes(routes!(replay::replay))
        // Off, every method is answered 404.
        .routes(routes!(mcp::mcp).map(|_| any(mcp::mcp)));
    let operations = OpenApiRouter::new()
        .routes(limited(routes!(overview::overview)))
        .routes(limited(routes!(cluster::cluster)))
        .routes(limited(routes!(recomputations::recomputations)))
        .routes(routes!(presence::users))
        .routes(routes!(admin::revoke))
        .routes(routes!(reload::reload))
        .routes(routes!(tokens::log_in))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(start::start))
        .routes(routes!(ops::health))
        .routes(routes!(ops::ready))
        .routes(routes!(ops::public_metrics));
    grouped(MARKET, market).merge(grouped(OPERATIONS, operations))
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
