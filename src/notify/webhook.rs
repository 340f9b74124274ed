//! A webhook with every step of a signal, signed as Standard Webhooks (standardwebhooks.com) says. Every attempt has the
//! same `webhook-id`, by which the receiver detects that it has the event.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Uri};
use serde_json::{Value, json};

use super::pace::Pacer;
use super::service::{NoticeMessage, NoticeService, Receipt, SendFault, ServiceClient, headers};
use crate::alerts::{AddressRules, Signer};
use crate::config::Secret;
use crate::domain::{WallClock, iso};
use crate::transport::messages::SignalObject;

/// Events to a receiver.
const RATE: (usize, Duration) = (50, Duration::from_secs(1));
const REMEDY: &str = "check notify.webhook.url, and what the receiver expects";

/// A signed webhook.
pub(super) struct SignedWebhook {
    client: ServiceClient,
    address: Uri,
    signer: Signer,
    clock: WallClock,
    limits: [Arc<Pacer>; 1],
}

impl std::fmt::Debug for SignedWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedWebhook").field("client", &self.client).finish_non_exhaustive()
    }
}

impl SignedWebhook {
    /// Creates the service.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub(super) fn new(
        url: &Secret,
        secret: Option<&Secret>,
        rules: AddressRules,
        clock: WallClock,
    ) -> Result<Self, String> {
        let address: Uri = url.expose().parse().map_err(|_| "notify.webhook.url is no address".to_owned())?;
        let signer = secret.and_then(Signer::new).ok_or("notify.webhook.secret is missing, or signs nothing")?;
        let client = ServiceClient::new("the webhook", &address, rules, address.query().unwrap_or_default())
            .map_err(|fault| format!("notify.webhook.url {fault}"))?;
        Ok(Self { client, address, signer, clock, limits: [Arc::new(Pacer::new(RATE.0, RATE.1))] })
    }
}

/// Returns the body: type, timestamp, data.
fn body(message: &NoticeMessage<'_>) -> Value {
    let notice = message.notice;
    json!({
        "type": format!("signal.{}", notice.step.name()),
        "timestamp": iso(notice.at),
        "data": {
            "signal": SignalObject::from(&notice.signal),
            "targets_hit": notice.targets_hit,
            "outcome": notice.outcome,
        },
    })
}

impl NoticeService for SignedWebhook {
    fn escape(&self, text: &str) -> String {
        text.to_owned()
    }

    fn limits(&self) -> &[Arc<Pacer>] {
        &self.limits
    }

    fn send<'a>(&'a self, message: &'a NoticeMessage<'a>) -> BoxFuture<'a, Result<Receipt, SendFault>> {
        async move {
            let (id, timestamp) = (format!("msg_{}", message.key.simple()), (self.clock)().timestamp());
            let body = body(message).to_string();
            let own = headers([
                ("webhook-signature", self.signer.sign(&id, timestamp, &body)),
                ("webhook-id", id),
                ("webhook-timestamp", timestamp.to_string()),
            ]);
            let answer = self.client.call(Method::POST, &self.address, own, body).await?;
            if answer.status.is_success() {
                return Ok(Receipt::default());
            }
            Err(self.client.fault(&answer, "", None, REMEDY))
        }
        .boxed()
    }
}
