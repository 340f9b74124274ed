//! How many clients are watching.

use serde::Serialize;
use utoipa::ToSchema;

/// How many clients are connected, and how many of them get what. A client may get several kinds of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[schema(as = PresenceCounts)]
pub struct Presence {
    /// All clients, over every transport.
    pub clients: usize,
    /// Clients that get prices, of some symbols at least.
    pub prices: usize,
    /// Clients that get signals, of some symbols at least.
    pub signals: usize,
    /// Clients that get published messages: the channel `user`, and the dashboards' own streams.
    pub messages: usize,
    /// Clients with the channel `clock`.
    pub clock: usize,
    /// Clients with the channel `presence`.
    pub presence: usize,
}

impl std::ops::Add for Presence {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            clients: self.clients + other.clients,
            prices: self.prices + other.prices,
            signals: self.signals + other.signals,
            messages: self.messages + other.messages,
            clock: self.clock + other.clock,
            presence: self.presence + other.presence,
        }
    }
}
