//! What a channel is to its lane: a service that takes one message at a time, and says what came of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::pace::Pacer;
use super::text::SignalNotice;
use crate::alerts::{AddressRules, OutgoingClient};
use crate::sources::net;

/// Time limit for a request, from connecting to the response head, and again for the body.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest pause that a service may ask for.
const MAX_PAUSE: Duration = Duration::from_hours(1);

/// A message, ready to be sent.
#[derive(Debug)]
pub(super) struct NoticeMessage<'a> {
    /// The same for every attempt, also after a restart.
    pub(super) key: Uuid,
    /// What it tells.
    pub(super) notice: &'a SignalNotice,
    /// One line of plain text.
    pub(super) title: String,
    /// The text, escaped for the service.
    pub(super) text: String,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Receipt {
    /// The service's number of the message, by which it can be edited.
    pub(super) id: Option<u64>,
    /// Whether an earlier message was edited.
    pub(super) edited: bool,
    /// The service asks for a pause before the next message.
    pub(super) pause: Duration,
}

/// Why a message was not taken. No text contains a token or an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendFault {
    /// A later attempt may work, after the pause that the service asks for.
    #[error("{why}")]
    Transient {
        /// What happened.
        why: String,
        /// How long to wait, if the service says so.
        after: Option<Duration>,
    },
    /// The service refuses the channel as it is set up, until the operator does something.
    #[error("{why}: {remedy}")]
    Refused {
        /// What the service says.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// The service will never take this very message.
    #[error("{0}")]
    Unusable(String),
}

/// A service, and where in it the messages go.
pub(super) trait NoticeService: std::fmt::Debug + Send + Sync {
    /// Whether its messages can be edited.
    fn edits(&self) -> bool {
        false
    }

    /// Returns plain text as the service prints it.
    fn escape(&self, text: &str) -> String;

    /// Returns the limits that each message counts in.
    fn limits(&self) -> &[Arc<Pacer>];

    /// Sends a new message.
    fn send<'a>(&'a self, message: &'a NoticeMessage<'a>) -> BoxFuture<'a, Result<Receipt, SendFault>>;

    /// Edits the message `earlier`; `None` when it is not there any more, or its service edits none.
    fn edit<'a>(
        &'a self,
        _message: &'a NoticeMessage<'a>,
        _earlier: u64,
    ) -> BoxFuture<'a, Result<Option<Receipt>, SendFault>> {
        future::ready(Ok(None)).boxed()
    }

    /// Edits the message `earlier`. Where there is none, or a person has deleted it, a new one takes its place.
    fn deliver<'a>(
        &'a self,
        message: &'a NoticeMessage<'a>,
        earlier: Option<u64>,
    ) -> BoxFuture<'a, Result<Receipt, SendFault>> {
        async move {
            if let Some(earlier) = earlier
                && let Some(receipt) = self.edit(message, earlier).await?
            {
                return Ok(receipt);
            }
            self.send(message).await
        }
        .boxed()
    }
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Decodes the body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Returns the body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the pause of `Retry-After` in seconds, if there is one.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        seconds(self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?)
    }
}

/// Returns a pause that a service asks for; not longer than an hour.
pub(super) fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().map(|pause| pause.min(MAX_PAUSE))
}

/// The HTTP client of a service. It never shows its secrets.
pub(super) struct ServiceClient {
    client: OutgoingClient,
    /// What the service might repeat in its answers.
    secret: String,
    name: &'static str,
}

impl std::fmt::Debug for ServiceClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceClient").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ServiceClient {
    /// Creates the client of a service at `address`.
    ///
    /// # Errors
    /// When the rules do not allow the address.
    pub(super) fn new(
        name: &'static str,
        address: &Uri,
        rules: AddressRules,
        secret: &str,
    ) -> Result<Self, crate::alerts::AddressFault> {
        Ok(Self { client: OutgoingClient::new(address, rules, SEND_TIMEOUT)?, secret: secret.to_owned(), name })
    }

    /// Sends JSON and reads the answer.
    ///
    /// # Errors
    /// [`SendFault::Transient`] when there is no complete answer. The service may have taken the message all the same.
    pub(super) async fn call(
        &self,
        method: Method,
        address: &Uri,
        headers: HeaderMap,
        body: String,
    ) -> Result<Answer, SendFault> {
        let transient = |why: String| SendFault::Transient { why: format!("{}: {why}", self.name), after: None };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = address.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self.client.send(request).await.map_err(|error| transient(error.to_string()))?;
        let (head, body) = answer.into_parts();
        let body = tokio::time::timeout(SEND_TIMEOUT, Limited::new(body, MAX_ANSWER).collect()).await;
        let broken = || transient("the answer did not arrive".to_owned());
        let body = body.map_err(|_| broken())?.map_err(|_| broken())?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Returns the fault of an answer that is no success. `said` is the service's text; `remedy` is for what only the
    /// operator can put right.
    pub(super) fn fault(&self, answer: &Answer, said: &str, after: Option<Duration>, remedy: &str) -> SendFault {
        let said = net::words(said, &self.secret);
        let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
        let why = format!("{} answers {}{said}", self.name, answer.status);
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
                SendFault::Refused { why, remedy: remedy.to_owned() }
            }
            StatusCode::TOO_MANY_REQUESTS => SendFault::Transient { why, after: after.or(answer.retry_after()) },
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => SendFault::Transient { why, after: None },
            status if status.is_client_error() => SendFault::Unusable(why),
            status if status.is_redirection() => SendFault::Refused {
                why,
                remedy: "no redirect is followed: set the address that it leads to".to_owned(),
            },
            _ => SendFault::Transient { why, after: answer.retry_after() },
        }
    }

    /// Returns the fault that a text of the service needs the operator.
    pub(super) fn refused(&self, said: &str, remedy: String) -> SendFault {
        SendFault::Refused { why: format!("{} answers: {}", self.name, net::words(said, &self.secret)), remedy }
    }
}

/// Returns the header of a bearer token.
pub(super) fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {token}")).map(|mut value| {
        value.set_sensitive(true);
        value
    });
    value.ok().map(|value| (AUTHORIZATION, value)).into_iter().collect()
}

/// Returns headers of texts that are valid.
pub(super) fn headers(list: impl IntoIterator<Item = (&'static str, String)>) -> HeaderMap {
    let header = |(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?));
    list.into_iter().filter_map(header).collect()
}

/// The error of services that answer `{"message": …}`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorText {
    #[serde(default)]
    pub(super) message: String,
}
