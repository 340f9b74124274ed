//! Telegram's Bot API (core.telegram.org/bots/api): `sendMessage`, `editMessageText`.
//!
//! The token stands in the path of every request. The Bot API knows no key of idempotency: when the answer to
//! `sendMessage` is lost, the message is sent again and may be there twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::pace::Pacer;
use super::service::{NoticeMessage, NoticeService, Receipt, SendFault, ServiceClient, seconds};
use crate::alerts::AddressRules;
use crate::config::{Secret, TelegramSettings};

/// Messages of a bot in a second, over all chats.
const BOT: (usize, Duration) = (30, Duration::from_secs(1));
/// Messages to one chat in a second.
const CHAT: (usize, Duration) = (1, Duration::from_secs(1));
/// Messages to a group or channel in a minute.
const GROUP: (usize, Duration) = (20, Duration::from_mins(1));
const TOKEN_REMEDY: &str = "check notify.telegram.token: @BotFather shows it (/mybots, API Token)";
const CHAT_REMEDY: &str = "check notify.telegram.chats: the bot must be a member of the group, an administrator of the channel, or the \
                           user must have pressed Start";

/// One chat of a bot.
#[derive(Debug)]
pub(super) struct Telegram {
    client: ServiceClient,
    send: Uri,
    edit: Uri,
    chat: Value,
    limits: Vec<Arc<Pacer>>,
}

/// An answer of the Bot API.
#[derive(Debug, Default, Deserialize)]
struct BotAnswer {
    #[serde(default)]
    ok: bool,
    result: Option<Value>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: BotParameters,
}

#[derive(Debug, Default, Deserialize)]
struct BotParameters {
    retry_after: Option<f64>,
    migrate_to_chat_id: Option<i64>,
}

impl Telegram {
    /// Creates a service for each chat, with its id.
    ///
    /// # Errors
    /// When the address is not allowed.
    pub(super) fn chats(
        settings: &TelegramSettings,
        token: &Secret,
        rules: AddressRules,
    ) -> Result<Vec<(String, Self)>, String> {
        let bot = Arc::new(Pacer::new(BOT.0, BOT.1));
        let address = |method: &str| -> Result<Uri, String> {
            let (base, token) = (settings.api_url.trim_end_matches('/'), token.expose());
            let wrong = "notify.telegram.api_url and the token make no address";
            format!("{base}/bot{token}/{method}").parse().map_err(|_| wrong.to_owned())
        };
        let (send, edit) = (address("sendMessage")?, address("editMessageText")?);
        let chat = |id: &String| {
            let client = ServiceClient::new("Telegram", &send, rules, token.expose())
                .map_err(|fault| format!("notify.telegram.api_url {fault}"))?;
            let number: Option<i64> = id.parse().ok();
            let mut limits = vec![bot.clone(), Arc::new(Pacer::new(CHAT.0, CHAT.1))];
            // Users have positive numbers.
            if number.is_none_or(|number| number < 0) {
                limits.push(Arc::new(Pacer::new(GROUP.0, GROUP.1)));
            }
            let chat = number.map_or_else(|| Value::from(id.as_str()), Value::from);
            Ok((id.clone(), Self { client, send: send.clone(), edit: edit.clone(), chat, limits }))
        };
        settings.chats.iter().map(chat).collect()
    }

    /// Calls a method. `Ok(None)`: the message to edit is not there any more.
    async fn call(&self, message: &NoticeMessage<'_>, earlier: Option<u64>) -> Result<Option<Receipt>, SendFault> {
        let mut body = json!({
            "chat_id": self.chat, "text": message.text, "parse_mode": "HTML", "link_preview_options": {"is_disabled": true},
        });
        if let Some(id) = earlier {
            body["message_id"] = id.into();
        }
        let address = if earlier.is_some() { &self.edit } else { &self.send };
        let answer = self.client.call(Method::POST, address, HeaderMap::new(), body.to_string()).await?;
        let said: Option<BotAnswer> = answer.json();
        if answer.status.is_success() && said.as_ref().is_none_or(|said| !said.ok) {
            let why = "Telegram answers 200 without a result".to_owned();
            return Err(SendFault::Transient { why, after: None });
        }
        let said = said.unwrap_or_default();
        if said.ok {
            let sent = said.result.as_ref().and_then(|result| result["message_id"].as_u64());
            return Ok(Some(Receipt { id: earlier.or(sent), edited: earlier.is_some(), ..Receipt::default() }));
        }
        let text = said.description.to_lowercase();
        let says = |part: &str| text.contains(part);
        if earlier.is_some() && says("message is not modified") {
            return Ok(Some(Receipt { id: earlier, edited: true, ..Receipt::default() }));
        }
        if earlier.is_some() && (says("message to edit not found") || says("message can't be edited")) {
            return Ok(None);
        }
        if let Some(new) = said.parameters.migrate_to_chat_id {
            let remedy = format!("the group is a supergroup now: put {new} in its place in notify.telegram.chats");
            return Err(self.client.refused(&said.description, remedy));
        }
        if answer.status == StatusCode::BAD_REQUEST && (says("chat not found") || says("not enough rights")) {
            return Err(self.client.refused(&said.description, CHAT_REMEDY.to_owned()));
        }
        let remedy = if answer.status == StatusCode::FORBIDDEN { CHAT_REMEDY } else { TOKEN_REMEDY };
        Err(self.client.fault(&answer, &said.description, said.parameters.retry_after.and_then(seconds), remedy))
    }
}

impl NoticeService for Telegram {
    fn edits(&self) -> bool {
        true
    }

    /// For `parse_mode` HTML.
    fn escape(&self, text: &str) -> String {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
