//! Dead-man alerts: the server notifies its operator of problems, and of their end, by a signed webhook.
//!
//! ```text
//! conditions ──► board ──► queue ──► courier ──► the operator's webhook
//! (the app's)    (raised    (bounded)  (signs, retries)
//!                 or not)
//! ```
//!
//! Alerts never block the server: a delivery that fails is retried, then dropped, counted and logged.

mod board;
mod courier;
mod outgoing;
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

use crate::config::{self, Live};
use crate::telemetry::Metrics;
use board::{AlertChange, Board};
pub use board::{AlertNotice, Key};
use courier::Courier;
pub use courier::CourierError;
pub use outgoing::{AddressFault, AddressRules, OutgoingClient};
pub use sign::Signer;

/// How often the conditions are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How many notifications may wait for the webhook.
const MAX_WAITING: usize = 64;

/// The current problems: for each alert a sentence for the operator.
pub type ActiveConditions = BTreeMap<Key, String>;

/// Checks the conditions, and notifies the operator when one begins or ends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alerts {
    rules: Live<AlertRules>,
    metrics: Arc<Metrics>,
    wall: fn() -> DateTime<Utc>,
}

/// The settings of the alerts, and the client of their webhook.
#[derive(Debug)]
pub struct AlertRules {
    /// The settings.
    pub settings: config::Alerts,
    courier: Option<Courier>,
}

impl Alerts {
    /// Creates the alerts from the settings. Without a webhook they are only logged and counted.
    ///
    /// # Errors
    /// When the address or the secret of the webhook is invalid.
    pub fn new(
        settings: &config::Alerts,
        metrics: Arc<Metrics>,
        wall: fn() -> DateTime<Utc>,
    ) -> Result<Self, CourierError> {
        let rules = Live::new(AlertRules::new(settings, &metrics, wall)?);
        Ok(Self { rules, metrics, wall })
    }

    /// Returns the rules in force.
    pub fn rules(&self) -> Arc<AlertRules> {
        self.rules.get()
    }

    /// Builds the rules of other settings.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn rules_of(&self, settings: &config::Alerts) -> Result<AlertRules, CourierError> {
        AlertRules::new(settings, &self.metrics, self.wall)
    }

    /// Puts other rules in force. Raised alerts stay raised, and an undelivered notification goes to the new webhook.
    pub fn set_rules(&self, rules: AlertRules) {
        self.rules.set(rules);
    }

    /// Calls `conditions` at an interval until `stop`. It must not block. Its argument is the time since the previous
    /// call.
    pub async fn run(self, mut conditions: impl FnMut(Duration) -> ActiveConditions + Send, stop: CancellationToken) {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let Self { rules, metrics, wall } = self;
        let mut board = Board::new(Duration::ZERO, Duration::ZERO);
        let looking = async {
            let mut look = interval(CHECK_INTERVAL);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut before = Instant::now();
            loop {
                let now = look.tick().await;
                let wrong = conditions(now.saturating_duration_since(before));
                before = now;
                let rules = rules.get();
                (board.pending_for, board.repeat_every) = (rules.settings.pending_for, rules.settings.repeat_every);
                for notice in board.update(now, wall(), &wrong) {
                    log(&notice);
                    if rules.courier.is_some() && queue.try_send(notice).is_err() {
                        metrics.alert_deliveries_total.with_label_values(&["dropped"]).inc();
                        tracing::warn!("an alert is not sent to alerts.webhook_url: the queue is full");
                    }
                }
                for (name, raised) in board.raised() {
                    metrics.alerts_firing.with_label_values(&[name]).set(raised);
                }
            }
        };
        let telling = courier::deliver(waiting, &rules);
        let both = async { tokio::join!(looking, telling) };
        stop.run_until_cancelled(both).await;
    }
}

impl AlertRules {
    fn new(
        settings: &config::Alerts,
        metrics: &Arc<Metrics>,
        wall: fn() -> DateTime<Utc>,
    ) -> Result<Self, CourierError> {
        Ok(Self { courier: Courier::new(settings, metrics.clone(), wall)?, settings: settings.clone() })
    }
}

fn log(notice: &AlertNotice) {
    let AlertNotice { key: Key { alert, subject }, message: why, .. } = notice;
    match notice.step {
        AlertChange::Raised => tracing::warn!(alert, subject, why, "alert raised"),
        AlertChange::Repeated => tracing::warn!(alert, subject, why, "alert still raised"),
        AlertChange::Resolved => tracing::info!(alert, subject, why, "alert resolved"),
    }
}
