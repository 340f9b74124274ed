//! Delivers notifications to the webhook in order: signed, retried with back-off, without following redirects, and
//! dropped after the last attempt.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use super::outgoing::{AddressFault, AddressRules, OutgoingClient};
use super::sign::Signer;
use super::{AlertNotice, AlertRules};
use crate::config::{self, Live};
use crate::sources::net;
use crate::telemetry::Metrics;

/// Time limit for a request, from connecting to the response status.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Delays between attempts: 2–4 s, 6–12 s, … up to 5–10 min; about half an hour in total.
const BACK_OFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_secs(2))
    .with_factor(3.0)
    .with_max_delay(Duration::from_mins(5))
    .with_max_times(8)
    .with_jitter();

/// Why the webhook settings are invalid. The text leaves out the address, because it can hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CourierError {
    /// The address does not use `https`, and the settings do not allow plain HTTP.
    #[error("alerts.webhook_url must begin with https:// and name a host")]
    Address,
    /// The host is an address that the settings do not allow.
    #[error(
        "alerts.webhook_url leads to an address that is not public; alerts.allow_private_addresses allows private networks"
    )]
    Unreachable,
    /// The secret is missing, or too short to sign with.
    #[error("alerts.webhook_secret is missing, or signs nothing")]
    Secret,
}

/// Why a delivery attempt failed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("the webhook answers {0}")]
    Status(StatusCode),
    #[error("the webhook cannot be reached: {0}")]
    Broken(#[from] net::NetError),
}

/// Delivers the queued notifications in order, to the webhook that `rules` have at each attempt.
pub(super) async fn deliver(mut queue: mpsc::Receiver<AlertNotice>, rules: &Live<AlertRules>) {
    while let Some(notice) = queue.recv().await {
        deliver_one(&notice, rules).await;
    }
}

async fn deliver_one(notice: &AlertNotice, rules: &Live<AlertRules>) {
    // All attempts share one id, by which the receiver detects duplicates.
    let id = format!("msg_{}", Uuid::new_v4().simple());
    let body = notice.body();
    let mut waits = None;
    // A reload may have removed the webhook.
    while let Some(courier) = &rules.get().courier {
        let count = |outcome| courier.metrics.alert_deliveries_total.with_label_values(&[outcome]).inc();
        let error = match Box::pin(courier.attempt(&id, &body)).await {
            Ok(()) => {
                count("delivered");
                tracing::debug!(alert = notice.key.alert, "alert delivered");
                return;
            }
            Err(error) => error,
        };
        // 410 Gone: the receiver wants no further attempts.
        let next = waits.get_or_insert_with(|| courier.back_off.build()).next();
        let Some(wait) = next.filter(|_| !matches!(error, AttemptError::Status(StatusCode::GONE))) else {
            count("gave_up");
            tracing::warn!(alert = notice.key.alert, %error, "an alert could not be delivered to alerts.webhook_url; check the webhook");
            return;
        };
        count("failed");
        tracing::debug!(alert = notice.key.alert, %error, ?wait, "an alert could not be delivered; retrying");
        sleep(wait).await;
    }
}

/// The client of the operator's webhook.
#[derive(Debug)]
pub(super) struct Courier {
    client: OutgoingClient,
    address: Uri,
    signer: Signer,
    back_off: ExponentialBuilder,
    metrics: Arc<Metrics>,
    wall: fn() -> DateTime<Utc>,
}

impl Courier {
    /// Creates the client from the settings; `None` without a webhook.
    pub(super) fn new(
        settings: &config::Alerts,
        metrics: Arc<Metrics>,
        wall: fn() -> DateTime<Utc>,
    ) -> Result<Option<Self>, CourierError> {
        let Some(url) = &settings.webhook_url else { return Ok(None) };
        let signer = settings.webhook_secret.as_ref().and_then(Signer::new).ok_or(CourierError::Secret)?;
        let address: Uri = url.expose().parse().map_err(|_| CourierError::Address)?;
        let rules = AddressRules {
            allow_private: settings.allow_private_addresses,
            allow_plain_loopback: settings.allow_plain_loopback,
        };
        // Every notification uses its own connection.
        let client = OutgoingClient::new(&address, rules, REQUEST_TIMEOUT).map_err(|fault| match fault {
            AddressFault::Scheme => CourierError::Address,
            AddressFault::Unreachable => CourierError::Unreachable,
        })?;
        Ok(Some(Self { client, address, signer, back_off: BACK_OFF, metrics, wall }))
    }

    /// Replaces the delays between attempts.
    #[cfg(test)]
    pub(super) fn backing_off(mut self, back_off: ExponentialBuilder) -> Self {
        self.back_off = back_off;
        self
    }

    async fn attempt(&self, id: &str, body: &str) -> Result<(), AttemptError> {
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.clone();
        *request.headers_mut() = self.headers(id, body);
        // Only the status of the response is read. A redirect counts as a failure.
        match self.client.send(request).await?.status() {
            status if status.is_success() => Ok(()),
            status => Err(AttemptError::Status(status)),
        }
    }

    fn headers(&self, id: &str, body: &str) -> HeaderMap {
        let timestamp = (self.wall)().timestamp();
        let own = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", self.signer.sign(id, timestamp, body)),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)));
        let json = HeaderValue::from_static("application/json");
        own.chain([(CONTENT_TYPE, json)]).collect()
    }
}
