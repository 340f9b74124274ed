//! Discord's webhooks (docs.discord.com, "Webhook"): `POST ?wait=true` answers the message, `PATCH …/messages/{id}` edits
//! it. A webhook knows no key of idempotency: when the answer to a `POST` is lost, the message may be there twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Deserialize;
use serde_json::json;

use super::pace::Pacer;
use super::service::{Answer, NoticeMessage, NoticeService, Receipt, SendFault, ServiceClient, seconds};
use crate::alerts::AddressRules;
use crate::config::Secret;

/// Messages of a webhook: 5 in 2 seconds, and 30 in a minute to one channel.
const RATES: [(usize, Duration); 2] = [(5, Duration::from_secs(2)), (30, Duration::from_mins(1))];
/// Longest text, in characters.
const MAX_TEXT: usize = 2_000;
/// `SUPPRESS_EMBEDS`.
const NO_EMBEDS: u32 = 1 << 2;
/// The code of "Unknown Message".
const UNKNOWN_MESSAGE: u64 = 10_008;
const REMEDY: &str = "check notify.discord.webhook_url: the channel's settings, Integrations, Webhooks has it";

/// A webhook of a channel.
#[derive(Debug)]
pub(super) struct Discord {
    client: ServiceClient,
    /// Without its query.
    base: Secret,
    query: Option<String>,
    limits: [Arc<Pacer>; 2],
}

#[derive(Debug, Default, Deserialize)]
struct DiscordAnswer {
    id: Option<String>,
    #[serde(default)]
    message: String,
    code: Option<u64>,
    retry_after: Option<f64>,
}

impl Discord {
    /// Creates the service.
    ///
    /// # Errors
    /// When the address is not allowed.
    pub(super) fn new(url: &Secret, rules: AddressRules) -> Result<Self, String> {
        let address: Uri = url.expose().parse().map_err(|_| "notify.discord.webhook_url is no address".to_owned())?;
        let secret = address.path().rsplit('/').next().unwrap_or_default();
        let client = ServiceClient::new("Discord", &address, rules, secret)
            .map_err(|fault| format!("notify.discord.webhook_url {fault}"))?;
        let (base, query) =
            url.expose().split_once('?').map_or((url.expose(), None), |(base, query)| (base, Some(query)));
        let limits = RATES.map(|(most, window)| Arc::new(Pacer::new(most, window)));
        Ok(Self { client, base: Secret::new(base.trim_end_matches('/')), query: query.map(str::to_owned), limits })
    }

    fn address(&self, earlier: Option<u64>) -> Result<Uri, SendFault> {
        let (base, query) = (self.base.expose(), self.query.as_deref());
        let text = match (earlier, query) {
            (Some(id), Some(query)) => format!("{base}/messages/{id}?{query}"),
            (Some(id), None) => format!("{base}/messages/{id}"),
            (None, Some(query)) => format!("{base}?wait=true&{query}"),
            (None, None) => format!("{base}?wait=true"),
        };
        text.parse().map_err(|_| SendFault::Unusable("notify.discord.webhook_url makes no address".to_owned()))
    }

    /// Posts or edits. `Ok(None)`: the message to edit is not there any more.
    async fn call(&self, message: &NoticeMessage<'_>, earlier: Option<u64>) -> Result<Option<Receipt>, SendFault> {
        let text: String = message.text.chars().take(MAX_TEXT).collect();
        let body = json!({ "content": text, "allowed_mentions": { "parse": [] }, "flags": NO_EMBEDS });
        let method = if earlier.is_some() { Method::PATCH } else { Method::POST };
        let answer = self.client.call(method, &self.address(earlier)?, HeaderMap::new(), body.to_string()).await?;
        let said: DiscordAnswer = answer.json().unwrap_or_default();
        if answer.status.is_success() {
            let id = earlier.or_else(|| said.id?.parse().ok());
            return Ok(Some(Receipt { id, edited: earlier.is_some(), pause: pause(&answer) }));
        }
        if earlier.is_some() && answer.status == StatusCode::NOT_FOUND && said.code == Some(UNKNOWN_MESSAGE) {
            return Ok(None);
        }
        Err(self.client.fault(&answer, &said.message, said.retry_after.and_then(seconds), REMEDY))
    }
}

/// Returns how long the bucket of the request is empty.
fn pause(answer: &Answer) -> Duration {
    let number = |name: &str| answer.headers.get(name)?.to_str().ok()?.parse::<f64>().ok();
    match (number("x-ratelimit-remaining"), number("x-ratelimit-reset-after").and_then(seconds)) {
        (Some(0.0), Some(pause)) => pause,
        _ => Duration::ZERO,
    }
}

impl NoticeService for Discord {
    fn edits(&self) -> bool {
        true
    }

    /// Without the meaning of Markdown.
    fn escape(&self, text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            if "\\*_~`|>#-[]()<@:".contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    }

    fn limits(&self) -> &[Arc<Pacer>] {
        &self.limits
    }

    fn send<'a>(&'a self, message: &'a NoticeMessage<'a>) -> BoxFuture<'a, Result<Receipt, SendFault>> {
        self.call(message, None).map_ok(Option::unwrap_or_default).boxed()
    }

    fn edit<'a>(
        &'a self,
        message: &'a NoticeMessage<'a>,
        earlier: u64,
    ) -> BoxFuture<'a, Result<Option<Receipt>, SendFault>> {
        self.call(message, Some(earlier)).boxed()
    }
}
