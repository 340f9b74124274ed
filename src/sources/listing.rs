//! The instruments that a provider is asked for, by its names, and what its messages are turned into. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{OptionsError, SourceError, subscriptions};
use crate::domain::{Feed, Instrument, Instruments, Quote, SourceName, Tick};

/// What a provider's message says.
#[derive(Debug)]
pub enum WireEvent {
    /// A price.
    Tick(Tick),
    /// A subscription is confirmed.
    Subscribed,
    /// A subscription is rejected, with the provider's words.
    Rejected(String),
    /// A sign of life, or something that is not used.
    Other,
    /// The connection cannot go on.
    End(SourceError),
}

/// Why a price is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedPrice {
    /// The message has another form than the documented one.
    #[error("it is not a message of the documented form")]
    Form,
    /// The time is invalid.
    #[error("its time is invalid")]
    Time,
    /// A price is not a positive number.
    #[error("a price is not a positive number")]
    Number,
    /// The bid is above the ask.
    #[error("the bid is above the ask")]
    Crossed,
    /// The instrument was not asked for.
    #[error("it is about an instrument that was not asked for")]
    NotAsked,
}

/// An event of a message, or why it has none.
pub type ReadEvent = Result<WireEvent, MalformedPrice>;

/// The instruments that a provider is asked for.
#[derive(Debug)]
pub struct Listing {
    source: SourceName,
    feed: Feed,
    /// The provider's names, in the order of the settings.
    names: Vec<String>,
    instruments: HashMap<String, Arc<Instrument>>,
}

impl Listing {
    /// Resolves the provider's names.
    ///
    /// # Errors
    /// [`OptionsError::NoInstrument`].
    pub fn new(
        (source, feed): (&'static str, Feed),
        names: &[String],
        catalogue: &Instruments,
    ) -> Result<Self, OptionsError> {
        let found = subscriptions(source, names, catalogue)?;
        let names = found.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self { source: SourceName::new(source), feed, names, instruments: found.into_iter().collect() })
    }

    /// Returns the provider's names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the source.
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// Returns the type of feed.
    pub fn feed(&self) -> Feed {
        self.feed
    }

    /// Whether the market of any instrument is open.
    pub fn is_open(&self, at: DateTime<Utc>) -> bool {
        self.instruments.values().any(|instrument| instrument.session.is_open(at))
    }

    /// Returns the price of the instrument with this name.
    ///
    /// # Errors
    /// [`MalformedPrice::NotAsked`].
    pub fn tick(&self, name: &str, quote: Quote, observed_at: DateTime<Utc>) -> ReadEvent {
        let instrument = self.instruments.get(name).ok_or(MalformedPrice::NotAsked)?;
        let (symbol, source) = (instrument.symbol.clone(), self.source.clone());
        Ok(WireEvent::Tick(Tick { symbol, quote, volume: None, observed_at, feed: self.feed, source }))
    }
}

/// Returns a quote of both sides.
///
/// # Errors
/// [`MalformedPrice`].
pub fn sides(bid: f64, ask: f64) -> Result<Quote, MalformedPrice> {
    let (bid, ask) = (positive(bid)?, positive(ask)?);
    if bid <= ask { Ok(Quote::BidAsk { bid, ask }) } else { Err(MalformedPrice::Crossed) }
}

/// Checks a price.
///
/// # Errors
/// [`MalformedPrice::Number`].
pub fn positive(price: f64) -> Result<f64, MalformedPrice> {
    if price.is_finite() && price > 0.0 { Ok(price) } else { Err(MalformedPrice::Number) }
}
