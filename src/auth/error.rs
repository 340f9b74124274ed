//! Why a token was refused. The texts are sent to the client and do not help to forge a token: claims are mentioned only after
//! the signature was verified, all wrong signatures have the same text, and no text contains what the server expects.

use super::algorithm::WrongAlgorithm;
use crate::domain::{Delay, ErrorCode};

/// Longest token that is looked at, in bytes.
pub(super) const MAX_TOKEN: usize = 4096;

/// Why a client was refused. The texts are sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The server has no token of this kind, so that none can be valid.
    #[error("Refused: the server has no token for this; its operator sets {0}")]
    NotSet(&'static str),
    /// The request has no token.
    #[error("A token is needed: Authorization: Bearer <token>")]
    Missing,
    /// The `Authorization` header is not a bearer token.
    #[error("Invalid authorization format")]
    Malformed,
    /// The shared token is wrong.
    #[error("Invalid token")]
    Wrong,
    /// The user token has expired.
    #[error("The token has expired: log in again")]
    Expired,
    /// The user's tokens were revoked.
    #[error("The token was revoked: log in again")]
    Revoked,
    /// The user token is not a JWT.
    #[error("Not a JSON Web Token: {0}")]
    NotJwt(&'static str),
    /// The user token is too long.
    #[error("The token is longer than {MAX_TOKEN} bytes: have the login service put less into it")]
    TooLong,
    /// The header asks for an extension that has to be understood (RFC 7515 §4.1.11); the server supports none.
    #[error("The token's header has 'crit': it asks for an extension that this server does not know")]
    Critical,
    /// The user token is signed with an algorithm for which the server has no key.
    #[error(transparent)]
    WrongAlgorithm(WrongAlgorithm),
    /// No key of the token's algorithm verifies it.
    #[error("The token's signature does not verify: it was made with another secret or key, or changed afterwards")]
    WrongSignature,
    /// The keys of the login service were not fetched yet.
    #[error("The login service's keys could not be fetched yet, so the token cannot be verified: try again later")]
    NoKeysYet,
    /// A needed claim is missing or invalid.
    #[error("The token's {claim} {reason}")]
    InvalidClaim {
        /// The name of the claim.
        claim: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The user token is for another audience than this server.
    #[error("The token is for another audience: its 'aud' is not the one that this server is set to")]
    WrongAudience,
    /// The user token is from another issuer.
    #[error("The token is from another issuer: its 'iss' is not the one that this server is set to")]
    WrongIssuer,
    /// The token reads with a delay that the connection or the route does not have.
    #[error(
        "This reader gets prices and signals {0} late, and this place is not read late: send the token when connecting \
         (Authorization: Bearer, ?token= or Socket.IO's auth)"
    )]
    Delayed(Delay),
    /// The user token is valid only later; the claim that says so.
    #[error("The token is not valid yet: its '{0}' is in the future; compare the clocks of both servers")]
    NotYetValid(&'static str),
}

impl AuthError {
    /// Returns the error as a metric label: `not_set`, `missing`, `malformed`, `wrong`, `expired`, `revoked`, `too_long`,
    /// `wrong_algorithm`, `wrong_signature`, `no_keys_yet`, `invalid_claim`, `wrong_audience`, `wrong_issuer`,
    /// `delayed` or `not_yet_valid`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSet(_) => "not_set",
            Self::Missing => "missing",
            Self::Malformed | Self::NotJwt(_) | Self::Critical => "malformed",
            Self::Wrong => "wrong",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::TooLong => "too_long",
            Self::WrongAlgorithm(_) => "wrong_algorithm",
            Self::WrongSignature => "wrong_signature",
            Self::NoKeysYet => "no_keys_yet",
            Self::InvalidClaim { .. } => "invalid_claim",
            Self::WrongAudience => "wrong_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::Delayed(_) => "delayed",
            Self::NotYetValid(_) => "not_yet_valid",
        }
    }

    /// Returns the code of the error response.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::NotSet(_) | Self::Missing | Self::Malformed | Self::Wrong => ErrorCode::Unauthorized,
            Self::Expired => ErrorCode::TokenExpired,
            Self::Revoked => ErrorCode::TokenRevoked,
            Self::NotJwt(_) | Self::Critical => ErrorCode::TokenMalformed,
            Self::TooLong => ErrorCode::TokenTooLong,
            Self::WrongAlgorithm(_) => ErrorCode::TokenWrongAlgorithm,
            Self::WrongSignature => ErrorCode::TokenWrongSignature,
            Self::NoKeysYet => ErrorCode::TokenKeysUnavailable,
            Self::InvalidClaim { .. } => ErrorCode::TokenInvalidClaim,
            Self::WrongAudience => ErrorCode::TokenWrongAudience,
            Self::WrongIssuer => ErrorCode::TokenWrongIssuer,
            Self::Delayed(_) => ErrorCode::DelayedToken,
            Self::NotYetValid(_) => ErrorCode::TokenNotYetValid,
        }
    }

    /// Whether the token is forged or guessed. An expired token, or one with unsuitable claims, was signed by a trusted issuer.
    pub const fn is_wrong_token(self) -> bool {
        match self {
            Self::Wrong
            | Self::NotJwt(_)
            | Self::TooLong
            | Self::Critical
            | Self::WrongAlgorithm(_)
            | Self::WrongSignature => true,
            Self::NotSet(_)
            | Self::Missing
            | Self::Malformed
            | Self::Expired
            | Self::Revoked
            | Self::NoKeysYet
            | Self::InvalidClaim { .. }
            | Self::WrongAudience
            | Self::WrongIssuer
            | Self::Delayed(_)
            | Self::NotYetValid(_) => false,
        }
    }
}

/// The kind of a token; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// The shared token of administrators.
    Admin,
    /// The shared token for writing.
    Ingest,
    /// The shared token for reading.
    Read,
    /// A user token.
    User,
    /// The secret in the URL of a webhook.
    Webhook,
}

impl TokenKind {
    /// Returns the metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::User => "user",
            Self::Webhook => "webhook",
        }
    }

    /// Returns the kind of a token for reading that was refused with `error`.
    pub fn of_reader(error: AuthError) -> Self {
        if error == AuthError::Wrong { Self::Read } else { Self::User }
    }
}
