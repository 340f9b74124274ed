//! Slack's incoming webhooks (docs.slack.dev, "Sending messages using incoming webhooks"). They answer no id, so that
//! nothing can be edited, and know no key of idempotency.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Uri};
use serde_json::json;

use super::pace::Pacer;
use super::service::{NoticeMessage, NoticeService, Receipt, SendFault, ServiceClient};
use crate::alerts::AddressRules;
use crate::config::Secret;

/// Messages of a webhook.
const RATE: (usize, Duration) = (1, Duration::from_secs(1));
const REMEDY: &str = "check notify.slack.webhook_url: Incoming Webhooks in the settings of the Slack app has it";

/// An incoming webhook.
#[derive(Debug)]
pub(super) struct Slack {
    client: ServiceClient,
    address: Uri,
    limits: [Arc<Pacer>; 1],
}

impl Slack {
    /// Creates the service.
    ///
    /// # Errors
    /// When the address is not allowed.
    pub(super) fn new(url: &Secret, rules: AddressRules) -> Result<Self, String> {
        let address: Uri = url.expose().parse().map_err(|_| "notify.slack.webhook_url is no address".to_owned())?;
        let secret = address.path().rsplit('/').next().unwrap_or_default();
        let client = ServiceClient::new("Slack", &address, rules, secret)
            .map_err(|fault| format!("notify.slack.webhook_url {fault}"))?;
        Ok(Self { client, address, limits: [Arc::new(Pacer::new(RATE.0, RATE.1))] })
    }
}

impl NoticeService for Slack {
    fn escape(&self, text: &str) -> String {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    }

    fn limits(&self) -> &[Arc<Pacer>] {
        &self.limits
    }

    fn send<'a>(&'a self, message: &'a NoticeMessage<'a>) -> BoxFuture<'a, Result<Receipt, SendFault>> {
        async move {
            let body = json!({ "text": message.text, "unfurl_links": false });
            let answer = self.client.call(Method::POST, &self.address, HeaderMap::new(), body.to_string()).await?;
            if answer.status.is_success() {
                return Ok(Receipt::default());
            }
            Err(self.client.fault(&answer, &answer.text(), None, REMEDY))
        }
        .boxed()
    }
}
