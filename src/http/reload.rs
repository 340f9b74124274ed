//! `POST /api/admin/reload`: reads the settings again, and applies what can be applied without a restart.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::AppState;
use super::admin::AdminAccess;
use super::describe::Refuses;
use super::error::ApiError;
use super::params::dry_run;
use crate::config::ChangedSetting;

/// What is done with the settings that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadMode {
    /// They are put in force.
    Apply,
    /// They are only compared.
    DryRun,
}

/// Reads the settings again. An error says which setting cannot be used, why, and what to do.
pub type ReloadSettings = Arc<dyn Fn(ReloadMode) -> BoxFuture<'static, Result<ReloadReport, String>> + Send + Sync>;

/// A setting with another value than the one that was in force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedSetting)]
struct ChangedSettingObject {
    /// The value that was read; `***` for a secret, null for none.
    new: Value,
    /// The value that was in force.
    old: Value,
    /// Its name, such as `limits.replays`; `instruments.BTCUSD` for an instrument.
    setting: String,
}

impl From<ChangedSetting> for ChangedSettingObject {
    fn from(ChangedSetting { setting, old, new }: ChangedSetting) -> Self {
        Self { new, old, setting }
    }
}

/// What a reload has changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReloadReport {
    /// The settings that are in force now; with `dry_run` those that would be.
    applied: Vec<ChangedSettingObject>,
    /// Whether the settings were only compared.
    dry_run: bool,
    /// The settings that will be in force after a restart.
    needs_restart: Vec<ChangedSettingObject>,
    /// Whether all settings are the ones in force.
    unchanged: bool,
    /// What is probably not as intended, as at a start.
    warnings: Vec<String>,
}

impl ReloadReport {
    /// Returns the report of what is applied and what needs a restart.
    pub fn new(
        mode: ReloadMode,
        applied: Vec<ChangedSetting>,
        needs_restart: Vec<ChangedSetting>,
        warnings: Vec<String>,
    ) -> Self {
        let objects = |changes: Vec<ChangedSetting>| changes.into_iter().map(ChangedSettingObject::from).collect();
        let unchanged = applied.is_empty() && needs_restart.is_empty();
        let (applied, needs_restart) = (objects(applied), objects(needs_restart));
        Self { applied, dry_run: mode == ReloadMode::DryRun, needs_restart, unchanged, warnings }
    }
}

/// The query of a reload. A misspelt `dry_run` is an error: it must not apply what was only to be compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadQuery {
    dry_run: Option<String>,
}

/// Reads the settings again and applies what can be applied without a restart, as SIGHUP does.
///
/// The file, the environment of the process and its command line are read and checked as at a start. Settings that cannot be used
/// are answered with 422, and change nothing. In a cluster it is about this node.
#[utoipa::path(
    post,
    path = "/api/admin/reload",
    operation_id = "reload_settings",
    security(("admin" = [])),
    params(("dry_run" = Option<bool>, Query, description = "Only compare: nothing is changed", example = true)),
    responses((status = 200, body = ReloadReport, description = "What has changed"), Refuses<422>),
)]
pub(super) async fn reload(
    _: AdminAccess,
    State(state): State<AppState>,
    query: Result<Query<ReloadQuery>, QueryRejection>,
) -> Result<Json<ReloadReport>, ApiError> {
    let mode = if dry_run(query?.dry_run.as_deref())? { ReloadMode::DryRun } else { ReloadMode::Apply };
    (state.reload)(mode).await.map(Json).map_err(ApiError::Settings)
}
