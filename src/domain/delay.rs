//! How much later than the market a reader gets prices and signals.

use std::fmt;
use std::time::Duration;

/// A delay in whole seconds, up to a day; none for most readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Delay(u32);

impl Delay {
    /// No delay.
    pub const NONE: Self = Self(0);
    /// The longest delay, in seconds.
    pub const MAX_SECONDS: u32 = 86_400;

    /// Returns a delay of this many seconds, unless it is longer than a day.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        u32::try_from(seconds).ok().filter(|seconds| *seconds <= Self::MAX_SECONDS).map(Self)
    }

    /// Returns the delay of a setting, which is checked to be whole seconds within a day.
    pub fn of(setting: Duration) -> Self {
        Self(u32::try_from(setting.as_secs()).unwrap_or(Self::MAX_SECONDS).min(Self::MAX_SECONDS))
    }

    /// Whether there is no delay.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns the delay in seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// Returns the delay as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}
