//! The id, the direction and the state of a signal.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The id of a signal: 1 to 128 characters for a pushed one, a UUID for one of the server. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, max_length = 128)]
pub struct SignalId(Arc<str>);

impl SignalId {
    /// Maximum length of an id in characters.
    pub const MAX_CHARS: usize = 128;

    /// Wraps an id as it was sent; `None` when it is empty or too long.
    pub fn new(id: &str) -> Option<Self> {
        (1..=Self::MAX_CHARS).contains(&id.chars().count()).then(|| Self(id.into()))
    }

    /// Returns the id as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<uuid::Uuid> for SignalId {
    fn from(id: uuid::Uuid) -> Self {
        Self(id.to_string().into())
    }
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The direction of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Buy first.
    Long,
    /// Sell first.
    Short,
}

impl Direction {
    /// Returns `long` or `short`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
        }
    }

    /// Returns +1 for long, −1 for short.
    pub const fn sign(self) -> f64 {
        match self {
            Self::Long => 1.0,
            Self::Short => -1.0,
        }
    }
}

/// The three states of a signal, without details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignalStatus {
    /// Waiting for the market to decide.
    Pending,
    /// The market moved in the signal's direction.
    Confirmed,
    /// The market did not, or not in time.
    Invalidated,
}

impl SignalStatus {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Confirmed, Self::Invalidated];

    /// Returns `pending`, `confirmed` or `invalidated`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Invalidated => "invalidated",
        }
    }
}

/// Why a signal was invalidated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Invalidation(Cow<'static, str>);

impl Invalidation {
    /// Its deadline passed.
    pub const TIMEOUT: Self = Self(Cow::Borrowed("timeout"));
    /// Its stop was touched before it was confirmed.
    pub const STOP_TOUCHED: Self = Self(Cow::Borrowed("stop_touched"));
    /// A sender withdrew it.
    pub const MANUAL: Self = Self(Cow::Borrowed("manual"));
    /// A minute closed beyond the far edge of the gap at its entry.
    pub const CLOSED_THROUGH_FVG: Self = Self(Cow::Borrowed("closed_through_fvg"));
    /// The market's structure shifted the other way.
    pub const OPPOSITE_MSS: Self = Self(Cow::Borrowed("opposite_mss"));
    /// A price arrived outside the trading hours.
    pub const MARKET_CLOSED: Self = Self(Cow::Borrowed("market_closed"));
    /// There was no price for too long.
    pub const STALE_DATA: Self = Self(Cow::Borrowed("stale_data"));
    /// A real source replaced the simulated prices from which it was made.
    pub const SOURCE_REPLACED: Self = Self(Cow::Borrowed("source_replaced"));

    /// Maximum length of a reason in characters.
    pub const MAX_CHARS: usize = 200;

    /// Wraps a reason as it was sent; `None` when it is empty or too long.
    pub fn new(reason: &str) -> Option<Self> {
        (1..=Self::MAX_CHARS).contains(&reason.chars().count()).then(|| Self(Cow::Owned(reason.to_owned())))
    }

    /// Returns the reason, such as `timeout`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The state of a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", content = "invalidation", rename_all = "snake_case")]
pub enum SignalState {
    /// Waiting; expires at `expires_at`.
    Pending,
    /// Confirmed by the market or the sender.
    Confirmed,
    /// Invalidated, with the reason.
    Invalidated(Invalidation),
}

impl From<Invalidation> for SignalState {
    fn from(reason: Invalidation) -> Self {
        Self::Invalidated(reason)
    }
}

impl SignalState {
    /// Returns the state without details.
    pub const fn status(&self) -> SignalStatus {
        match self {
            Self::Pending => SignalStatus::Pending,
            Self::Confirmed => SignalStatus::Confirmed,
            Self::Invalidated(_) => SignalStatus::Invalidated,
        }
    }

    /// Whether the signal has not ended.
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }
}
