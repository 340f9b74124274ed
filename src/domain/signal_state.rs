//! What a signal is called, which way it goes, and where it is in its life.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A signal's name: any 1 to 128 characters where it was pushed, a UUID where it was made here. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignalId(Arc<str>);

impl SignalId {
    /// Longest id, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Takes an id as it was sent; `None` when it is empty or too long.
    pub fn new(id: &str) -> Option<Self> {
        (1..=Self::MAX_CHARS).contains(&id.chars().count()).then(|| Self(id.into()))
    }

    /// The id as it was sent.
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

/// Which way a signal trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Buy first.
    Long,
    /// Sell first.
    Short,
}

impl Direction {
    /// `long` or `short`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
        }
    }

    /// +1 for long, −1 for short.
    pub const fn sign(self) -> f64 {
        match self {
            Self::Long => 1.0,
            Self::Short => -1.0,
        }
    }
}

/// The three states a signal can be in, without their details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalStatus {
    /// Waiting for the market to decide.
    Pending,
    /// The market went the signal's way.
    Confirmed,
    /// It did not, in time.
    Invalidated,
}

impl SignalStatus {
    /// `pending`, `confirmed` or `invalidated`.
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
    /// Its time ran out.
    pub const TIMEOUT: Self = Self(Cow::Borrowed("timeout"));
    /// Its stop was touched before it was confirmed.
    pub const STOP_TOUCHED: Self = Self(Cow::Borrowed("stop_touched"));
    /// Somebody took it back.
    pub const MANUAL: Self = Self(Cow::Borrowed("manual"));
    /// A minute closed beyond the far edge of the gap that it was to be entered at.
    pub const CLOSED_THROUGH_FVG: Self = Self(Cow::Borrowed("closed_through_fvg"));
    /// The market's structure shifted the other way.
    pub const OPPOSITE_MSS: Self = Self(Cow::Borrowed("opposite_mss"));
    /// A price came outside of the trading hours.
    pub const MARKET_CLOSED: Self = Self(Cow::Borrowed("market_closed"));
    /// Prices stayed away too long to know what happened.
    pub const STALE_DATA: Self = Self(Cow::Borrowed("stale_data"));
    /// The prices it was made from were replaced by those of another source.
    pub const SOURCE_REPLACED: Self = Self(Cow::Borrowed("source_replaced"));

    /// Longest reason, in characters.
    pub const MAX_CHARS: usize = 200;

    /// Takes a reason as it was sent; `None` when it is empty or too long.
    pub fn new(reason: &str) -> Option<Self> {
        (1..=Self::MAX_CHARS).contains(&reason.chars().count()).then(|| Self(Cow::Owned(reason.to_owned())))
    }

    /// The reason, such as `timeout`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a signal is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", content = "invalidation", rename_all = "snake_case")]
pub enum SignalState {
    /// Waiting; ends by itself at `expires_at`.
    Pending,
    /// Ended well.
    Confirmed,
    /// Ended badly, and why.
    Invalidated(Invalidation),
}

impl From<Invalidation> for SignalState {
    fn from(reason: Invalidation) -> Self {
        Self::Invalidated(reason)
    }
}

impl SignalState {
    /// The state without its details.
    pub const fn status(&self) -> SignalStatus {
        match self {
            Self::Pending => SignalStatus::Pending,
            Self::Confirmed => SignalStatus::Confirmed,
            Self::Invalidated(_) => SignalStatus::Invalidated,
        }
    }

    /// Whether this is the beginning of the life, not an end of it.
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }
}
