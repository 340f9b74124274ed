//! The sources that read prices from one WebSocket. A provider's own code says what is sent and what a message means
//! ([`Dialect`]); connecting, keeping alive, counting, and noticing a mute connection are the same for all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::listing::{Listing, ReadEvent, WireEvent};
use super::websocket::{ProviderSocket, SocketTimeouts};
use super::{Finished, Launcher, OptionsError, Source, SourceError, SourceHandle, net};
use crate::config::Secret;
use crate::domain::{Feed, Instruments, SourceName, Tick, TickOrder, WallClock};

/// Without a price for this long in trading hours, a source is stalled.
pub(super) const QUIET: Duration = Duration::from_mins(2);
/// A connection without prices in trading hours is reopened after this multiple of [`QUIET`].
const RECONNECT_AFTER_QUIET: u32 = 4;
/// A longer message is counted and dropped unread, in bytes.
const MAX_MESSAGE: usize = 1 << 20;

/// What a provider is asked, and what it answers, over a WebSocket or by HTTP. Pure.
pub trait Dialect: Send + Sync + 'static {
    /// The name of the source on the wire.
    const NAME: &'static str;
    /// What the operator can do when the provider refuses.
    const ADVICE: &'static str;
    /// Whether the provider confirms a subscription. Else the source is live as soon as it is connected.
    const CONFIRMS: bool = true;

    /// Returns the type of feed.
    fn feed(&self) -> Feed {
        Feed::Live
    }

    /// Returns the address to connect to, or to ask.
    fn address(&self, names: &[String]) -> String;

    /// Returns the headers of the request, beside those of every request.
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    /// Returns the messages that subscribe to these instruments; none when the address does.
    fn subscribe(&self, _names: &[String]) -> Vec<String> {
        Vec::new()
    }

    /// Returns a message that the provider wants at an interval.
    fn keep_alive(&self) -> Option<(Duration, String)> {
        None
    }

    /// Returns what a message or an answer says. `received_at` is the time of a price that has none.
    fn read(&self, message: &str, listing: &Listing, received_at: DateTime<Utc>) -> Vec<ReadEvent>;

    /// Returns the key, which must not be repeated in a text.
    fn secret(&self) -> Option<&Secret> {
        None
    }
}

/// Starts a source that reads prices from a WebSocket.
///
/// # Errors
/// [`OptionsError`].
pub(super) fn start<D: Dialect>(dialect: D, names: &[String], launcher: &Launcher) -> Result<(), OptionsError> {
    launcher.spawn(D::NAME, StreamSource::new(dialect, names, &launcher.instruments, launcher.wall.clone())?);
    Ok(())
}

/// A source that reads prices from one WebSocket.
#[derive(Debug)]
pub struct StreamSource<D> {
    reader: WireReader<D>,
    timeouts: SocketTimeouts,
}

impl<D: Dialect> StreamSource<D> {
    /// Creates a source that is not connected yet.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(dialect: D, names: &[String], catalogue: &Instruments, wall: WallClock) -> Result<Self, OptionsError> {
        let reader = WireReader::new(dialect, names, catalogue, wall)?;
        Ok(Self { reader, timeouts: SocketTimeouts::default() })
    }

    /// Sets the timeouts of the connection.
    #[must_use]
    pub fn with_timeouts(self, timeouts: SocketTimeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Returns the prices in a message.
    pub fn read(&self, message: &str) -> Vec<Tick> {
        let WireReader { dialect, listing, wall, .. } = &self.reader;
        let events = dialect.read(message, listing, wall()).into_iter();
        events.filter_map(|event| if let Ok(WireEvent::Tick(tick)) = event { Some(tick) } else { None }).collect()
    }

    async fn connect(&self) -> Result<ProviderSocket, SourceError> {
        let WireReader { dialect, listing, wall, .. } = &self.reader;
        let names = listing.names();
        let (address, headers) = (dialect.address(names), dialect.headers());
        let mut socket = ProviderSocket::open(&address, &headers, self.timeouts, (wall(), D::ADVICE)).await?;
        for message in dialect.subscribe(names) {
            socket.send(message).await?;
        }
        if let Some((interval, message)) = dialect.keep_alive() {
            socket.keep_alive(interval, message);
        }
        Ok(socket)
    }
}

impl<D: Dialect> Source for StreamSource<D> {
    fn name(&self) -> SourceName {
        self.reader.listing.source().clone()
    }

    fn feed(&self) -> Feed {
        self.reader.listing.feed()
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        let mut socket = self.connect().await?;
        self.reader.begin(out);
        if !D::CONFIRMS {
            self.reader.on_connected(out);
        }
        let mut watch = QuietWatch::new(QUIET);
        loop {
            let Ok(message) = timeout_at(watch.deadline(), socket.next()).await else {
                watch.on_deadline(self.reader.expects_prices(), out)?;
                continue;
            };
            let ticks = self.reader.process(&message?, out)?;
            if !ticks.is_empty() {
                out.ticks(ticks).await?;
                watch.on_price();
            }
        }
    }
}

/// Turns a provider's messages into new ticks.
pub(super) struct WireReader<D> {
    pub(super) dialect: D,
    pub(super) listing: Listing,
    pub(super) wall: WallClock,
    order: TickOrder,
    complained: bool,
    /// Rejected subscriptions of this connection.
    rejected: usize,
    /// Whether this connection has brought a price, or confirmed a subscription.
    serves: bool,
}

impl<D> std::fmt::Debug for WireReader<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireReader").field("listing", &self.listing).finish_non_exhaustive()
    }
}

impl<D: Dialect> WireReader<D> {
    pub(super) fn new(
        dialect: D,
        names: &[String],
        catalogue: &Instruments,
        wall: WallClock,
    ) -> Result<Self, OptionsError> {
        let listing = Listing::new((D::NAME, dialect.feed()), names, catalogue)?;
        Ok(Self { dialect, listing, wall, order: TickOrder::default(), complained: false, rejected: 0, serves: false })
    }

    /// Begins a connection.
    pub(super) fn begin(&mut self, out: &SourceHandle) {
        (self.complained, self.rejected, self.serves) = (false, 0, false);
        if self.listing.feed() == Feed::Delayed {
            out.delayed();
        }
    }

    /// Marks the source as connected.
    pub(super) fn on_connected(&self, out: &SourceHandle) {
        if self.listing.feed() == Feed::Delayed { out.delayed() } else { out.live() }
    }

    /// Returns whether prices should arrive now.
    pub(super) fn expects_prices(&self) -> bool {
        self.listing.is_open((self.wall)())
    }

    /// Returns the new ticks of a message. One invalid price does not affect the others.
    pub(super) fn process(&mut self, message: &str, out: &SourceHandle) -> Result<Vec<Tick>, SourceError> {
        if message.len() > MAX_MESSAGE {
            out.rejected("oversized");
            return Ok(Vec::new());
        }
        let mut ticks = Vec::new();
        for event in self.dialect.read(message, &self.listing, (self.wall)()) {
            match event {
                Ok(WireEvent::Tick(tick)) => match self.order.check(&tick) {
                    Ok(()) => {
                        self.serves = true;
                        ticks.push(tick);
                    }
                    Err(reason) => out.rejected(reason.reason()),
                },
                Ok(WireEvent::Subscribed) => {
                    self.serves = true;
                    self.on_connected(out);
                }
                Ok(WireEvent::Rejected(words)) => self.on_rejection(&words)?,
                Ok(WireEvent::Complaint(words)) => {
                    out.rejected("refused");
                    if !std::mem::replace(&mut self.complained, true) {
                        let words = self.words(&words);
                        tracing::warn!(
                            source = D::NAME,
                            words,
                            "the provider reports an error; later ones are counted without a log line"
                        );
                    }
                }
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

    /// Returns the provider's words without the key.
    fn words(&self, words: &str) -> String {
        net::words(words, self.dialect.secret().map_or("", Secret::reveal))
    }

    /// Notes that the provider has rejected a subscription; an error when it has rejected all of them, and serves none.
    fn on_rejection(&mut self, words: &str) -> Result<(), SourceError> {
        let words = self.words(words);
        tracing::warn!(source = D::NAME, words, "the provider rejected a subscription");
        self.rejected += 1;
        if self.serves || self.rejected < self.listing.names().len() {
            return Ok(());
        }
        Err(SourceError::refused(format!(
            "the provider has none of the instruments that are asked for ({words}): check {}.instruments",
            D::NAME
        )))
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
