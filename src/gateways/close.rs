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
}

impl Close {
    /// Code of RFC 6455 and its registry.
    pub const fn code(self) -> u16 {
        match self {
            Self::Silent => 1001,
            Self::Policy | Self::AdminToken | Self::Expired | Self::Revoked => 1008,
            Self::Restart => 1012,
            Self::TooSlow => 1013,
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
        }
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
        let others = [Close::Silent, Close::Restart, Close::TooSlow];
        for close in admin.into_iter().chain(tokens).chain(others) {
            assert_ne!(close.code(), 1000);
        }
    }
}
