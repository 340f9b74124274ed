//! Why a token was refused. The texts are meant for whoever presents it, and tell nobody how to forge one: what is said about
//! claims is said after the signature was verified, one text stands for every wrong signature, and no text holds what the server
//! expects.

use super::algorithm::WrongAlgorithm;

/// Longest token that is looked at, in bytes.
pub(super) const MAX_TOKEN: usize = 4096;

/// Why somebody was refused. The texts are meant for him.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The server has no such token: nobody can present it.
    #[error("Refused: the server has no token for this; its operator sets {0}")]
    NotSet(&'static str),
    /// No token came along.
    #[error("A token is needed: Authorization: Bearer <token>")]
    Missing,
    /// There is an `Authorization` header, but no bearer token in it.
    #[error("Invalid authorization format")]
    Malformed,
    /// A shared token that is not the right one.
    #[error("Invalid token")]
    Wrong,
    /// The user token has ended.
    #[error("The token has expired: log in again")]
    Expired,
    /// The user's tokens were called back.
    #[error("The token was revoked: log in again")]
    Revoked,
    /// What should be a user token is none.
    #[error("Not a JSON Web Token: {0}")]
    NotJwt(&'static str),
    /// The user token has more bytes than are looked at.
    #[error("The token is longer than {MAX_TOKEN} bytes: have the login service put less into it")]
    TooLong,
    /// The header asks for an extension that has to be understood (RFC 7515 §4.1.11), and none is.
    #[error("The token's header has 'crit': it asks for an extension that this server does not know")]
    Critical,
    /// The user token is signed with an algorithm that no key is for.
    #[error(transparent)]
    WrongAlgorithm(WrongAlgorithm),
    /// No key that is for the token's algorithm verifies it.
    #[error("The token's signature does not verify: it was made with another secret or key, or changed afterwards")]
    WrongSignature,
    /// The keys of the login service could not be fetched so far.
    #[error("The login service's keys could not be fetched yet, so the token cannot be verified: try again later")]
    NoKeysYet,
    /// A claim that is needed is not there, or not what it must be.
    #[error("The token's {claim} {reason}")]
    InvalidClaim {
        /// Its name.
        claim: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The user token is for somebody else than this server.
    #[error("The token is for another audience: its 'aud' is not the one that this server is set to")]
    WrongAudience,
    /// The user token is from another issuer.
    #[error("The token is from another issuer: its 'iss' is not the one that this server is set to")]
    WrongIssuer,
    /// The user token begins later; the claim that says so.
    #[error("The token is not valid yet: its '{0}' is in the future; compare the clocks of both servers")]
    NotYetValid(&'static str),
}

impl AuthError {
    /// What is wrong, as a metric label: `not_set`, `missing`, `malformed`, `wrong`, `expired`, `revoked`, `too_long`,
    /// `wrong_algorithm`, `wrong_signature`, `no_keys_yet`, `invalid_claim`, `wrong_audience`, `wrong_issuer` or
    /// `not_yet_valid`.
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
            Self::NotYetValid(_) => "not_yet_valid",
        }
    }

    /// The code of an answer.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotSet(_) | Self::Missing | Self::Malformed | Self::Wrong => "unauthorized",
            Self::Expired => "token_expired",
            Self::Revoked => "token_revoked",
            Self::NotJwt(_) | Self::Critical => "token_malformed",
            Self::TooLong => "token_too_long",
            Self::WrongAlgorithm(_) => "token_wrong_algorithm",
            Self::WrongSignature => "token_wrong_signature",
            Self::NoKeysYet => "token_keys_unavailable",
            Self::InvalidClaim { .. } => "token_invalid_claim",
            Self::WrongAudience => "token_wrong_audience",
            Self::WrongIssuer => "token_wrong_issuer",
            Self::NotYetValid(_) => "token_not_yet_valid",
        }
    }

    /// Whether the token proves nothing: it is not one of a server's or of a login service's. A token that has expired, or whose
    /// claims do not fit, was signed by somebody who may.
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
            | Self::NotYetValid(_) => false,
        }
    }
}

/// What a token was meant to be; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// The shared token of administrators.
    Admin,
    /// The shared token of everything that writes.
    Ingest,
    /// The shared token of readers.
    Read,
    /// A user's own.
    User,
    /// The secret in the address of a webhook.
    Webhook,
}

impl TokenKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::User => "user",
            Self::Webhook => "webhook",
        }
    }

    /// What a token was meant to be that was presented to read.
    pub fn of_reader(error: AuthError) -> Self {
        if error == AuthError::Wrong { Self::Read } else { Self::User }
    }
}
