//! The instruments that a provider is asked for, by its names, and what its messages are turned into. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::net::{self, LIMIT_PAUSE};
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
    /// The provider reports an error that does not end the connection, in its words.
    Complaint(String),
    /// A sign of life, or something that is not used.
    Other,
    /// The connection cannot go on.
    End(SourceError),
}

impl WireEvent {
    /// Returns the end of a connection on which too much was asked; `words` are the provider's.
    pub fn limited(words: &str) -> Self {
        Self::End(SourceError::limited(format!("the provider says: {}", net::words(words, "")), LIMIT_PAUSE))
    }
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
        // `NAME=SYMBOL` names the instrument of a name that says nothing to the catalogue.
        let symbols: Vec<String> = names.iter().map(|name| symbol_of(name).to_owned()).collect();
        let name_of = |symbol: &str| names.iter().find(|name| symbol_of(name) == symbol).map(|name| name_of(name));
        let found = subscriptions(source, &symbols, catalogue)?;
        let found: Vec<(String, Arc<Instrument>)> = found
            .into_iter()
            .filter_map(|(symbol, instrument)| Some((name_of(&symbol)?.to_owned(), instrument)))
            .collect();
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

    /// Whether the instrument with this name is asked for.
    pub fn has(&self, name: &str) -> bool {
        self.instruments.contains_key(name)
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

/// Returns the part of `NAME=SYMBOL` that the catalogue resolves; the whole of a name without `=`.
pub(super) fn symbol_of(name: &str) -> &str {
    name.split_once('=').map_or(name, |(_, symbol)| symbol.trim())
}

/// Returns the provider's part of `NAME=SYMBOL`.
pub(super) fn name_of(name: &str) -> &str {
    name.split_once('=').map_or(name, |(name, _)| name.trim())
}

/// Parses a price that is sent as a text.
///
/// # Errors
/// [`MalformedPrice::Number`].
pub fn number(text: &str) -> Result<f64, MalformedPrice> {
    text.trim().parse().map_err(|_| MalformedPrice::Number).and_then(positive)
}

/// Returns a time between the years 2000 and 2100; other numbers are in another unit, or invalid.
///
/// # Errors
/// [`MalformedPrice::Time`].
pub fn millis(millis: i64) -> Result<DateTime<Utc>, MalformedPrice> {
    let is_near = (946_684_800_000..4_102_444_800_000).contains(&millis);
    is_near.then(|| DateTime::from_timestamp_millis(millis)).flatten().ok_or(MalformedPrice::Time)
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
