//! The dashboards. No other place outside of [`dashboards`](crate::dashboards) names them.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use http::{HeaderMap, Uri};
use tokio::time::timeout;
use tracing::warn;
use utoipa_axum::router::OpenApiRouter;

use super::run_forever;
use crate::cluster::ClusterHandle;
use crate::config::Settings;
use crate::dashboards::aria::Aria;
use crate::dashboards::bots::Bots;
use crate::dashboards::orion::Orion;
use crate::dashboards::sentio::Sentio;
use crate::dashboards::{Dashboard, Running, Start};
use crate::domain::{MessageType, Position, RelayedMessage, Signal};
use crate::http::{AppState, StreamDescriptions};
use crate::tasks::Tasks;
use crate::transport::events::PublishedTypes;
use crate::transport::lane::Encode;
use crate::transport::{Gateway, socketio};

/// All dashboards.
const DASHBOARDS: [&dyn Dashboard; 4] = [&Orion, &Aria, &Sentio, &Bots];

/// Returns the types of messages that may be published for any dashboard.
pub fn published_types() -> PublishedTypes {
    PublishedTypes::new(DASHBOARDS.iter().flat_map(|dashboard| dashboard.message_types()).copied())
}

/// Returns the type of messages with this name.
pub fn message_type(name: &str) -> Option<MessageType> {
    let mut kinds = DASHBOARDS.iter().flat_map(|dashboard| dashboard.message_types()).map(|declared| declared.kind);
    kinds.find(|kind| kind.name() == name)
}

/// Returns the encodings that clients of the streams share, in the order of their slots.
pub(super) fn encoders() -> Vec<Box<dyn Encode>> {
    let shared = DASHBOARDS.iter().flat_map(|dashboard| dashboard.shared());
    let shared: BTreeMap<_, _> = shared.copied().collect();
    shared.into_values().map(|encoding| Box::new(encoding) as Box<dyn Encode>).collect()
}

/// Returns the headers in which pages send a token, besides those of every page.
pub(super) fn token_headers() -> Vec<&'static str> {
    DASHBOARDS.iter().flat_map(|dashboard| dashboard.token_headers()).copied().collect()
}

/// Returns the beginnings of the paths that pages read with credentials.
pub(super) fn credentialed_paths() -> Vec<&'static str> {
    DASHBOARDS.iter().flat_map(|dashboard| dashboard.credentialed_paths()).copied().collect()
}

/// Returns the URI that a request means, where a page spells it differently.
pub(super) fn rewrite(uri: &Uri, headers: &HeaderMap) -> Option<Uri> {
    DASHBOARDS.iter().find_map(|dashboard| dashboard.rewrite(uri, headers))
}

/// Returns the messages that dashboards read in place of a changed signal.
pub(super) fn derive(signal: &Signal, now: DateTime<Utc>) -> Vec<RelayedMessage> {
    DASHBOARDS.iter().filter_map(|dashboard| dashboard.derive(signal, now)).collect()
}

/// Returns what the description of the streams is written from.
pub(super) fn descriptions(settings: &Settings, gateway: &Gateway) -> StreamDescriptions {
    let streams = DASHBOARDS.iter().flat_map(|dashboard| dashboard.streams());
    let streams = streams.chain(socketio::streams(&gateway.published)).collect();
    StreamDescriptions {
        streams,
        limits: gateway.limits.clone(),
        heartbeat: settings.heartbeat.clone(),
        base_path: settings.server.base_path.clone(),
    }
}

/// Routes, and streams with their own state.
pub(super) type Routes = (OpenApiRouter<AppState>, Router);

/// The dashboards that have started.
#[derive(Debug)]
pub(super) struct Dashboards(Vec<Running>);

impl Dashboards {
    /// Starts all dashboards.
    pub(super) fn start(start: &Start<'_>) -> Self {
        Self(DASHBOARDS.iter().map(|dashboard| dashboard.start(start)).collect())
    }

    /// Takes the routes of all dashboards, and their streams.
    pub(super) fn take_routes(&mut self) -> Routes {
        self.0.iter_mut().fold((OpenApiRouter::new(), Router::new()), |(routes, streams), running| {
            let Running { routes: more, streams: more_streams, .. } = running;
            (routes.merge(std::mem::take(more)), streams.merge(std::mem::take(more_streams)))
        })
    }

    /// Spawns the tasks that save what has reached users. In a cluster the dashboards also learn what has reached them on
    /// other nodes.
    pub(super) fn spawn(&self, tasks: &Tasks, cluster: Option<&ClusterHandle>) {
        for (name, marks) in self.0.iter().filter_map(|running| running.marks.as_ref()) {
            if let Some(cluster) = cluster {
                let learner = marks.clone();
                cluster.on_notes(move |notes| learner.learn(notes));
            }
            tasks.spawn(name, run_forever(marks.clone().save_changes(tasks.stopping())));
        }
    }

    /// Saves what has reached the clients, at most for `limit`. The pipeline still has to accept requests.
    pub(super) async fn stop(self, limit: Duration, log: &Position) {
        let saves = self.0.iter().filter_map(|running| running.marks.as_ref()).map(|(_, marks)| marks.save());
        let saved = timeout(limit, join_all(saves)).await;
        if !saved.is_ok_and(|saved| saved.iter().all(Result::is_ok)) {
            warn!(
                "cannot store the delivery marks: some notifications and trades will be sent again after the restart"
            );
        }
        for at_stop in self.0.into_iter().filter_map(|running| running.at_stop) {
            at_stop(log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::lane::Slot;

    #[test]
    fn no_two_message_types_have_the_same_name() {
        let mut names: Vec<_> = published_types().iter().map(|declared| declared.kind.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
        assert!(names.iter().all(|name| message_type(name).is_some()));
    }

    #[test]
    fn shared_encodings_have_their_slots() {
        let mut slots: Vec<_> =
            DASHBOARDS.iter().flat_map(|dashboard| dashboard.shared()).map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        let numbered: Vec<_> = (0..slots.len() as u8).map(Slot::native).collect();
        assert_eq!(slots, numbered, "each once, and none left out");
    }

    #[test]
    fn every_dashboard_encodes_into_slots_of_its_own() {
        let core = [crate::transport::messages::OBJECT];
        let all = DASHBOARDS.iter().flat_map(|dashboard| dashboard.encodings()).chain(&core);
        let mut all: Vec<_> = all.map(|encoding| format!("{encoding:?}")).collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count, "two formats share a slot: {all:?}");
    }
}
