//! Brings notices to the webhook, one after the other: signed, retried, never redirected, and given up at last.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_TYPE, HeaderMap, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Notice;
use super::reach::{Reach, Resolver};
use super::sign::Signer;
use crate::config;
use crate::sources::net;
use crate::telemetry::Metrics;

/// Longest wait for the webhook, from the connection to its status.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits between attempts: 2–4 s, 6–12 s, … up to 5–10 min; about half an hour in all.
const BACK_OFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_secs(2))
    .with_factor(3.0)
    .with_max_delay(Duration::from_mins(5))
    .with_max_times(8)
    .with_jitter();

const AGENT: HeaderValue = HeaderValue::from_static(concat!("orion-server/", env!("CARGO_PKG_VERSION")));

/// Why the webhook of the settings cannot be used. Says nothing of the address itself: it can hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CourierError {
    /// Not `https`, and not allowed to be otherwise.
    #[error("alerts.webhook_url must begin with https:// and name a host")]
    Address,
    /// The host is an address that may not be connected to.
    #[error(
        "alerts.webhook_url leads to an address that is not public; alerts.allow_private_addresses allows private networks"
    )]
    Unreachable,
    /// There is no secret, or one that signs nothing.
    #[error("alerts.webhook_secret is missing, or signs nothing")]
    Secret,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Attempt {
    #[error("the webhook answers {0}")]
    Status(StatusCode),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("the webhook cannot be reached: {0}")]
    Broken(net::NetError),
}

/// The way to the webhook.
#[derive(Debug)]
pub(super) struct Courier {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    address: Uri,
    signer: Signer,
    back_off: ExponentialBuilder,
    metrics: Arc<Metrics>,
    wall: fn() -> DateTime<Utc>,
}

impl Courier {
    /// The way to the webhook of the settings; `None` without one.
    pub(super) fn new(
        settings: &config::Alerts,
        metrics: Arc<Metrics>,
        wall: fn() -> DateTime<Utc>,
    ) -> Result<Option<Self>, CourierError> {
        let Some(url) = &settings.webhook_url else { return Ok(None) };
        let signer = settings.webhook_secret.as_ref().and_then(Signer::new).ok_or(CourierError::Secret)?;
        let address: Uri = url.expose().parse().map_err(|_| CourierError::Address)?;
        let host = address.host().filter(|host| !host.is_empty()).ok_or(CourierError::Address)?;
        let reach = match address.scheme_str() {
            Some("https") if settings.allow_private_addresses => Reach::Private,
            Some("https") => Reach::Public,
            Some("http") if settings.allow_plain_loopback => Reach::Loopback,
            _ => return Err(CourierError::Address),
        };
        // An address in place of a name is not resolved, and so has to be judged here.
        if host.trim_matches(['[', ']']).parse().is_ok_and(|ip| !reach.allows(ip)) {
            return Err(CourierError::Unreachable);
        }
        let mut tcp = HttpConnector::new_with_resolver(Resolver(reach));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(PATIENCE));
        let tls = HttpsConnectorBuilder::new().with_tls_config(Arc::unwrap_or_clone(net::tls()));
        let tls = if reach == Reach::Loopback { tls.https_or_http() } else { tls.https_only() };
        // Every notice on a connection of its own, to an address that was judged for it.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(tls.enable_http1().wrap_connector(tcp));
        Ok(Some(Self { client, address, signer, back_off: BACK_OFF, metrics, wall }))
    }

    /// Waits otherwise between attempts.
    #[cfg(test)]
    pub(super) fn backing_off(mut self, back_off: ExponentialBuilder) -> Self {
        self.back_off = back_off;
        self
    }

    /// Delivers what is in the queue, in its order.
    pub(super) async fn deliver(&self, mut queue: mpsc::Receiver<Notice>) {
        while let Some(notice) = queue.recv().await {
            self.bring(&notice).await;
        }
    }

    async fn bring(&self, notice: &Notice) {
        // The same over all attempts: by it the receiver knows a repetition.
        let id = format!("msg_{}", Uuid::new_v4().simple());
        let body = notice.body();
        let count = |outcome| self.metrics.alert_deliveries_total.with_label_values(&[outcome]).inc();
        let mut waits = self.back_off.build();
        loop {
            let error = match self.attempt(&id, &body).await {
                Ok(()) => {
                    count("delivered");
                    tracing::debug!(alert = notice.key.alert, "alert delivered");
                    return;
                }
                Err(error) => error,
            };
            // 410: whoever is there wants no more of it.
            let wait = waits.next().filter(|_| !matches!(error, Attempt::Status(StatusCode::GONE)));
            let Some(wait) = wait else {
                count("gave_up");
                tracing::warn!(alert = notice.key.alert, %error, "an alert could not be delivered");
                return;
            };
            count("failed");
            tracing::debug!(alert = notice.key.alert, %error, ?wait, "an alert is to be delivered again");
            sleep(wait).await;
        }
    }

    async fn attempt(&self, id: &str, body: &str) -> Result<(), Attempt> {
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.clone();
        *request.headers_mut() = self.headers(id, body);
        let answer = timeout(PATIENCE, self.client.request(request)).await.map_err(|_| Attempt::Silent)?;
        // Of the answer nothing but its status is read, and a redirect is an answer like any other.
        match answer.map_err(|error| Attempt::Broken(net::NetError::broken(&error)))?.status() {
            status if status.is_success() => Ok(()),
            status => Err(Attempt::Status(status)),
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
        own.chain([(CONTENT_TYPE, json), (USER_AGENT, AGENT)]).collect()
    }
}
