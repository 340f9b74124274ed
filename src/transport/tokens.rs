//! Token handling around every request: fetches the published key that a token needs, finds what a delayed reader reads,
//! and counts wrong tokens, including those in frames.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Request, Uri};
use tower::{Layer, Service};

use super::Gateway;
use super::admission::AdmissionError;
use super::command::fault;
use super::delayed::DelayedView;
use super::messages::ErrorObject;
use crate::auth::{AuthError, TokenKind, Tokens, TooManyWrongTokens, WrongToken, bearer, handshake_token};
use crate::domain::Delay;
use crate::listener::Peer;
use crate::telemetry::Metrics;

/// The header for an admin token, besides `Authorization`.
const ADMIN_HEADER: &str = "x-admin-token";

/// Counts a wrong token.
fn count(
    tokens: &Tokens,
    metrics: &Metrics,
    kind: TokenKind,
    address: Option<IpAddr>,
) -> Result<(), TooManyWrongTokens> {
    let counted = address.map_or(Ok(()), |address| tokens.count_wrong_token(address));
    let outcome = if counted.is_ok() { "refused" } else { "throttled" };
    metrics.wrong_tokens_total.with_label_values(&[kind.name(), outcome]).inc();
    counted
}

/// Counts the wrong token that a response rejects, if any. When the address has presented too many wrong tokens, the
/// response becomes 429.
pub fn throttle(tokens: &Tokens, metrics: &Metrics, address: Option<IpAddr>, mut response: Response) -> Response {
    let Some(WrongToken(kind)) = response.extensions_mut().remove() else { return response };
    match count(tokens, metrics, kind, address) {
        Ok(()) => response,
        Err(refused) => AdmissionError::from(refused).into_response(),
    }
}

impl Gateway {
    /// Returns the error for a token in a frame that was rejected.
    pub(crate) fn token_fault(&self, kind: TokenKind, error: AuthError, address: Option<IpAddr>) -> ErrorObject {
        match self.count_refusal(AdmissionError::Token(kind, error), address) {
            AdmissionError::WrongTokens(refused) => fault(TooManyWrongTokens::CODE, refused.to_string()),
            _ => fault(error.code().name(), error.to_string()),
        }
    }

    /// Counts a wrong token that was rejected outside an HTTP response. Returns the refusal to use.
    pub(crate) fn count_refusal(&self, refusal: AdmissionError, address: Option<IpAddr>) -> AdmissionError {
        match refusal {
            AdmissionError::Token(kind, error) if error.is_wrong_token() => {
                count(&self.tokens, &self.metrics, kind, address).map_or_else(AdmissionError::from, |()| refusal)
            }
            other => other,
        }
    }
}

impl Gateway {
    /// Returns what somebody with these tokens reads, if that is late. Of several tokens the latest reader's counts.
    async fn view_of(self: &Arc<Self>, tokens: &[String]) -> Result<Option<Arc<DelayedView>>, AdmissionError> {
        let delays = tokens.iter().map(|token| self.tokens.delay_of(Some(token)));
        let delay = delays.max().unwrap_or_else(|| self.tokens.delay_of(None));
        self.view(delay).await
    }

    /// Returns what readers with a delay read; `None` without a delay.
    pub(super) async fn view(self: &Arc<Self>, delay: Delay) -> Result<Option<Arc<DelayedView>>, AdmissionError> {
        if delay.is_none() {
            return Ok(None);
        }
        self.delays.view(self, delay).await.map_err(|error| self.refused(error.into()))
    }
}

/// Puts a `TokenService` around a service.
#[derive(Debug, Clone)]
pub struct TokenLayer {
    gateway: Arc<Gateway>,
    headers: Arc<[&'static str]>,
}

impl TokenLayer {
    /// Creates the layer. Pages also send tokens in `headers`.
    pub fn new(gateway: Arc<Gateway>, headers: &[&'static str]) -> Self {
        Self { gateway, headers: headers.iter().copied().chain([ADMIN_HEADER]).collect() }
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = TokenService<S>;

    fn layer(&self, inner: S) -> TokenService<S> {
        TokenService { inner, gateway: self.gateway.clone(), headers: self.headers.clone() }
    }
}

/// The service that [`TokenLayer`] creates.
#[derive(Debug, Clone)]
pub struct TokenService<S> {
    inner: S,
    gateway: Arc<Gateway>,
    headers: Arc<[&'static str]>,
}

impl<S, B> Service<Request<B>> for TokenService<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let address = request.extensions().get::<Peer>().map(|peer| peer.client);
        let gateway = self.gateway.clone();
        let presented = if gateway.tokens.may_delay() {
            presented(&self.headers, request.headers(), request.uri())
        } else {
            Vec::new()
        };
        // Only the original service reported readiness, so the clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            for token in &presented {
                gateway.tokens.fetch_key_of(token).await;
            }
            match gateway.view_of(&presented).await {
                Ok(Some(view)) => drop(request.extensions_mut().insert(view)),
                Ok(None) => {}
                Err(refusal) => return Ok(refusal.into_response()),
            }
            let response = inner.call(request).await?;
            Ok(throttle(&gateway.tokens, &gateway.metrics, address, response))
        })
    }
}

/// Returns every token of a request, wherever it may stand. The query is searched undecoded, because one page
/// begins it with an ampersand; a user token contains no encoded characters.
fn presented(own: &[&str], headers: &HeaderMap, uri: &Uri) -> Vec<String> {
    let own = own.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    let whole = uri.path_and_query().map_or("", |path| path.as_str());
    let queries = whole.split(['?', '&']).skip(1).filter_map(|pair| pair.strip_prefix("token="));
    let texts = bearer(headers).ok().flatten().into_iter().chain(own).chain(queries).map(str::to_owned);
    // Decoded as well, which is what a handshake reads.
    texts.chain(handshake_token(headers, uri).ok().flatten()).filter(|token| !token.is_empty()).collect()
}
