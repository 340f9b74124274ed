//! What readers with a delay are served by: the same routes and streams as for others, over their own hub and log.

use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, Utc};
use tracing::warn;

use super::dashboards::Dashboards;
use super::{restore_hub, start_fanout};
use crate::config::Settings;
use crate::dashboards::Start;
use crate::domain::{Delay, UserNote};
use crate::http::{self, AppState, StatsCache};
use crate::hub::Hub;
use crate::pipeline::Feeds;
use crate::store::Recovered;
use crate::transport::Gateway;
use crate::transport::delayed::BuildView;
use crate::transport::lane::Fanout;
use crate::transport::socketio::Rooms;

/// Builds the view of a delay.
pub(super) struct ViewBuilder {
    pub(super) settings: Settings,
    /// The state of the routes without a delay.
    pub(super) state: AppState,
    pub(super) users: Vec<UserNote>,
    pub(super) rooms: Rooms,
}

impl BuildView for ViewBuilder {
    fn fanout(&self, live: &Gateway, hub: &Hub) -> Fanout {
        start_fanout(hub, &live.published, &live.metrics, &live.tasks)
    }

    fn restore(&self, hub: &Hub, recovered: &Recovered, now: DateTime<Utc>) {
        restore_hub(hub, recovered, now);
    }

    fn routes(&self, gateway: &Arc<Gateway>) -> Router {
        gateway.hub.add_sink(Arc::new(self.rooms.later(gateway.delay)));
        let state = AppState {
            tokens: gateway.tokens.clone(),
            hub: gateway.hub.clone(),
            gateway: gateway.clone(),
            history: gateway.log.clone(),
            stats: Arc::new(StatsCache::new(gateway.metrics.clone())),
            // How far the sources are apart is about prices of now.
            feeds: Feeds::default(),
            ..self.state.clone()
        };
        // What has reached the clients of a delay is not kept: after a restart they may get some of it again.
        let mut settings = self.settings.clone();
        settings.data.dir = settings.data.dir.join(format!("delayed-{}", gateway.delay.seconds()));
        let start =
            Start { settings: &settings, gateway: gateway.clone(), users: &self.users, reads: &self.state.reads };
        let (routes, streams) = Dashboards::start(&start).take_routes();
        http::router(state, routes, streams)
    }
}

/// Begins to keep what the readers with the delays of the settings get, so that they have it when they come.
pub(super) fn begin(settings: &Settings, gateway: &Arc<Gateway>) {
    let auth = &settings.auth;
    for delay in [auth.delay, auth.open_delay].map(Delay::of).into_iter().filter(|delay| !delay.is_none()) {
        let gateway = gateway.clone();
        gateway.clone().tasks.spawn_connection(async move {
            if let Err(error) = gateway.delays.view(&gateway, delay).await {
                warn!(%delay, %error, "delayed readers are not served yet");
            }
        });
    }
}
