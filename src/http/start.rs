//! The console's start page: what has happened on a new server.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::params::ReadAccess;
use crate::domain::iso;

/// How long after the first start the console begins with the page.
const NEW_FOR: TimeDelta = TimeDelta::days(7);

/// What has happened on a server for the first time, as it is kept in the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StartSteps {
    /// When the data directory was empty; `None` when that is not known.
    pub began_at: Option<DateTime<Utc>>,
    /// When a dashboard connected.
    pub dashboard_at: Option<DateTime<Utc>>,
    /// When a push was accepted.
    pub push_at: Option<DateTime<Utc>>,
    /// When there was a price that was neither simulated nor replayed.
    pub price_at: Option<DateTime<Utc>>,
}

impl StartSteps {
    /// Whether all of it has happened.
    pub fn are_done(&self) -> bool {
        self.dashboard_at.is_some() && self.push_at.is_some() && self.price_at.is_some()
    }
}

/// The steps, which the server's watch sets.
#[derive(Debug, Default)]
pub struct StartProgress(Mutex<StartSteps>);

impl StartProgress {
    /// Begins with these steps.
    pub fn new(steps: StartSteps) -> Self {
        Self(Mutex::new(steps))
    }

    /// Returns the steps.
    pub fn steps(&self) -> StartSteps {
        *self.0.lock()
    }

    /// Changes the steps, and returns them if that made a difference.
    pub fn update(&self, change: impl FnOnce(&mut StartSteps)) -> Option<StartSteps> {
        let mut steps = self.0.lock();
        let before = *steps;
        change(&mut steps);
        (*steps != before).then_some(*steps)
    }
}

/// The start page's steps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Start)]
pub(super) struct StartObject {
    /// When the first dashboard connected; the console itself does not count.
    #[schema(required, format = DateTime)]
    dashboard_at: Option<String>,
    /// Whether the console begins with the start page: the server is new, and not all steps are done.
    is_new: bool,
    /// When the first real price came: neither simulated nor replayed.
    #[schema(required, format = DateTime)]
    price_at: Option<String>,
    /// When the first push was accepted.
    #[schema(required, format = DateTime)]
    push_at: Option<String>,
}

/// Returns what has happened on a new server: the first dashboard, the first push, the first real price.
///
/// Known since the data directory was empty; for an older one, since the start of the process.
#[utoipa::path(
    get,
    path = "/api/start",
    operation_id = "get_start",
    security(("reader" = [])),
    responses((status = 200, body = StartObject, description = "The steps of the start page")),
)]
pub(super) async fn start(_: ReadAccess, State(state): State<AppState>) -> Json<StartObject> {
    let steps = state.start.steps();
    let is_recent = steps.began_at.is_some_and(|began| (state.clock)() - began < NEW_FOR);
    Json(StartObject {
        dashboard_at: steps.dashboard_at.map(iso),
        is_new: is_recent && !steps.are_done(),
        price_at: steps.price_at.map(iso),
        push_at: steps.push_at.map(iso),
    })
}
