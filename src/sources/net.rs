//! Network access of the sources: TLS with the system's root certificates, and HTTP GET requests.
//!
//! No error text of this file contains an address, because a key can be part of one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{ACCEPT, HeaderMap, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::SourceError;

/// Time limit for connecting, and again for the response head.
const NET_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a "too many requests" answer without `Retry-After`.
pub(super) const LIMIT_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause, whatever the provider asks for.
const MAX_PAUSE: Duration = Duration::from_hours(1);
/// Longest quote of a provider's text, in characters.
const MAX_WORDS: usize = 200;

const AGENT: &str = concat!("orion-server/", env!("CARGO_PKG_VERSION"));

/// The provider could not be reached, or did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The connection failed.
    #[error("{0}")]
    Broken(String),
    /// The time limit passed.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

impl NetError {
    /// Formats an error with its causes, in one line.
    pub fn broken(error: &dyn std::error::Error) -> Self {
        let (mut text, mut cause) = (error.to_string(), error.source());
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = error.source();
        }
        Self::Broken(text)
    }
}

/// Returns a TLS 1.2 and 1.3 configuration with the system's root certificates; `SSL_CERT_FILE` replaces them.
pub fn tls() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    };
    CONFIG.get_or_init(|| config().unwrap_or_else(|error| unreachable!("ring speaks both versions: {error}"))).clone()
}

/// Returns the number of root certificates on this system. Without any, no provider can be trusted.
pub fn root_certificates() -> usize {
    rustls_native_certs::load_native_certs().certs.len()
}

/// A client for GET requests over HTTP/1.1, with TLS for `https` addresses. It does not follow redirects, so a key goes
/// to no other host.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    limit: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self::new(NET_TIMEOUT)
    }
}

impl Http {
    /// Creates a client with this time limit for connecting, and again for the response head.
    pub fn new(limit: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limit));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(Arc::unwrap_or_clone(tls()))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector), limit }
    }

    /// Requests `address` on a new connection. Returns once the response head has arrived.
    ///
    /// # Errors
    /// [`NetError`]. A status other than 200 is not an error here.
    pub async fn get(&self, address: &Uri, headers: HeaderMap) -> Result<Response<Incoming>, NetError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = address.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let limit = 2 * self.limit;
        let answer = timeout(limit, self.client.request(request));
        answer.await.map_err(|_| NetError::Silent(limit))?.map_err(|error| NetError::broken(&error))
    }

    /// Requests a document of at most `most` bytes.
    ///
    /// # Errors
    /// [`NetError`], also for a status other than 200: redirects are not followed.
    pub async fn document(&self, address: &Uri, most: usize) -> Result<Bytes, NetError> {
        let accept = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let answer = self.get(address, accept).await?;
        match answer.status() {
            StatusCode::OK => self.read(answer.into_body(), most).await,
            status if status.is_redirection() => Err(NetError::Broken(format!(
                "the answer is {status}, and no redirect is followed: set the address that it leads to"
            ))),
            status => Err(NetError::Broken(format!("the answer is {status}"))),
        }
    }

    /// Reads a response body of at most `most` bytes.
    ///
    /// # Errors
    /// [`NetError`], also when the body is longer.
    pub async fn read(&self, body: Incoming, most: usize) -> Result<Bytes, NetError> {
        let collected = timeout(self.limit, Limited::new(body, most).collect());
        let collected = collected.await.map_err(|_| NetError::Silent(self.limit))?;
        collected.map(http_body_util::Collected::to_bytes).map_err(|error| NetError::broken(error.as_ref()))
    }
}

/// Returns the error for an unexpected status. A mistake of the operator is not retried, "too many requests" names the
/// pause that the provider asks for, and anything else is transient. `words` is the provider's text, see [`words`].
pub(super) fn classify_status(
    status: StatusCode,
    headers: &HeaderMap,
    now: DateTime<Utc>,
    advice: &str,
    words: &str,
) -> SourceError {
    let said = if words.is_empty() { String::new() } else { format!(" ({words})") };
    match status {
        StatusCode::BAD_REQUEST
        | StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
            SourceError::refused(format!("the provider answers {status}{said}: {advice}"))
        }
        StatusCode::TOO_MANY_REQUESTS => {
            SourceError::limited(format!("the provider answers {status}{said}"), pause(headers, now))
        }
        _ => SourceError::transient(format!("the provider answers {status}{said}")),
    }
}

/// Parses `Retry-After`: seconds, or a date.
fn pause(headers: &HeaderMap, now: DateTime<Utc>) -> Duration {
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| {
        let until = || DateTime::parse_from_rfc2822(text.trim()).ok().map(|at| (at.to_utc() - now).to_std());
        text.trim().parse().map(Duration::from_secs).ok().or_else(|| until().map(Result::unwrap_or_default))
    });
    asked.unwrap_or(LIMIT_PAUSE).min(MAX_PAUSE)
}

/// Returns a provider's text for a log line: shortened, on one line, and without `secret`, which some providers repeat.
pub fn words(text: &str, secret: &str) -> String {
    let text = if secret.is_empty() { text.to_owned() } else { text.replace(secret, "***") };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    #[test]
    fn retry_after_is_parsed_and_bounded() {
        let now = parse_time("2026-01-15T07:00:00Z").unwrap();
        for (value, seconds) in [
            ("7", 7),
            (" 0 ", 0),
            ("Thu, 15 Jan 2026 07:01:30 GMT", 90),
            ("Thu, 15 Jan 2026 06:00:00 GMT", 0),
            ("86400", 3600),
            ("soon", 30),
            ("-1", 30),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(pause(&headers, now), Duration::from_secs(seconds), "{value}");
        }
        assert_eq!(pause(&HeaderMap::new(), now), LIMIT_PAUSE);
    }

    #[test]
    fn a_status_decides_whether_to_ask_again() {
        let now = parse_time("2026-01-15T07:00:00Z").unwrap();
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let classified = |status| classify_status(status, &headers, now, "check the key", "no");
        let error = classified(StatusCode::FORBIDDEN);
        assert!(matches!(error, SourceError::Refused(_)));
        assert_eq!(error.to_string(), "the provider answers 403 Forbidden (no): check the key");
        let error = classified(StatusCode::TOO_MANY_REQUESTS);
        assert!(matches!(error, SourceError::Limited { pause, .. } if pause == Duration::from_secs(7)));
        assert!(matches!(classified(StatusCode::BAD_GATEWAY), SourceError::Transient(_)));
    }

    #[test]
    fn a_providers_text_is_shortened_without_the_key() {
        let text = format!("your key KEY-1 is\nspent \u{1b}[2J{}", "x".repeat(1000));
        let words = words(&text, "KEY-1");
        assert!(words.starts_with("your key *** is spent  [2Jxxx") && words.chars().count() == MAX_WORDS, "{words}");
    }

    #[test]
    fn an_errors_causes_appear_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("no connection")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("refused"));
        assert_eq!(NetError::broken(&error).to_string(), "no connection: refused");
    }
}
