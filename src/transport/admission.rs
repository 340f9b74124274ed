//! Admission: decides who may open a connection, before the handshake is answered, and again for Socket.IO's `auth`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Uri};

use super::Gateway;
use super::channels::ChannelSlot;
use super::command::fault;
use super::delayed::DelayUnavailable;
use crate::auth::{
    AuthError, Holder, Principal, TokenKind, TooManyLogins, TooManyWrongTokens, UserSession, WrongToken,
    handshake_token, origin_allowed,
};
use crate::domain::ErrorCode;

/// Why a connection was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdmissionError {
    /// The process is stopping.
    #[error("the server is stopping; connect again")]
    Draining,
    /// The page's origin is not allowed.
    #[error("this origin may not connect; see ORION_ALLOWED_ORIGINS")]
    Origin,
    /// A token of this kind is missing or wrong.
    #[error("{1}")]
    Token(TokenKind, AuthError),
    /// The address has presented too many wrong tokens.
    #[error(transparent)]
    WrongTokens(#[from] TooManyWrongTokens),
    /// The user has too many connections.
    #[error(transparent)]
    Connections(#[from] TooManyLogins),
    /// What its reader may read cannot be provided.
    #[error(transparent)]
    Delay(#[from] DelayUnavailable),
    /// The connection has clients with another delay.
    #[error("this connection is read with another delay on another namespace: open a connection for each token")]
    OtherDelay,
    /// The path or namespace is full.
    #[error("this channel has too many connections; connect again later")]
    Channel,
    /// The most replays that may run at a time are running.
    #[error("no more than {0} replays run at a time (limits.replays); end one, or try again later")]
    Replays(usize),
    /// There are too many long-polling sessions.
    #[error("too many long-polling sessions, try later")]
    Sessions,
    /// The client's address has too many connections.
    #[error("too many connections from this address")]
    Address,
}

impl AdmissionError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Draining => ErrorCode::Draining,
            Self::Origin => ErrorCode::OriginNotAllowed,
            Self::Token(_, error) => error.code(),
            Self::WrongTokens(_) => ErrorCode::TooManyWrongTokens,
            Self::Delay(DelayUnavailable::TooMany) => ErrorCode::TooManyDelays,
            Self::Delay(DelayUnavailable::Unreadable) => ErrorCode::Unavailable,
            Self::OtherDelay => ErrorCode::DelayedToken,
            Self::Channel | Self::Replays(_) => ErrorCode::ChannelFull,
            Self::Sessions => ErrorCode::Overloaded,
            Self::Connections(_) | Self::Address => ErrorCode::TooManyConnections,
        }
    }
}

impl IntoResponse for AdmissionError {
    fn into_response(self) -> Response {
        let retry_after = match self {
            Self::Sessions => Some("5"),
            Self::Delay(_)
            | Self::Channel
            | Self::Replays(_)
            | Self::Connections(_)
            | Self::Address
            | Self::Token(_, AuthError::NoKeysYet) => Some("30"),
            // The errors of wrong tokens set the header below.
            Self::WrongTokens(_) | Self::Draining | Self::Origin | Self::OtherDelay | Self::Token(..) => None,
        };
        let mut response =
            (self.code().http_status(), Json(fault(self.code().name(), self.to_string()))).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        match self {
            Self::WrongTokens(refused) => {
                response.headers_mut().insert(RETRY_AFTER, refused.seconds().into());
            }
            Self::Token(kind, error) if error.is_wrong_token() => {
                response.extensions_mut().insert(WrongToken(kind));
            }
            _ => {}
        }
        response
    }
}

impl Gateway {
    /// Checks whether a connection may be opened from its origin. `is_new` is false for further requests of a session.
    pub(crate) fn admit_connection(&self, headers: &HeaderMap, is_new: bool) -> Result<(), AdmissionError> {
        let refusal = if is_new && self.draining.is_cancelled() {
            AdmissionError::Draining
        } else if !origin_allowed(&self.origins, headers) {
            AdmissionError::Origin
        } else {
            return Ok(());
        };
        Err(self.refused(refusal))
    }

    /// Checks the handshake's token, if it has one. A token in Socket.IO's `auth` is checked later.
    pub(crate) fn admit_token(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), AdmissionError> {
        match handshake_token(headers, uri) {
            Ok(None) => Ok(()),
            Ok(Some(token)) => self.tokens.reader(Some(&token)).map(drop).map_err(|error| self.reader_refused(error)),
            Err(error) => Err(self.reader_refused(error)),
        }
    }

    /// Returns the user of a long-polling session by the handshake's token, if it has one. The session counts for that
    /// user at once.
    pub(crate) fn admit_session(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<UserSession>, AdmissionError> {
        self.admit_visitor(headers, uri)
    }

    /// Checks whether a client may read, by the handshake's token or by `auth`. Returns the session of a user token:
    /// the connection holds it, and ends with it.
    pub(crate) fn admit_reader(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        auth: Option<&str>,
    ) -> Result<Option<UserSession>, AdmissionError> {
        let token = match auth {
            Some(token) => Some(token.to_owned()),
            None => handshake_token(headers, uri).map_err(|error| self.reader_refused(error))?,
        };
        let identity = self.tokens.reader(token.as_deref()).map_err(|error| self.reader_refused(error))?;
        identity.map(|identity| self.log_in(identity)).transpose()
    }

    /// Returns the user of a handshake's token. A client may come without a token and identify its user in a frame.
    pub(crate) fn admit_visitor(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<UserSession>, AdmissionError> {
        let token = handshake_token(headers, uri);
        let identity = token.and_then(|token| self.tokens.visitor(token.as_deref()));
        let identity = identity.map_err(|error| self.reader_refused(error))?;
        identity.map(|identity| self.log_in(identity)).transpose()
    }

    /// Whether a client may read by its handshake alone.
    pub(crate) fn may_read(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        handshake_token(headers, uri).is_ok_and(|token| self.tokens.reader(token.as_deref()).is_ok())
    }

    /// Returns the user whose streams a client may read, by the handshake's token.
    pub(crate) fn admit_user(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<(UserSession, Principal), AdmissionError> {
        let token = handshake_token(headers, uri);
        let identity = token.and_then(|token| self.tokens.user(token.as_deref()));
        let identity = identity.map_err(|error| self.refused(AdmissionError::Token(TokenKind::User, error)))?;
        self.log_in(identity.clone()).map(|login| (login, identity))
    }

    /// Takes a place in a channel: `name` is the path or namespace.
    pub(crate) fn enter(&self, transport: &'static str, name: &'static str) -> Result<ChannelSlot, AdmissionError> {
        self.channels.enter(transport, name).ok_or_else(|| self.refused(AdmissionError::Channel))
    }

    /// Takes a place for a replay.
    pub(crate) fn enter_replay(&self, name: &'static str) -> Result<ChannelSlot, AdmissionError> {
        let most = self.limits.get().replays;
        let slot = self.channels.enter_at_most("sse", name, most);
        slot.ok_or_else(|| self.refused(AdmissionError::Replays(most)))
    }

    /// Registers a connection with a user token or a stored one. The number of connections per user is limited.
    pub(crate) fn log_in(&self, holder: impl Into<Holder>) -> Result<UserSession, AdmissionError> {
        let login = self.tokens.login(holder).map_err(|error| self.refused(error.into()))?;
        self.metrics.logins_total.with_label_values(&["accepted"]).inc();
        Ok(login)
    }

    /// Checks whether the handshake's token may write. Returns the session of a stored one.
    pub(crate) fn admit_writer(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<UserSession>, AdmissionError> {
        let token = handshake_token(headers, uri).ok().flatten();
        let holder = self.tokens.ingest(token.as_deref());
        let holder = holder.map_err(|error| AdmissionError::Token(TokenKind::Ingest, error))?;
        holder.map(|holder| self.log_in(holder)).transpose()
    }

    fn reader_refused(&self, error: AuthError) -> AdmissionError {
        self.refused(AdmissionError::Token(TokenKind::of_reader(error), error))
    }

    pub(crate) fn refused(&self, refusal: AdmissionError) -> AdmissionError {
        // Rejected tokens are counted by the login metrics.
        self.metrics.refuse(if matches!(refusal, AdmissionError::Token(..)) {
            "unauthorized"
        } else {
            refusal.code().name()
        });
        if let AdmissionError::Token(_, error) = &refusal {
            self.metrics.logins_total.with_label_values(&[error.name()]).inc();
        }
        refusal
    }
}
