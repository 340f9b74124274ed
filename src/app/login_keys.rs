//! Fetches the keys of the login service periodically.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::run_forever;
use crate::auth::{KeySet, MAX_KEY_SET, Tokens};
use crate::config::Settings;
use crate::sources::net::Http;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, Readiness};

/// Time-out for the connection, and again for the response.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Spawns a task that keeps the keys of `auth.jwks_url` fresh, and adds them to `/ready`. Does nothing without the setting.
pub(super) fn keep_fresh(
    settings: &Settings,
    tokens: &Tokens,
    readiness: &Readiness,
    metrics: &Arc<Metrics>,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let (Some(address), Some(set)) = (settings.auth.jwks_address()?, tokens.key_set()) else { return Ok(()) };
    let checked = set.clone();
    readiness.add_check("login_keys", move || checked.complaint());
    let work = fetch_forever(set.clone(), address, metrics.clone());
    let stopping = tasks.stopping();
    tasks.spawn(
        "login keys",
        run_forever(async move {
            stopping.run_until_cancelled_owned(work).await;
        }),
    );
    Ok(())
}

async fn fetch_forever(set: Arc<KeySet>, address: Uri, metrics: Arc<Metrics>) {
    let http = Http::new(FETCH_TIMEOUT);
    loop {
        set.begin_fetch();
        let document = http.document(&address, MAX_KEY_SET).await;
        let outcome = if set.end_fetch(document.map_err(|error| error.to_string())) { "fetched" } else { "failed" };
        metrics.key_set_fetches_total.with_label_values(&[outcome]).inc();
        metrics.key_set_keys.set(set.len() as i64);
        set.until_due().await;
    }
}
