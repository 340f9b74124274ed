//! The table of close codes: why the server ends a native connection, and what that tells the client.
//!
//! Codes from 4000 on are those of a dashboard's own back end. Never 1000: the dashboards take it for "done" and do not come back.

use axum::extract::ws::CloseFrame;

use crate::auth::AuthError;

/// Why we close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// Nothing was heard of the peer for too long.
    Silent,
    /// A token in a frame was wrong, or none may be used.
    Policy,
    /// The token that the connection rests on has expired.
    Expired,
    /// The token that the connection rests on was revoked.
    Revoked,
    /// The token of an administrator was missing or wrong.
    AdminToken,
    /// The first frame of an administrator's raw stream held no token.
    NoAdminToken,
    /// The first frame of an administrator's raw stream held another token.
    WrongAdminToken,
    /// The process is stopping: come back.
    Restart,
    /// The client is too slow for its signals: come back and catch up.
    TooSlow,
    /// The client says more than anybody has to say, and goes on.
    TooFast,
    /// The user has too many connections.
    TooMany,
    /// A message was larger than allowed.
    TooLarge,
    /// A text was no UTF-8.
    NoText,
    /// A frame that the protocol does not allow.
    Protocol,
}

impl Close {
    /// Code of RFC 6455 and its registry.
    pub const fn code(self) -> u16 {
        match self {
            Self::Silent => 1001,
            Self::Protocol => 1002,
            Self::NoText => 1007,
            Self::Policy | Self::AdminToken | Self::Expired | Self::Revoked | Self::TooFast => 1008,
            Self::TooLarge => 1009,
            Self::Restart => 1012,
            Self::TooSlow | Self::TooMany => 1013,
            Self::NoAdminToken => 4001,
            Self::WrongAdminToken => 4003,
        }
    }

    /// Reason in the frame, and label of the disconnect metric.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Policy => "invalid token",
            Self::Expired => "token expired",
            Self::Revoked => "token revoked",
            Self::AdminToken | Self::WrongAdminToken => "Invalid admin token",
            Self::NoAdminToken => "No admin token",
            Self::Restart => "restart",
            Self::TooSlow => "too slow",
            Self::TooFast => "too fast",
            Self::TooMany => "too many connections",
            Self::TooLarge => "message too large",
            Self::NoText => "invalid UTF-8",
            Self::Protocol => "protocol error",
        }
    }

    /// What to close with after a message that could not be read; `None` when the connection itself is broken.
    pub fn of_error(error: axum::Error) -> Option<Self> {
        use tokio_tungstenite::tungstenite::Error;
        use tokio_tungstenite::tungstenite::error::ProtocolError;
        match *error.into_inner().downcast::<Error>().ok()? {
            Error::Capacity(_) => Some(Self::TooLarge),
            Error::Utf8(_) => Some(Self::NoText),
            // The peer is gone already, which is no frame.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
            Error::Protocol(_) => Some(Self::Protocol),
            _ => None,
        }
    }

    /// Whether the peer's last frame could not be read, and so nothing after it.
    pub const fn is_about_frames(self) -> bool {
        matches!(self, Self::TooLarge | Self::NoText | Self::Protocol)
    }

    /// Why a connection ends whose user token is judged so.
    pub fn of_login(judged: Result<(), AuthError>) -> Self {
        if judged == Err(AuthError::Revoked) { Self::Revoked } else { Self::Expired }
    }

    /// The frame.
    pub fn frame(self) -> CloseFrame {
        CloseFrame { code: self.code(), reason: self.reason().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_close_tells_a_dashboard_to_stay_away() {
        let admin = [Close::AdminToken, Close::NoAdminToken, Close::WrongAdminToken];
        let tokens = [Close::Policy, Close::Expired, Close::Revoked];
        let others = [Close::Silent, Close::Restart, Close::TooSlow, Close::TooFast, Close::TooMany];
        let frames = [Close::TooLarge, Close::NoText, Close::Protocol];
        for close in admin.into_iter().chain(tokens).chain(others).chain(frames) {
            assert_ne!(close.code(), 1000);
        }
    }
}
