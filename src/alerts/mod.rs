//! Dead-man alerts: the server itself tells its operator, by a signed webhook, what is wrong with it and when it is over.
//!
//! ```text
//! conditions ──► board ──► queue ──► courier ──► the operator's webhook
//! (the app's)    (raised    (bounded)  (signs, retries)
//!                 or not)
//! ```
//!
//! Nobody waits for an alert: what the webhook does not take in time is retried, then given up, counted and logged.

mod board;
mod courier;
mod reach;
mod sign;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::telemetry::Metrics;
use board::{Board, Step};
pub use board::{Key, Notice};
use courier::Courier;
pub use courier::CourierError;

/// How often the conditions are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Notices that may wait for the webhook.
const MAX_WAITING: usize = 64;

/// What is wrong now: an alert's name and subject, and a sentence for a person.
pub type Wrong = BTreeMap<Key, String>;

/// Looks at the conditions, and tells of those that come and go.
#[derive(Debug)]
pub struct Alerts {
    board: Board,
    courier: Option<Courier>,
    metrics: Arc<Metrics>,
    wall: fn() -> DateTime<Utc>,
}

impl Alerts {
    /// Alerts by the settings: without a webhook they are only logged and counted.
    ///
    /// # Errors
    /// When the address or the secret of the webhook cannot be used.
    pub fn new(
        settings: &config::Alerts,
        metrics: Arc<Metrics>,
        wall: fn() -> DateTime<Utc>,
    ) -> Result<Self, CourierError> {
        let courier = Courier::new(settings, metrics.clone(), wall)?;
        Ok(Self { board: Board::new(settings.after, settings.repeat_every), courier, metrics, wall })
    }

    /// Asks `conditions` again and again, until `stop`. They must not block; they are told the time since the last question.
    pub async fn run(self, mut conditions: impl FnMut(Duration) -> Wrong + Send, stop: CancellationToken) {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let Self { mut board, courier, metrics, wall } = self;
        let looking = async {
            let mut look = interval(LOOK_EVERY);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut before = Instant::now();
            loop {
                let now = look.tick().await;
                let wrong = conditions(now.saturating_duration_since(before));
                before = now;
                for notice in board.judge(now, wall(), &wrong) {
                    log(&notice);
                    if courier.is_some() && queue.try_send(notice).is_err() {
                        metrics.alert_deliveries_total.with_label_values(&["dropped"]).inc();
                        tracing::warn!("an alert is not sent: too many wait for the webhook");
                    }
                }
                for (name, raised) in board.raised() {
                    metrics.alerts_firing.with_label_values(&[name]).set(raised);
                }
            }
        };
        let telling = async {
            match &courier {
                Some(courier) => courier.deliver(waiting).await,
                None => std::future::pending().await,
            }
        };
        let both = async { tokio::join!(looking, telling) };
        stop.run_until_cancelled(both).await;
    }
}

fn log(notice: &Notice) {
    let Notice { key: Key { alert, subject }, message: why, .. } = notice;
    match notice.step {
        Step::Raised => tracing::warn!(alert, subject, why, "alert raised"),
        Step::Repeated => tracing::warn!(alert, subject, why, "alert still raised"),
        Step::Resolved => tracing::info!(alert, subject, why, "alert resolved"),
    }
}
