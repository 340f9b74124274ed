//! Settings of the alerts to the operator.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::value::{self, duration};
use super::{Problem, Secret};

/// Alerts to the operator, in the log and by webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Where alerts are posted: `https`, public. Default unset: they are only logged and counted.
    #[serde(deserialize_with = "value::unless_empty")]
    pub webhook_url: Option<Secret>,
    /// The key that signs alerts: `whsec_` and base64, or any text, of at least 24 bytes. Default unset.
    #[serde(deserialize_with = "value::unless_empty")]
    pub webhook_secret: Option<Secret>,
    /// Whether the webhook may be in a private network. Default no.
    #[serde(deserialize_with = "value::flag")]
    pub allow_private_addresses: bool,
    /// Whether the webhook may be plain `http` on this very machine. Default no.
    #[serde(deserialize_with = "value::flag")]
    pub allow_plain_loopback: bool,
    /// An alert is sent when its condition has held for this long; at most 1 h. Default 2 min.
    #[serde(with = "duration")]
    pub pending_for: Duration,
    /// An alert is repeated at this interval while its condition holds; zero for never, at most 7 days. Default 4 h.
    #[serde(with = "duration")]
    pub repeat_every: Duration,
    /// No signal for this long of open market raises an alert; zero for never, at most 30 days. Default 4 h.
    #[serde(with = "duration")]
    pub no_signal_after: Duration,
    /// A larger share of failing HTTP requests in the last five minutes raises an alert, in percent; 0 for never. Default 5.
    #[serde(deserialize_with = "value::decimal")]
    pub error_rate: f64,
}

/// Shortest accepted key, in bytes, as Standard Webhooks requires.
const MIN_KEY: usize = 24;

impl Default for Alerts {
    fn default() -> Self {
        Self {
            webhook_url: None,
            webhook_secret: None,
            allow_private_addresses: false,
            allow_plain_loopback: false,
            pending_for: Duration::from_mins(2),
            repeat_every: Duration::from_hours(4),
            no_signal_after: Duration::from_hours(4),
            error_rate: 5.0,
        }
    }
}

impl Alerts {
    /// Decodes the signing key: `whsec_` and base64 as in Standard Webhooks, or any text. `None` when the key is too short or not
    /// base64.
    pub fn signing_key(secret: &Secret) -> Option<Vec<u8>> {
        let key = match secret.expose().strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).ok()?,
            None => secret.expose().as_bytes().to_owned(),
        };
        (key.len() >= MIN_KEY).then_some(key)
    }

    /// Checks what the types cannot express.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.webhook_url.is_some() && self.webhook_secret.is_none() {
            return Err(Problem::new("alerts.webhook_secret", "is needed to sign what alerts.webhook_url is told"));
        }
        if self.webhook_secret.as_ref().is_some_and(|secret| Self::signing_key(secret).is_none()) {
            let reason = "must be whsec_ and base64, or a text, of at least 24 bytes: it signs the alerts";
            return Err(Problem::new("alerts.webhook_secret", reason));
        }
        let begins = |scheme| self.webhook_url.as_ref().is_some_and(|url| url.expose().starts_with(scheme));
        if self.webhook_url.is_some() && !begins("https://") && !(self.allow_plain_loopback && begins("http://")) {
            return Err(Problem::new("alerts.webhook_url", "must begin with https://"));
        }
        if !(0.0..=100.0).contains(&self.error_rate) {
            return Err(Problem::new("alerts.error_rate", format!("must be 0 to 100, not {}", self.error_rate)));
        }
        Ok(())
    }
}
