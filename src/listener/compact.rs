//! Frees the read buffer behind a request head that outlives its request.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use tower::{Layer, Service};

/// Copies the head of a long-lived request into storage of its own size.
///
/// Header values and the URI are slices of hyper's read buffer. socketioxide keeps the head that opened a session for as
/// long as the session lives, and with it at least 8 KB of buffer; the copy is about 2 KB. Heads of other requests are
/// not copied. (axum's `OriginalUri` would hold the buffer as well; its feature is off.)
#[derive(Debug, Clone, Copy, Default)]
pub struct CompactHead;

impl<S> Layer<S> for CompactHead {
    type Service = CompactHeadService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CompactHeadService { inner }
    }
}

/// The service of [`CompactHead`].
#[derive(Debug, Clone)]
pub struct CompactHeadService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for CompactHeadService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if is_kept(&request) {
            compact(&mut request);
        }
        self.inner.call(request)
    }
}

/// Whether the head outlives its request: upgrades, and the first poll of a Socket.IO session, which keeps the head.
fn is_kept<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(header::UPGRADE)
        || request.uri().query().is_some_and(|query| {
            let has = |key| query.split('&').any(|pair| pair.starts_with(key));
            has("EIO=") && !has("sid=")
        })
}

fn compact<B>(request: &mut Request<B>) {
    *request.headers_mut() = compact_headers(request.headers());
    if let Ok(uri) = Uri::from_maybe_shared(Bytes::from(request.uri().to_string())) {
        *request.uri_mut() = uri;
    }
}

/// Copies the headers with one allocation for all values.
fn compact_headers(headers: &HeaderMap) -> HeaderMap {
    let mut storage = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    let mut copy = HeaderMap::with_capacity(headers.len());
    for value in headers.values() {
        storage.extend_from_slice(value.as_bytes());
    }
    let mut storage = storage.freeze();
    for (name, value) in headers {
        let bytes = storage.split_to(value.len());
        // Never fails: these bytes were a valid header value.
        if let Ok(mut fresh) = HeaderValue::from_maybe_shared(bytes) {
            fresh.set_sensitive(value.is_sensitive());
            copy.append(name, fresh);
        }
    }
    // A map allocates more than its requested capacity; its clone does not.
    copy.clone()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::ops::Range;

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    /// A request whose values and URI are slices of one buffer, as hyper makes them, and where that buffer lies.
    fn request(uri: &'static str, upgrade: bool) -> (Request<()>, Range<usize>) {
        let mut buffer = BytesMut::with_capacity(8192);
        buffer.extend_from_slice(uri.as_bytes());
        buffer.extend_from_slice(b"websocketsecret\xffone");
        let buffer = buffer.freeze();
        let value = |range: Range<usize>| {
            HeaderValue::from_maybe_shared(buffer.slice(uri.len() + range.start..uri.len() + range.end)).unwrap()
        };
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_maybe_shared(buffer.slice(..uri.len())).unwrap();
        if upgrade {
            request.headers_mut().insert(header::UPGRADE, value(0..9));
        }
        let mut secret = value(9..16);
        secret.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, secret);
        request.headers_mut().append("x-many", value(16..19));
        request.headers_mut().append("x-many", HeaderValue::from_static(""));
        request.extensions_mut().insert(7_u8);
        let start = buffer.as_ptr().addr();
        (request, start..start + buffer.len())
    }

    async fn through_layer(request: Request<()>) -> Request<()> {
        let service = CompactHead.layer(service_fn(async |request: Request<()>| Ok::<_, Infallible>(request)));
        service.oneshot(request).await.unwrap()
    }

    fn touches(request: &Request<()>, buffer: &Range<usize>) -> bool {
        request.headers().values().any(|value| buffer.contains(&value.as_bytes().as_ptr().addr()))
            || buffer.contains(&request.uri().path().as_ptr().addr())
    }

    #[tokio::test]
    async fn a_long_lived_head_is_copied_unchanged() {
        for (uri, upgrade) in [
            ("/ws/signals/?token=%41", true),
            ("/socket.io/?EIO=4&transport=polling&t=x", false),
            ("http://host:80/a?EIO=4&transport=websocket&sid=1", true),
        ] {
            let (before, buffer) = request(uri, upgrade);
            assert!(touches(&before, &buffer));
            let after = through_layer(before.clone()).await;
            assert!(!touches(&after, &buffer), "{uri}");
            assert_eq!(after.headers(), before.headers());
            assert_eq!(after.uri(), before.uri());
            assert_eq!(after.uri().to_string(), uri);
            assert!(after.headers()[header::AUTHORIZATION].is_sensitive());
            assert_eq!(after.extensions().get(), Some(&7_u8));
        }
    }

    #[tokio::test]
    async fn other_heads_are_not_copied() {
        for uri in ["/api/prices", "/socket.io/?EIO=4&transport=polling&sid=abc"] {
            let (before, buffer) = request(uri, false);
            assert!(touches(&through_layer(before).await, &buffer), "{uri}");
        }
    }
}
