//! The close codes: why the server ends a native connection, and what the code means to the client.
//!
//! Codes from 4000 on are those of a dashboard's own back end. 1000 is never used: after it the dashboards do not
//! reconnect.

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::auth::AuthError;

/// Declares the closes with their codes and texts, so that none can lack one.
macro_rules! closes {
    ($(#[doc = $doc:literal] $close:ident => $code:literal, $label:literal, $reason:literal;)+) => {
        /// Why the server closes a connection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Close {
            $(#[doc = $doc] $close,)+
        }

        impl Close {
            /// Every close.
            pub const ALL: &[Self] = &[$(Self::$close),+];

            /// Returns the code, the metric label and the reason.
            const fn texts(self) -> (u16, &'static str, &'static str) {
                match self {
                    $(Self::$close => ($code, $label, $reason),)+
                }
            }

            /// Returns why the connection is closed, as a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$close => $doc.trim_ascii(),)+
                }
            }
        }
    };
}

closes! {
    /// The peer has been silent for too long.
    Silent => 1001, "silent", "silent";
    /// A frame violated the protocol.
    Protocol => 1002, "protocol_error", "protocol error";
    /// A text message was not valid UTF-8.
    NoText => 1007, "invalid_utf8", "invalid UTF-8";
    /// A token in a frame was wrong, or must not be used.
    Policy => 1008, "invalid_token", "invalid token";
    /// The connection's token has expired.
    Expired => 1008, "token_expired", "token expired";
    /// The connection's token was revoked.
    Revoked => 1008, "token_revoked", "token revoked";
    /// The administrator's token was missing or wrong.
    AdminToken => 1008, "invalid_admin_token", "Invalid admin token";
    /// The client has continued to send too fast after a warning.
    TooFast => 1008, "too_fast", "too fast";
    /// A message was larger than allowed.
    TooLarge => 1009, "message_too_large", "message too large";
    /// The process is stopping, and the client should reconnect.
    Restart => 1012, "restart", "restart";
    /// The user has too many connections.
    TooMany => 1013, "too_many_connections", "too many connections";
    /// The client reads its signals too slowly, and should reconnect and catch up.
    TooSlow => 1013, "too_slow", "too slow";
    /// The first frame of an administrator's raw stream was empty.
    NoAdminToken => 4001, "no_admin_token", "No admin token";
    /// The first frame of an administrator's raw stream was a wrong token.
    WrongAdminToken => 4003, "invalid_admin_token", "Invalid admin token";
}

impl Close {
    /// The closes of every native stream.
    pub const OF_EVERY_STREAM: [Self; 8] = [
        Self::Silent,
        Self::Protocol,
        Self::NoText,
        Self::TooFast,
        Self::TooLarge,
        Self::Restart,
        Self::TooMany,
        Self::TooSlow,
    ];
    /// The closes of a stream that a user may open with a token.
    pub const OF_USERS: [Self; 2] = [Self::Expired, Self::Revoked];

    /// Returns the close code, by RFC 6455 and its registry.
    pub const fn code(self) -> u16 {
        self.texts().0
    }

    /// Returns the label of the disconnect metric.
    pub const fn label(self) -> &'static str {
        self.texts().1
    }

    /// Returns the reason in the close frame.
    pub const fn reason(self) -> &'static str {
        self.texts().2
    }

    /// Returns how to close after a message that could not be read; `None` when the connection itself is broken.
    pub fn of_error(error: &Error) -> Option<Self> {
        match error {
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
        CloseFrame { code: self.code().into(), reason: self.reason().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_close_code_stops_a_dashboard_from_reconnecting() {
        assert!(Close::ALL.iter().all(|close| close.code() != 1000));
    }

    #[test]
    fn labels_are_words_in_snake_case() {
        for close in Close::ALL {
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(close.label().chars().all(is_word), "{close:?}");
            assert!(!close.label().is_empty() && !close.reason().is_empty(), "{close:?}");
            // RFC 6455 section 5.5: a close frame has room for 123 bytes of text.
            assert!(close.reason().len() <= 123, "{close:?}");
        }
    }

    #[test]
    fn the_documented_table_has_exactly_these_closes() {
        let docs = include_str!("../../docs/messages.md");
        let (_, table) = docs.split_once("| code | reason | label |").unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let documented: Vec<_> = rows.map(|row| row.split(" | ").take(3).collect::<Vec<_>>().join(" | ")).collect();
        let row = |close: &Close| format!("| {} | `{}` | `{}`", close.code(), close.reason(), close.label());
        assert_eq!(documented, Close::ALL.iter().map(row).collect::<Vec<_>>());
    }
}
