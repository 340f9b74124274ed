//! The sources that read prices from one WebSocket. A provider's own code says what is sent and what a message means
//! ([`Dialect`]); connecting, keeping alive, counting, and noticing a mute connection are the same for all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::listing::{Listing, ReadEvent, WireEvent};
use super::websocket::{ProviderSocket, SocketTimeouts};
use super::{Finished, OptionsError, Source, SourceError, SourceHandle, net};
use crate::domain::{Feed, Instruments, SourceName, Tick, TickOrder, WallClock};

/// Without a price for this long in trading hours, a source is stalled.
const QUIET: Duration = Duration::from_mins(2);
/// A connection without prices in trading hours is reopened after this multiple of [`QUIET`].
const RECONNECT_AFTER_QUIET: u32 = 4;
/// A longer message is counted and dropped unread, in bytes.
const MAX_MESSAGE: usize = 1 << 20;

/// A provider's protocol over a WebSocket. Pure.
pub trait Dialect: Send + Sync + 'static {
    /// The name of the source on the wire.
    const NAME: &'static str;
    /// What the operator can do when the provider refuses the connection.
    const ADVICE: &'static str;
    /// A message that the provider wants at an interval.
    const KEEP_ALIVE: Option<(Duration, &'static str)> = None;

    /// Returns the address to connect to.
    fn address(&self, names: &[String]) -> String;

    /// Returns the headers of the handshake, beside those of every handshake.
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    /// Returns the messages that subscribe to these instruments; none when the address does.
    fn subscribe(&self, names: &[String]) -> Vec<String>;

    /// Returns what a message says. `received_at` is the time of a price whose message has none.
    fn read(&self, message: &str, listing: &Listing, received_at: DateTime<Utc>) -> Vec<ReadEvent>;

    /// Returns the key, which must not be repeated in a text; empty without one.
    fn secret(&self) -> &str {
        ""
    }
}

/// A source that reads prices from one WebSocket.
pub struct StreamSource<D> {
    dialect: D,
    listing: Listing,
    timeouts: SocketTimeouts,
    order: TickOrder,
    wall: WallClock,
    complained: bool,
    /// Rejected subscriptions of this connection.
    rejected: usize,
}

impl<D> std::fmt::Debug for StreamSource<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSource").field("listing", &self.listing).finish_non_exhaustive()
    }
}

impl<D: Dialect> StreamSource<D> {
    /// Creates a source that is not connected yet.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(dialect: D, names: &[String], catalogue: &Instruments, wall: WallClock) -> Result<Self, OptionsError> {
        let listing = Listing::new((D::NAME, Feed::Live), names, catalogue)?;
        let (timeouts, order) = (SocketTimeouts::default(), TickOrder::default());
        Ok(Self { dialect, listing, timeouts, order, wall, complained: false, rejected: 0 })
    }

    /// Sets the timeouts of the connection.
    #[must_use]
    pub fn with_timeouts(self, timeouts: SocketTimeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Returns the prices in a message.
    pub fn read(&self, message: &str) -> Vec<Tick> {
        let events = self.dialect.read(message, &self.listing, (self.wall)()).into_iter();
        events.filter_map(|event| if let Ok(WireEvent::Tick(tick)) = event { Some(tick) } else { None }).collect()
    }

    async fn listen(&mut self, mut socket: ProviderSocket, out: &SourceHandle) -> Result<Finished, SourceError> {
        let mut watch = QuietWatch::new(QUIET);
        loop {
            let Ok(message) = timeout_at(watch.deadline(), socket.next()).await else {
                watch.on_deadline(self.listing.is_open((self.wall)()), out)?;
                continue;
            };
            let ticks = self.process(&message?, out)?;
            if !ticks.is_empty() {
                out.ticks(ticks).await?;
                watch.on_price();
            }
        }
    }

    /// Returns the new prices of a message. One invalid price does not affect the others.
    fn process(&mut self, message: &str, out: &SourceHandle) -> Result<Vec<Tick>, SourceError> {
        if message.len() > MAX_MESSAGE {
            out.rejected("oversized");
            return Ok(Vec::new());
        }
        let mut ticks = Vec::new();
        for event in self.dialect.read(message, &self.listing, (self.wall)()) {
            match event {
                Ok(WireEvent::Tick(tick)) => match self.order.check(&tick) {
                    Ok(()) => ticks.push(tick),
                    Err(reason) => out.rejected(reason.reason()),
                },
                Ok(WireEvent::Subscribed) => out.live(),
                Ok(WireEvent::Rejected(words)) => self.on_rejection(&words)?,
                Ok(WireEvent::Other) => {}
                Ok(WireEvent::End(error)) => return Err(error),
                Err(why) => {
                    out.rejected("malformed");
                    if !std::mem::replace(&mut self.complained, true) {
                        tracing::warn!(source = D::NAME, %why, "a message is invalid; it is skipped, and later ones are skipped without a log line");
                    }
                }
            }
        }
        Ok(ticks)
    }

    /// Notes that the provider has rejected a subscription; an error when it has rejected all of them.
    fn on_rejection(&mut self, words: &str) -> Result<(), SourceError> {
        let words = net::words(words, self.dialect.secret());
        tracing::warn!(source = D::NAME, words, "the provider rejected a subscription");
        self.rejected += 1;
        if self.rejected < self.listing.names().len() {
            return Ok(());
        }
        Err(SourceError::refused(format!(
            "the provider has none of the instruments that are asked for ({words}): check {}.instruments",
            D::NAME
        )))
    }
}

impl<D: Dialect> Source for StreamSource<D> {
    fn name(&self) -> SourceName {
        self.listing.source().clone()
    }

    fn feed(&self) -> Feed {
        self.listing.feed()
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        let names = self.listing.names();
        let (address, now) = (self.dialect.address(names), (self.wall)());
        let headers = self.dialect.headers();
        let mut socket = ProviderSocket::open(&address, &headers, self.timeouts, (now, D::ADVICE)).await?;
        let messages = self.dialect.subscribe(names);
        if messages.is_empty() {
            out.live();
        }
        for message in messages {
            socket.send(message).await?;
        }
        if let Some((interval, message)) = D::KEEP_ALIVE {
            socket.keep_alive(interval, message);
        }
        (self.complained, self.rejected) = (false, 0);
        self.listen(socket, out).await
    }
}

/// Notices a connection that brings no prices in trading hours: it is stalled at first, and then reopened.
#[derive(Debug)]
pub(super) struct QuietWatch {
    quiet: Duration,
    priced: Instant,
    stalled: bool,
}

impl QuietWatch {
    /// Starts now. Without a price for `quiet` the source is stalled.
    pub(super) fn new(quiet: Duration) -> Self {
        Self { quiet, priced: Instant::now(), stalled: false }
    }

    /// Notes a price.
    pub(super) fn on_price(&mut self) {
        (self.priced, self.stalled) = (Instant::now(), false);
    }

    /// Returns when [`on_deadline`](Self::on_deadline) has to be called.
    pub(super) fn deadline(&self) -> Instant {
        self.priced + if self.stalled { RECONNECT_AFTER_QUIET * self.quiet } else { self.quiet }
    }

    /// Decides what a silence means. The time in which the markets are closed does not count.
    pub(super) fn on_deadline(&mut self, is_open: bool, out: &SourceHandle) -> Result<(), SourceError> {
        if !is_open {
            self.on_price();
        } else if std::mem::replace(&mut self.stalled, true) {
            return Err(SourceError::transient("connected, but without prices in trading hours"));
        } else {
            out.stalled();
        }
        Ok(())
    }
}
