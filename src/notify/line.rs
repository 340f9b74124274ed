//! LINE's Messaging API (developers.line.biz): push to ids, or broadcast. Messages cannot be edited.
//!
//! Each message has an `X-Line-Retry-Key`: when an answer is lost, the message is sent again with the same key, and LINE
//! answers 409 when it has taken it before. Keys live for 24 hours.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode, Uri};
use serde_json::json;

use super::pace::Pacer;
use super::service::{ErrorText, NoticeMessage, NoticeService, Receipt, SendFault, ServiceClient, bearer, headers};
use crate::alerts::AddressRules;
use crate::config::{LineSettings, Secret};

/// Messages to one receiver in a second: far below LINE's own limits, so that a burst does not use them up.
const RATE: (usize, Duration) = (10, Duration::from_secs(1));
/// Longest text, in characters.
const MAX_TEXT: usize = 5_000;
/// How long to wait when the messages of the month are used up.
const QUOTA_PAUSE: Duration = Duration::from_hours(1);
const REMEDY: &str =
    "check notify.line.token: the Messaging API tab of the channel in the LINE Developers Console issues it";

/// One receiver.
#[derive(Debug)]
pub(super) struct LineReceiver {
    client: ServiceClient,
    address: Uri,
    token: Secret,
    /// `None`: all friends of the account.
    to: Option<String>,
    limits: [Arc<Pacer>; 1],
}

impl LineReceiver {
    /// Creates a service for each receiver, with its id.
    ///
    /// # Errors
    /// When the address is not allowed.
    pub(super) fn receivers(
        settings: &LineSettings,
        token: &Secret,
        rules: AddressRules,
    ) -> Result<Vec<(String, Self)>, String> {
        let receiver = |to: Option<&String>| {
            let base = settings.api_url.trim_end_matches('/');
            let action = if to.is_some() { "push" } else { "broadcast" };
            let address: Uri = format!("{base}/v2/bot/message/{action}")
                .parse()
                .map_err(|_| "notify.line.api_url makes no address".to_owned())?;
            let client = ServiceClient::new("LINE", &address, rules, token.expose())
                .map_err(|fault| format!("notify.line.api_url {fault}"))?;
            let id = to.cloned().unwrap_or_else(|| "broadcast".to_owned());
            let limits = [Arc::new(Pacer::new(RATE.0, RATE.1))];
            Ok((id, Self { client, address, token: token.clone(), to: to.cloned(), limits }))
        };
        if settings.broadcast {
            return receiver(None).map(|all| vec![all]);
        }
        settings.to.iter().map(|to| receiver(Some(to))).collect()
    }
}

impl NoticeService for LineReceiver {
    fn escape(&self, text: &str) -> String {
        text.to_owned()
    }

    fn limits(&self) -> &[Arc<Pacer>] {
        &self.limits
    }

    fn send<'a>(&'a self, message: &'a NoticeMessage<'a>) -> BoxFuture<'a, Result<Receipt, SendFault>> {
        async move {
            let text: String = message.text.chars().take(MAX_TEXT).collect();
            let mut body = json!({ "messages": [{ "type": "text", "text": text }] });
            if let Some(to) = &self.to {
                body["to"] = to.as_str().into();
            }
            let mut sent = bearer(self.token.expose());
            sent.extend(headers([("x-line-retry-key", message.key.to_string())]));
            let answer = self.client.call(Method::POST, &self.address, sent, body.to_string()).await?;
            // 409: it was taken before, and the answer was lost.
            if answer.status.is_success() || answer.status == StatusCode::CONFLICT {
                return Ok(Receipt::default());
            }
            let said = answer.json::<ErrorText>().unwrap_or_default().message;
            if answer.status == StatusCode::TOO_MANY_REQUESTS && said.contains("monthly limit") {
                let why = "LINE answers: the messages of this month are used up; a larger plan, or fewer notify.line.statuses";
                return Err(SendFault::Transient { why: why.to_owned(), after: Some(QUOTA_PAUSE) });
            }
            if answer.status == StatusCode::BAD_REQUEST && said.contains("'to'") {
                let remedy = "check notify.line.to: ids begin with U (user), C (group) or R (room)".to_owned();
                return Err(self.client.refused(&said, remedy));
            }
            Err(self.client.fault(&answer, &said, None, REMEDY))
        }
        .boxed()
    }
}
