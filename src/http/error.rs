//! The only place where errors become HTTP responses: `{"error","code","details"?}` with the matching status.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::auth::{AuthError, TokenKind, TooFast, UserAccessError, WrongToken};
use crate::domain::{ErrorCode, Fault, PROTOCOL};
use crate::ingest::{ErrorBody, MalformedBody, PushError};
use crate::notify::LineError;
use crate::store::StoreError;
use crate::telemetry::LogLimit;

/// Limits the log line for an unreadable disk: every client retries meanwhile.
static UNREADABLE_LOG: LogLimit = LogLimit::new();

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A push was rejected.
    #[error(transparent)]
    Push(#[from] PushError),
    /// A token is missing or invalid.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A token of this kind was rejected.
    #[error("{1}")]
    Token(TokenKind, AuthError),
    /// Too many pushes with one token.
    #[error(transparent)]
    TooFast(#[from] TooFast),
    /// The request is not allowed for this page or this user.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The body is not valid JSON.
    #[error("The body is not valid JSON: {0}")]
    InvalidJson(#[from] serde_json::Error),
    /// The body is not valid JSON, and the text says what to send instead.
    #[error("The body is not valid JSON: {}", .0.remedy)]
    MalformedJson(MalformedBody),
    /// The path or the query is invalid.
    #[error("{0}")]
    BadRequest(String),
    /// The query asks for a version of the interface that this server does not speak.
    #[error(
        "This server speaks version {PROTOCOL} of its interface, not '{0}': leave protocol out, or use a server that has it"
    )]
    UnsupportedProtocol(String),
    /// The content type is not a JSON type.
    #[error("The body must be JSON: Content-Type: application/json")]
    UnsupportedMediaType,
    /// The body is too large.
    #[error("The body must not be larger than {0} bytes")]
    PayloadTooLarge(usize),
    /// The body did not arrive in time, or the connection broke.
    #[error("The body did not arrive")]
    RequestTimeout,
    /// The route does not exist.
    #[error("There is nothing here")]
    NotFound,
    /// The interface for agents is off.
    #[error("The interface for agents is off; the operator of this server sets ORION_MCP=1")]
    McpOff,
    /// The signal does not exist.
    #[error("No signal has this id")]
    SignalNotFound,
    /// No stored token has the name.
    #[error("No stored token has this name; those of the settings are changed there")]
    TokenNotFound,
    /// The route does not support this method.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// The log cannot be read. The cause is only logged, because it can name files.
    #[error("The history cannot be read now; please try again later")]
    Unreadable(#[from] StoreError),
    /// Too many requests of this kind are in progress, and this one waited for the longest permitted time.
    #[error("The server has too many requests of this kind to do; please try again in a second")]
    Overloaded,
    /// The settings cannot be reloaded.
    #[error("The settings cannot be used, and none was changed: {0}")]
    Settings(String),
    /// A message to LINE was not sent.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A bug in the server.
    #[error("Something went wrong here")]
    Internal,
}

impl ApiError {
    const fn code(&self) -> ErrorCode {
        match self {
            Self::Push(error) => error.code(),
            Self::Auth(error) | Self::Token(_, error) => error.code(),
            Self::TooFast(_) => ErrorCode::RateLimited,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::InvalidJson(_) | Self::MalformedJson(_) => ErrorCode::InvalidJson,
            Self::BadRequest(_) => ErrorCode::BadRequest,
            Self::UnsupportedProtocol(_) => ErrorCode::UnsupportedProtocol,
            Self::UnsupportedMediaType => ErrorCode::UnsupportedMediaType,
            Self::PayloadTooLarge(_) => ErrorCode::PayloadTooLarge,
            Self::RequestTimeout => ErrorCode::RequestTimeout,
            Self::NotFound | Self::McpOff | Self::TokenNotFound => ErrorCode::NotFound,
            Self::SignalNotFound => ErrorCode::SignalNotFound,
            Self::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            Self::Unreadable(_) => ErrorCode::Unavailable,
            Self::Overloaded => ErrorCode::Overloaded,
            Self::Settings(_) => ErrorCode::InvalidSettings,
            Self::Line(LineError::NotConfigured) => ErrorCode::NotConfigured,
            Self::Line(LineError::Failed(_)) => ErrorCode::NotDelivered,
            Self::Internal => ErrorCode::Internal,
        }
    }

    /// Returns the status of the response.
    pub(super) fn status(&self) -> StatusCode {
        self.code().http_status()
    }

    /// Returns the error of invalid parameters.
    pub(crate) fn of_faults(faults: Vec<Fault>) -> Self {
        PushError::of_faults(faults).map_or(Self::Internal, Self::Push)
    }

    /// Returns the body of the response.
    pub(crate) fn body(&self) -> ErrorBody {
        let details = match self {
            Self::Push(error) => return error.body(),
            Self::MalformedJson(malformed) => malformed.details.clone(),
            _ => None,
        };
        ErrorBody { error: self.to_string(), code: self.code(), details }
    }
}

impl From<UserAccessError> for ApiError {
    fn from(stranger: UserAccessError) -> Self {
        match stranger {
            UserAccessError::Nobody | UserAccessError::Unproven => Self::Auth(AuthError::Missing),
            UserAccessError::Invalid => Self::BadRequest(stranger.to_string()),
            UserAccessError::Other => Self::Forbidden("user_id is not the user of the token"),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = self.body();
        self.respond(body)
    }
}

impl ApiError {
    /// Builds the response with this body.
    pub(crate) fn respond(self, body: impl Serialize) -> Response {
        if let Self::Unreadable(error) = &self
            && let Some(suppressed) = UNREADABLE_LOG.admit()
        {
            tracing::warn!(%error, suppressed, "the history cannot be read");
        }
        let status = self.status();
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::Token(kind, error) = &self
            && error.is_wrong_token()
        {
            response.extensions_mut().insert(WrongToken(*kind));
        }
        if let Self::TooFast(refused) = &self {
            response.headers_mut().insert(RETRY_AFTER, refused.seconds().into());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let is_brief = matches!(self, Self::Push(PushError::Overloaded) | Self::Overloaded);
            let seconds = if is_brief { "1" } else { "5" };
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}
