//! ntfy (docs.ntfy.sh/publish, "Publish as JSON").

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Uri};
use serde::Deserialize;
use serde_json::json;

use super::pace::Pacer;
use super::service::{NoticeMessage, NoticeService, Receipt, SendFault, ServiceClient, bearer};
use crate::alerts::AddressRules;
use crate::config::{NtfySettings, Secret};
use crate::domain::{Direction, NoticeStep};

/// Messages to a server: its burst is 60, and one comes back every 5 seconds.
const RATE: (usize, Duration) = (12, Duration::from_mins(1));
/// Largest message, in bytes; a larger one would become an attachment.
const MAX_TEXT: usize = 4_000;
const REMEDY: &str = "check notify.ntfy.token and notify.ntfy.topic: the token must be allowed to write to the topic";

/// A topic.
#[derive(Debug)]
pub(super) struct Ntfy {
    client: ServiceClient,
    address: Uri,
    topic: Secret,
    token: Option<Secret>,
    priority: u8,
    limits: [Arc<Pacer>; 1],
}

#[derive(Debug, Default, Deserialize)]
struct NtfyAnswer {
    #[serde(default)]
    error: String,
}

impl Ntfy {
    /// Creates the service.
    ///
    /// # Errors
    /// When the address is not allowed.
    pub(super) fn new(settings: &NtfySettings, topic: &Secret, rules: AddressRules) -> Result<Self, String> {
        let address: Uri =
            settings.server_url.parse().map_err(|_| "notify.ntfy.server_url is no address".to_owned())?;
        let client = ServiceClient::new("ntfy", &address, rules, topic.expose())
            .map_err(|fault| format!("notify.ntfy.server_url {fault}"))?;
        let limits = [Arc::new(Pacer::new(RATE.0, RATE.1))];
        let (topic, token, priority) = (topic.clone(), settings.token.clone(), settings.priority);
        Ok(Self { client, address, topic, token, priority, limits })
    }
}

impl NoticeService for Ntfy {
    fn escape(&self, text: &str) -> String {
        text.to_owned()
    }

    fn limits(&self) -> &[Arc<Pacer>] {
        &self.limits
    }

    fn send<'a>(&'a self, message: &'a NoticeMessage<'a>) -> BoxFuture<'a, Result<Receipt, SendFault>> {
        async move {
            let notice = message.notice;
            let trend = match notice.signal.direction {
                Direction::Long => "chart_with_upwards_trend",
                Direction::Short => "chart_with_downwards_trend",
            };
            let lower = u8::from(notice.step != NoticeStep::Confirmed);
            let mut text = message.text.clone();
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            let body = json!({
                "topic": self.topic.expose(), "title": message.title, "message": text,
                "priority": (self.priority - lower).max(1), "tags": [trend, notice.step.name()],
            });
            let token = self.token.as_ref().map_or_else(HeaderMap::new, |token| bearer(token.expose()));
            let answer = self.client.call(Method::POST, &self.address, token, body.to_string()).await?;
            if answer.status.is_success() {
                return Ok(Receipt::default());
            }
            let said = answer.json::<NtfyAnswer>().unwrap_or_default().error;
            Err(self.client.fault(&answer, &said, None, REMEDY))
        }
        .boxed()
    }
}
