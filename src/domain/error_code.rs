//! The codes of error answers, for programs. The description of the HTTP interface lists each with its status.

use std::fmt;

use http::StatusCode;
use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! codes {
    ($(#[doc = $doc:literal] $variant:ident $name:literal $status:literal,)*) => {
        /// What went wrong with a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $(#[doc = $doc] $variant,)*
        }

        impl ErrorCode {
            /// All codes, by status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the code as it is sent.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns what the code means, as a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc.trim_ascii(),)*
                }
            }

            /// Returns the number of the HTTP status of the answer.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }
        }
    };
}

codes! {
    /// The path or the query is invalid.
    BadRequest "bad_request" 400,
    /// The body is not valid JSON.
    InvalidJson "invalid_json" 400,
    /// Fields or parameters are missing or invalid; `details.fields` names all of them.
    ValidationFailed "validation_failed" 400,
    /// The request has no `Host` header, or more than one.
    InvalidHost "invalid_host" 400,
    /// The server does not speak the version of the interface that the query asks for.
    UnsupportedProtocol "unsupported_protocol" 400,
    /// The token is missing, or is a wrong shared token, or the server has none.
    Unauthorized "unauthorized" 401,
    /// The user token has expired.
    TokenExpired "token_expired" 401,
    /// The user token was revoked.
    TokenRevoked "token_revoked" 401,
    /// The user token is not a JSON Web Token, or its header has `crit`.
    TokenMalformed "token_malformed" 401,
    /// The user token has more than 4096 bytes.
    TokenTooLong "token_too_long" 401,
    /// The user token is signed with an algorithm without a matching key.
    TokenWrongAlgorithm "token_wrong_algorithm" 401,
    /// The signature of the user token does not verify.
    TokenWrongSignature "token_wrong_signature" 401,
    /// A claim of the user token is missing or invalid.
    TokenInvalidClaim "token_invalid_claim" 401,
    /// The user token is for another application.
    TokenWrongAudience "token_wrong_audience" 401,
    /// The user token is from another service.
    TokenWrongIssuer "token_wrong_issuer" 401,
    /// The user token is valid only later.
    TokenNotYetValid "token_not_yet_valid" 401,
    /// The token is valid, but does not give access to this.
    Forbidden "forbidden" 403,
    /// The token reads with a delay, and this cannot be read late.
    DelayedToken "delayed_token" 403,
    /// Pages of this origin may not connect.
    OriginNotAllowed "origin_not_allowed" 403,
    /// The route does not exist.
    NotFound "not_found" 404,
    /// No signal has this id.
    SignalNotFound "signal_not_found" 404,
    /// The route does not have this method.
    MethodNotAllowed "method_not_allowed" 405,
    /// The body did not arrive in time.
    RequestTimeout "request_timeout" 408,
    /// The signal has ended; `details.status` says how.
    SignalTerminal "signal_terminal" 409,
    /// Another source has taken over the symbol.
    SourceReplaced "source_replaced" 409,
    /// The body is too large.
    PayloadTooLarge "payload_too_large" 413,
    /// The content type is not a JSON type.
    UnsupportedMediaType "unsupported_media_type" 415,
    /// The server does not answer to this host.
    HostNotAllowed "host_not_allowed" 421,
    /// The symbol is not in the catalogue.
    UnknownSymbol "unknown_symbol" 422,
    /// The settings that were read cannot be used; none was changed.
    InvalidSettings "invalid_settings" 422,
    /// More requests than the limit allows.
    RateLimited "rate_limited" 429,
    /// The address has presented too many wrong tokens.
    TooManyWrongTokens "too_many_wrong_tokens" 429,
    /// The address or the user has too many connections.
    TooManyConnections "too_many_connections" 429,
    /// A bug in the server.
    Internal "internal" 500,
    /// The channel of the notice is not set up.
    NotConfigured "not_configured" 500,
    /// The service did not take the notice.
    NotDelivered "not_delivered" 500,
    /// The push could not be stored now; nothing of it was accepted.
    NotStored "not_stored" 503,
    /// The server has too much to do.
    Overloaded "overloaded" 503,
    /// A recording is being replayed, and pushes are off.
    Replaying "replaying" 503,
    /// The server is stopping.
    Draining "draining" 503,
    /// Tokens with too many different delays are in use.
    TooManyDelays "too_many_delays" 503,
    /// The channel has too many connections.
    ChannelFull "channel_full" 503,
    /// The history cannot be read now.
    Unavailable "unavailable" 503,
    /// The keys of the login service were not fetched yet.
    TokenKeysUnavailable "token_keys_unavailable" 503,
}

impl ErrorCode {
    /// Returns the HTTP status of the answer.
    pub fn http_status(self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let codes = Self::ALL.iter().map(|code| code.name());
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(codes)).into()
    }
}

impl ToSchema for ErrorCode {}
