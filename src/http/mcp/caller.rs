//! Who calls: what the tokens of a request allow.

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderValue};

use crate::auth::{self, AuthError, TokenKind, Tokens};
use crate::http::error::ApiError;
use crate::listener::Peer;

/// The token for writing beside another one for reading.
pub(super) const INGEST_HEADER: &str = "x-ingest-token";

/// The caller of tools. Its tools are requests with its own tokens.
#[derive(Debug, Clone)]
pub(super) struct AgentCaller {
    /// Whether it may read.
    reads: bool,
    /// The `Authorization` that it came with.
    reader: Option<HeaderValue>,
    /// The `Authorization` for writing, if it may write.
    writer: Option<HeaderValue>,
    /// Its connection.
    pub(super) peer: Option<Peer>,
}

impl AgentCaller {
    /// Verifies the tokens of a request. Unlike elsewhere, a wrong token is refused also where reading needs none: an agent
    /// has a token on purpose, and would wonder where its tools are.
    ///
    /// # Errors
    /// When a token is wrong, or is missing where reading needs one.
    pub(super) fn identify(tokens: &Tokens, headers: &HeaderMap, extensions: &Extensions) -> Result<Self, ApiError> {
        let bearer = auth::bearer(headers).map_err(|error| ApiError::Token(TokenKind::User, error))?;
        let mut writer = None;
        if let Some(header) = headers.get(INGEST_HEADER) {
            let token = header.to_str().map_err(|_| AuthError::Malformed);
            let checked = token.and_then(|token| tokens.ingest(Some(token)).map(|_| format!("Bearer {token}")));
            let value = checked.map_err(|error| ApiError::Token(TokenKind::Ingest, error))?;
            writer = Some(HeaderValue::from_str(&value).map_err(|_| ApiError::Internal)?);
        } else if bearer.is_some() && tokens.ingest(bearer).is_ok() {
            writer = headers.get(AUTHORIZATION).cloned();
        }
        let is_only_writer = writer.is_some() && (bearer.is_none() || !headers.contains_key(INGEST_HEADER));
        let reads = match tokens.known_reader(bearer) {
            Err(error) if !is_only_writer => return Err(ApiError::Token(TokenKind::of_reader(error), error)),
            known => known.is_ok(),
        };
        let mut reader = headers.get(AUTHORIZATION).cloned();
        for token in [&mut reader, &mut writer].into_iter().flatten() {
            token.set_sensitive(true);
        }
        Ok(Self { reads, reader, writer, peer: extensions.get::<Peer>().copied() })
    }

    /// Whether the caller may call tools that write, or those that read.
    pub(super) fn may(&self, write: bool) -> bool {
        if write { self.writer.is_some() } else { self.reads }
    }

    /// Returns the `Authorization` for a tool.
    pub(super) fn authorization(&self, write: bool) -> Option<HeaderValue> {
        if write { self.writer.clone() } else { self.reader.clone() }
    }
}
