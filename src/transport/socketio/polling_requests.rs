//! The requests of a long-polling session, and how each is counted for the session.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body::Body as _;
use tokio::task::coop::has_budget_remaining;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tower::{BoxError, Service, ServiceExt};
use tracing::debug;

use super::disconnector::Disconnector;
use super::namespace_query;
use super::polling::{AnswerSource, EnginePoll, Poll, PollAnswer, PollingSession, PollingSessions, SessionLimit};
use super::session_layer::query_value;
use crate::listener::ClientAddress;
use crate::transport::Gateway;
use crate::transport::admission::AdmissionError;
use crate::transport::command::fault;

/// Longest answer to a handshake, in bytes.
const MAX_OPEN_BYTES: u64 = 4096;
/// Separates the packets in a body of Engine.IO 4.
const SEPARATOR: u8 = 0x1e;
/// Content type of a body in the binary form of Engine.IO 3.
const BINARY: &str = "application/octet-stream";
/// How long a poll is held before it gets an empty answer during an upgrade.
const EMPTY_ANSWER_DELAY: Duration = Duration::from_millis(50);
/// How long the engine may take to send the first ping of a session.
const FIRST_PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Start of a packet that asks for a namespace.
const CONNECT: &[u8] = b"40";

/// The role of a request in the session.
#[derive(Debug)]
pub(super) enum PollingRequest {
    /// Opens the session: the handshake.
    Open(Arc<PollingSession>),
    /// Waits for packets.
    Poll(Poll),
    /// Sends packets.
    Post(Arc<PollingSession>),
}

impl PollingRequest {
    /// Classifies a request to the engine, and counts a new session. Returns `None` for requests that the engine will
    /// reject.
    ///
    /// # Errors
    /// Returns the answer to the request when no further session is allowed.
    pub(super) fn of(
        gateway: Option<&Gateway>,
        sessions: &PollingSessions,
        request: &mut Request<Body>,
    ) -> Result<Option<Self>, Box<Response>> {
        let uri = request.uri();
        if let Some(id) = query_value(uri, "sid") {
            let session = sessions.find(id);
            return Ok(session.and_then(|session| match *request.method() {
                Method::GET => Some(Self::Poll(session.poll())),
                Method::POST => Some(Self::Post(session)),
                _ => None,
            }));
        }
        let ClientAddress(address) = request.extensions().get().copied().unwrap_or_default();
        let version = if query_value(uri, "EIO") == Some("3") { 3 } else { 4 };
        let login = match gateway {
            Some(gateway) => {
                gateway.admit_session(request.headers(), uri).map_err(|refusal| Box::new(refusal.into_response()))?
            }
            None => None,
        };
        let session = sessions.open(address, version, login).map_err(|over| {
            let refusal = match over {
                SessionLimit::Sessions => AdmissionError::Sessions,
                SessionLimit::Address => AdmissionError::Address,
            };
            Box::new(match gateway {
                Some(gateway) => gateway.refused(refusal).into_response(),
                None => refusal.into_response(),
            })
        })?;
        // The engine keeps the request's extensions as long as the session.
        request.extensions_mut().insert(session.clone());
        Ok(Some(Self::Open(session)))
    }

    /// Answers the request. `max_bytes` is the largest body, in bytes.
    pub(super) async fn serve<S, R>(
        self,
        mut inner: S,
        request: Request<Body>,
        disconnector: &Disconnector,
        max_bytes: usize,
    ) -> Response
    where
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone,
        R: http_body::Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        match self {
            Self::Open(session) => {
                let Ok(response) = inner.call(request).await;
                let response = register_id(&session, response.map(Body::new)).await;
                if session.version() == 4 && !session.id().is_empty() {
                    answer_first_ping(&session, inner).await;
                }
                response
            }
            Self::Poll(poll) => {
                let mut source = poll.answer_source();
                if let AnswerSource::Nothing = source {
                    sleep(EMPTY_ANSWER_DELAY).await;
                    // Once the upgrade is complete, the engine rejects the poll.
                    source = poll.answer_source();
                }
                match source {
                    AnswerSource::Held(answer) => answer.into_response(),
                    AnswerSource::Engine(engine_poll) => {
                        let abandoned = AbandonedPoll { poll: &poll, disconnector, is_answered: false };
                        let answer = poll_engine(&poll, engine_poll, inner.call(request), max_bytes).await;
                        abandoned.answered();
                        answer
                    }
                    AnswerSource::Nothing => poll.empty_answer().into_response(),
                }
            }
            Self::Post(session) => match checked_body(&session, request, max_bytes).await {
                Ok(request) => {
                    let Ok(response) = inner.call(request).await;
                    response.map(Body::new)
                }
                Err(refusal) => *refusal,
            },
        }
    }
}

/// A poll that the engine is answering. Its session ends when the client leaves before, as in the original server: what the
/// engine had taken out of its queue for this poll would be lost.
#[derive(Debug)]
struct AbandonedPoll<'a> {
    poll: &'a Poll,
    disconnector: &'a Disconnector,
    is_answered: bool,
}

impl AbandonedPoll<'_> {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for AbandonedPoll<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            let session = self.poll.session();
            debug!("a client has left in the middle of a poll: its session ends");
            self.disconnector.close_polling(session.id(), session.version());
        }
    }
}

/// Answers the ping that the engine of Engine.IO 4 sends at once: the client's first ping comes after the interval. Only this
/// server knows the session so far, so nothing else can wait for it.
async fn answer_first_ping<S, R>(session: &Arc<PollingSession>, engine: S)
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let Some(poll) = engine_request(Method::GET, session.version(), session.id(), "") else { return };
    let Ok(Ok(polled)) = timeout(FIRST_PING_TIMEOUT, engine.clone().oneshot(poll)).await else { return };
    match PollAnswer::read(polled.map(Body::new)).await {
        Ok(answer) if answer.body == "2" => {
            if let Some(pong) = engine_request(Method::POST, session.version(), session.id(), "3") {
                engine.oneshot(pong).await.ok();
            }
        }
        Ok(answer) => session.hold(answer),
        Err(_) => {}
    }
}

/// Returns a request of this server's own to a session over long polling.
pub(super) fn engine_request(method: Method, version: u8, sid: &str, body: &'static str) -> Option<Request<Body>> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/socket.io/?EIO={version}&transport=polling&sid={sid}"))
        .header(header::CONTENT_TYPE, "text/plain;charset=UTF-8")
        .body(Body::from(body));
    request.ok()
}

/// Lets the engine answer a poll, and splits the answer if the client would reject it.
async fn poll_engine<R>(
    poll: &Poll,
    mut engine_poll: EnginePoll,
    answer: impl Future<Output = Result<Response<R>, Infallible>>,
    max_bytes: usize,
) -> Response
where
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let mut answer = std::pin::pin!(answer);
    let Ok(response) = match ready_now(answer.as_mut()).await {
        Some(response) => response,
        None => {
            engine_poll.park();
            answer.await
        }
    };
    match PollAnswer::read(response.map(Body::new)).await {
        Ok(answer) => poll.split_answer(engine_poll, answer, max_bytes).into_response(),
        Err(other) => *other,
    }
}

/// Returns the engine's answer if it is ready at once. Otherwise the poll keeps waiting, and no packet is lost.
pub(super) async fn ready_now<F: Future>(mut answer: Pin<&mut F>) -> Option<F::Output> {
    loop {
        match futures_util::poll!(&mut answer) {
            task::Poll::Ready(answer) => return Some(answer),
            task::Poll::Pending if has_budget_remaining() => return None,
            // The runtime's budget is used up: the future may be ready nevertheless.
            task::Poll::Pending => yield_now().await,
        }
    }
}

impl PollAnswer {
    /// Reads the packets in the engine's answer to a poll.
    ///
    /// # Errors
    /// Returns the response unchanged when it does not hold packets.
    pub(super) async fn read(response: Response) -> Result<Self, Box<Response>> {
        let is_whole = response.body().size_hint().exact().is_some();
        if response.status() != StatusCode::OK || !is_whole {
            return Err(Box::new(response));
        }
        let is_binary = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == BINARY);
        // The body is in memory already.
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
        Ok(Self { body, is_binary })
    }
}

impl IntoResponse for PollAnswer {
    fn into_response(self) -> Response {
        let kind = if self.is_binary { BINARY } else { "text/plain; charset=UTF-8" };
        ([(header::CONTENT_TYPE, kind)], self.body).into_response()
    }
}

/// Reads the session's id from the answer to its handshake.
async fn register_id(session: &Arc<PollingSession>, response: Response) -> Response {
    let is_short = response.body().size_hint().exact().is_some_and(|bytes| bytes <= MAX_OPEN_BYTES);
    if response.status() != StatusCode::OK || !is_short {
        return response;
    }
    let (parts, body) = response.into_parts();
    // The body is in memory already.
    let bytes = to_bytes(body, MAX_OPEN_BYTES as usize).await.unwrap_or_default();
    if let Some(id) = session_id(&bytes) {
        session.register(id);
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn session_id(packet: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(packet).ok()?.split_once("\"sid\":\"")?;
    rest.split('"').next().filter(|id| !id.is_empty())
}

/// Reads the body of a request, and rejects one that is too large or asks for too many namespaces. Namespace queries
/// are rewritten to `auth`.
async fn checked_body(
    session: &PollingSession,
    request: Request<Body>,
    max_bytes: usize,
) -> Result<Request<Body>, Box<Response>> {
    let refuse =
        |status: StatusCode, code, error: &str| Box::new((status, axum::Json(fault(code, error))).into_response());
    let too_large = || {
        let error = format!("the body must not be larger than {max_bytes} bytes");
        refuse(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", &error)
    };
    let (mut parts, body) = request.into_parts();
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    let body = match to_bytes(body, max_bytes).await {
        Ok(body) => body,
        Err(error) if is_over_limit(&error) => return Err(too_large()),
        Err(_) => return Err(refuse(StatusCode::BAD_REQUEST, "bad_request", "the body did not arrive")),
    };
    if !session.may_connect(count_connects(&body, &parts.headers)) {
        let error = "too many namespaces are asked for without a poll: poll for the answers first";
        return Err(refuse(StatusCode::TOO_MANY_REQUESTS, "rate_limited", error));
    }
    let rewritten = (session.version() == 3).then(|| namespace_query::rewritten_payload(&body)).flatten();
    let Some(payload) = rewritten else {
        return Ok(Request::from_parts(parts, Body::from(body)));
    };
    if parts.headers.contains_key(header::CONTENT_LENGTH) {
        parts.headers.insert(header::CONTENT_LENGTH, payload.len().into());
    }
    Ok(Request::from_parts(parts, Body::from(payload)))
}

fn is_over_limit(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Returns an upper bound on how many packets of a body ask for a namespace. Engine.IO 3 puts a length before each
/// packet, and its binary form has no separator between packets.
fn count_connects(body: &[u8], headers: &HeaderMap) -> usize {
    let is_binary = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == BINARY);
    if is_binary {
        return body.windows(CONNECT.len()).filter(|window| *window == CONNECT).count();
    }
    body.split(|byte| matches!(*byte, SEPARATOR | b':')).filter(|packet| packet.starts_with(CONNECT)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_from_the_handshake() {
        for (packet, id) in [
            (r#"0{"sid":"AAAAAAAAAAAAAAHs","upgrades":["websocket"]}"#, Some("AAAAAAAAAAAAAAHs")),
            (r#"96:0{"sid":"x","upgrades":[]}"#, Some("x")),
            (r#"{"code":"0","message":"Transport unknown"}"#, None),
            (r#"0{"sid":""}"#, None),
        ] {
            assert_eq!(session_id(packet.as_bytes()), id, "{packet}");
        }
    }

    #[test]
    fn every_requested_namespace_is_counted() {
        let count = |body: &str| count_connects(body.as_bytes(), &HeaderMap::new());
        assert_eq!(count("40"), 1);
        assert_eq!(count("40\u{1e}40/a,{\"token\":\"x\"}\u{1e}42[\"subscribe\"]"), 2);
        assert_eq!(count("2:405:40/a,14:42[\"subscribe\"]"), 2);
        assert_eq!(count("42[\"ping\",{\"a\":1.40}]"), 0);
        let binary = [(header::CONTENT_TYPE, "application/octet-stream".parse().unwrap())].into_iter().collect();
        assert_eq!(count_connects(b"\x00\x02\xff40\x00\x04\xff40/a", &binary), 2);
    }
}
