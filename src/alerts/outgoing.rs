//! The client for addresses that the operator gives: a new connection for each request, to an address that was checked
//! for it, without redirects.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::reach::{Reach, Resolver};
use crate::sources::net::{self, NetError};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("orion-server/", env!("CARGO_PKG_VERSION")));

/// Why an address cannot be used. The text leaves the address out, because it can hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// It does not use `https`, and the settings do not allow plain HTTP.
    #[error("must begin with https:// and name a host")]
    Scheme,
    /// The host is an address that the settings do not allow.
    #[error("leads to an address that is not public")]
    Unreachable,
}

/// Whether addresses may be other than public `https` ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressRules {
    /// Whether they may be in private networks.
    pub allow_private: bool,
    /// Whether they may be plain `http` on this machine.
    pub allow_plain_loopback: bool,
}

/// Sends requests to one address.
#[derive(Debug, Clone)]
pub struct OutgoingClient {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    limit: Duration,
}

impl OutgoingClient {
    /// Creates the client for `address`, with the time limit for a request, from connecting to the response head.
    ///
    /// # Errors
    /// [`AddressFault`] when the rules do not allow the address.
    pub fn new(address: &Uri, rules: AddressRules, limit: Duration) -> Result<Self, AddressFault> {
        let host = address.host().filter(|host| !host.is_empty()).ok_or(AddressFault::Scheme)?;
        let reach = match address.scheme_str() {
            Some("https") if rules.allow_private => Reach::Private,
            Some("https") => Reach::Public,
            Some("http") if rules.allow_plain_loopback => Reach::Loopback,
            _ => return Err(AddressFault::Scheme),
        };
        // An IP address in the URL is not resolved, so it is checked here.
        if host.trim_matches(['[', ']']).parse().is_ok_and(|ip| !reach.allows(ip)) {
            return Err(AddressFault::Unreachable);
        }
        let mut tcp = HttpConnector::new_with_resolver(Resolver(reach));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limit));
        let tls = HttpsConnectorBuilder::new().with_tls_config(Arc::unwrap_or_clone(net::tls()));
        let tls = if reach == Reach::Loopback { tls.https_or_http() } else { tls.https_only() };
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(tls.enable_http1().wrap_connector(tcp));
        Ok(Self { client, limit })
    }

    /// Sends a request. Returns once the response head has arrived.
    ///
    /// # Errors
    /// [`NetError`], whose text has no address. A status other than 200 is not an error here.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, NetError> {
        request.headers_mut().insert(USER_AGENT, AGENT);
        let answer = timeout(self.limit, self.client.request(request)).await;
        answer.map_err(|_| NetError::Silent(self.limit))?.map_err(|error| NetError::broken(&error))
    }
}
