//! The close codes: why the server ends a native connection, and what the code means to the client.
//!
//! Codes from 4000 on are those of a dashboard's own back end. 1000 is never used: after it the dashboards do not
//! reconnect.

use axum::extract::ws::CloseFrame;

use crate::auth::AuthError;

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// The peer has been silent for too long.
    Silent,
    /// A token in a frame was wrong, or must not be used.
    Policy,
    /// The connection's token has expired.
    Expired,
    /// The connection's token was revoked.
    Revoked,
    /// The administrator's token was missing or wrong.
    AdminToken,
    /// The first frame of an administrator's raw stream was empty.
    NoAdminToken,
    /// The first frame of an administrator's raw stream was a wrong token.
    WrongAdminToken,
    /// The process is stopping, and the client should reconnect.
    Restart,
    /// The client reads its signals too slowly, and should reconnect and catch up.
    TooSlow,
    /// The client has continued to send too fast after a warning.
    TooFast,
    /// The user has too many connections.
    TooMany,
    /// A message was larger than allowed.
    TooLarge,
    /// A text message was not valid UTF-8.
    NoText,
    /// A frame violated the protocol.
    Protocol,
}

impl Close {
    /// Returns the close code, by RFC 6455 and its registry.
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

    /// Returns the reason in the close frame, which is also the label of the disconnect metric.
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

    /// Returns how to close after a message that could not be read; `None` when the connection itself is broken.
    pub fn of_error(error: axum::Error) -> Option<Self> {
        use tokio_tungstenite::tungstenite::Error;
        use tokio_tungstenite::tungstenite::error::ProtocolError;
        match *error.into_inner().downcast::<Error>().ok()? {
            Error::Capacity(_) => Some(Self::TooLarge),
            Error::Utf8(_) => Some(Self::NoText),
            // The peer is gone, so there is no violation to report.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
            Error::Protocol(_) => Some(Self::Protocol),
            _ => None,
        }
    }

    /// Whether the peer's last frame was invalid, so that nothing after it can be read.
    pub const fn is_about_frames(self) -> bool {
        matches!(self, Self::TooLarge | Self::NoText | Self::Protocol)
    }

    /// Returns why a connection with this state of its user token ends.
    pub fn of_login(judged: Result<(), AuthError>) -> Self {
        if judged == Err(AuthError::Revoked) { Self::Revoked } else { Self::Expired }
    }

    /// Returns the close frame.
    pub fn frame(self) -> CloseFrame {
        CloseFrame { code: self.code(), reason: self.reason().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_close_code_stops_a_dashboard_from_reconnecting() {
        let admin = [Close::AdminToken, Close::NoAdminToken, Close::WrongAdminToken];
        let tokens = [Close::Policy, Close::Expired, Close::Revoked];
        let others = [Close::Silent, Close::Restart, Close::TooSlow, Close::TooFast, Close::TooMany];
        let frames = [Close::TooLarge, Close::NoText, Close::Protocol];
        for close in admin.into_iter().chain(tokens).chain(others).chain(frames) {
            assert_ne!(close.code(), 1000);
        }
    }
}
