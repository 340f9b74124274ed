//! How many clients are watching: counts for readers, and users for administrators.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::admin::AdminAccess;
use super::params::ReadAccess;
use crate::domain::{Presence, iso};
use crate::transport::messages::PresenceObject;

/// Largest number of users in the answer.
const MAX_USERS: usize = 1_000;

/// Who is watching, on the node that answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PresenceOfUsers)]
pub(super) struct UserPresenceObject {
    /// The clients of the node that answers.
    this_node: Presence,
    #[schema(format = DateTime)]
    timestamp: String,
    /// The users with a client here, by name; the first 1,000 of them.
    #[schema(max_items = 1_000)]
    users: Vec<WatchingUser>,
    /// How many users have a client here.
    users_total: usize,
}

/// The clients whose token names this user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserPresence)]
struct WatchingUser {
    user: String,
    #[serde(flatten)]
    counts: Presence,
}

/// Returns how many clients are connected to this node, and how many of them get what.
///
/// Counts, never names. In a cluster each node counts its own clients. The channel `presence` has the same counts live.
#[utoipa::path(
    get,
    path = "/api/presence",
    operation_id = "get_presence",
    security(("reader" = [])),
    responses((status = 200, body = PresenceObject, description = "The counts")),
)]
pub(super) async fn presence(_: ReadAccess, State(state): State<AppState>) -> Json<PresenceObject> {
    Json(PresenceObject::at((state.clock)(), state.hub.presence()))
}

/// Returns which users are connected to this node, and how many of their clients get what.
///
/// A client without a user's token has no name, and is only in `this_node`.
#[utoipa::path(
    get,
    path = "/api/admin/presence",
    operation_id = "get_user_presence",
    security(("admin" = [])),
    responses((status = 200, body = UserPresenceObject, description = "The users")),
)]
pub(super) async fn users(_: AdminAccess, State(state): State<AppState>) -> Json<UserPresenceObject> {
    let (users, users_total) = state.hub.users(MAX_USERS);
    let users = users.into_iter().map(|(user, counts)| WatchingUser { user: user.to_string(), counts }).collect();
    Json(UserPresenceObject { this_node: state.hub.presence(), timestamp: iso((state.clock)()), users, users_total })
}
