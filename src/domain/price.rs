//! Prices on their way through: the tick that a source saw, and the update that dashboards are told.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Symbol;
use super::number::difference;

/// The name of a source as it stands on the wire: `simulator`, `replay`, `push`, … Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceName(Arc<str>);

impl SourceName {
    /// The simulator's name: what it made ends when real prices come.
    pub const SIMULATOR: &'static str = "simulator";
    /// The name of what anybody pushes: its senders' clocks and jumps are their own.
    pub const PUSH: &'static str = "push";

    /// The name of the server's own setups.
    pub const SETUPS: &'static str = "ict";

    /// Takes `name` as it is.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name, such as `simulator`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of feed a price comes from; decides the quality that it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// A market, as it happens.
    Live,
    /// A market, some minutes late by contract.
    Delayed,
    /// A market that cannot be traded now, because it is closed or halted: what is quoted is only an indication. Such prices are
    /// shown, and decide nothing.
    Indicative,
    /// Invented.
    Simulated,
    /// Recorded earlier.
    Replayed,
}

/// How far a published price can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// From a market, and fresh.
    Live,
    /// From a market, and not quite fresh.
    Delayed,
    /// Too old to act on.
    Stale,
    /// The market is closed.
    Closed,
    /// Invented by the simulator.
    Simulated,
    /// From a recording.
    Replayed,
}

impl Quality {
    /// The name on every wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Delayed => "delayed",
            Self::Stale => "stale",
            Self::Closed => "closed",
            Self::Simulated => "simulated",
            Self::Replayed => "replayed",
        }
    }
}

/// What a source knows of a price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quote {
    /// Both sides of the book.
    BidAsk {
        /// Best price to sell at.
        bid: f64,
        /// Best price to buy at, not below `bid`.
        ask: f64,
    },
    /// The last traded price.
    Last(f64),
}

impl Quote {
    /// Mid of bid and ask, or the last price; not rounded.
    pub fn mid(self) -> f64 {
        match self {
            Self::BidAsk { bid, ask } => f64::midpoint(bid, ask),
            Self::Last(price) => price,
        }
    }
}

/// One observation of one instrument's price. All numbers are finite and positive: the border refuses others.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// The instrument.
    pub symbol: Symbol,
    /// The price.
    pub quote: Quote,
    /// Volume traded with it, in the sender's unit.
    pub volume: Option<f64>,
    /// When the sender saw it.
    pub observed_at: DateTime<Utc>,
    /// What kind of feed it came over.
    pub feed: Feed,
    /// Who sent it.
    pub source: SourceName,
}

/// Why a tick is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum TickFault {
    /// A price is zero, negative or not finite.
    #[error("a price must be a positive number")]
    NotPositive,
    /// The bid is above the ask.
    #[error("the bid must not be above the ask")]
    Crossed,
    /// It is too far from the prices before it, and nothing has confirmed it yet.
    #[error("too far from the prices before it; the next one may confirm it")]
    Jump,
}

impl TickFault {
    /// The name in metrics and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotPositive => "not_positive",
            Self::Crossed => "crossed",
            Self::Jump => "jump",
        }
    }
}

/// What an instrument's day has seen so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayRange {
    /// Highest price, a mid on the instrument's grid.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Sum of the volumes that came with the prices; `None` where the source knows none.
    pub volume: Option<f64>,
}

impl DayRange {
    /// Takes in what was seen after it.
    pub fn extend(&mut self, next: Self) {
        self.high = self.high.max(next.high);
        self.low = self.low.min(next.low);
        self.volume = match (self.volume, next.volume) {
            (Some(volume), Some(more)) => Some(volume + more),
            (volume, more) => volume.or(more),
        };
    }
}

/// What dashboards are told of an instrument's price: rounded, compared with the update before, and marked with its quality.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceUpdate {
    /// The instrument.
    pub symbol: Symbol,
    /// Mid of bid and ask on the instrument's grid, or the last price.
    pub price: f64,
    /// When the price was observed, not when it was sent.
    pub timestamp: DateTime<Utc>,
    /// Difference to the price published before.
    pub change: f64,
    /// The same in percent (0.02 is 0.02 %), four decimals.
    pub change_percent: f64,
    /// Volume, where the source knows it.
    pub volume: Option<f64>,
    /// Bid and ask, where the source knows them.
    pub bid_ask: Option<(f64, f64)>,
    /// What the instrument's day has seen, if anything could be traded at.
    pub day: Option<DayRange>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// Who sent it.
    pub source: SourceName,
}

impl PriceUpdate {
    /// Bid and ask for readers who need both: the price itself where they are not known.
    pub fn sides(&self) -> (f64, f64) {
        self.bid_ask.unwrap_or((self.price, self.price))
    }

    /// What bid and ask are apart, in the instrument's digits; 0 where they are not known.
    pub fn spread(&self) -> f64 {
        let (bid, ask) = self.sides();
        difference(ask, bid)
    }
}
