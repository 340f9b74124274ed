//! The connection to Massive, from authentication to prices.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc, Weekday};
use chrono_tz::America::New_York;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::messages::Action;
use super::parse::{self, Element, MalformedElement, Status, Subscriptions};
use crate::config::Secret;
use crate::domain::{Feed, Instruments, SourceName, Tick, TickOrder, WallClock};
use crate::sources::net::{self, NetError};
use crate::sources::streaming::QuietWatch;
use crate::sources::websocket::{ProviderSocket, SocketTimeouts};
use crate::sources::{Finished, OptionsError, Source, SourceError, SourceHandle, subscriptions};

/// Time limit for the answer to the key.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);

/// The type of market data of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cluster {
    /// Currency pairs and metals: quotes.
    Forex,
    /// Cash indices: values, from 09:30 to 16:00 in New York.
    Indices,
}

impl Cluster {
    /// Returns the source's name on the wire.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Forex => "massive",
            Self::Indices => "massive_indices",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Forex => "forex",
            Self::Indices => "indices",
        }
    }

    /// Returns the name in Massive's events: `EUR/USD` for `C:EURUSD`, `EUR-USD` or `EUR/USD`; `I:SPX`.
    fn name(self, instrument: &str) -> Option<String> {
        match self {
            Self::Indices => instrument.starts_with("I:").then(|| instrument.to_owned()),
            Self::Forex => {
                let bare = instrument.strip_prefix("C:").unwrap_or(instrument).replace(['/', '-'], "");
                let pair = bare.len() == 6 && bare.bytes().all(|b| b.is_ascii_uppercase());
                pair.then(|| format!("{}/{}", &bare[..3], &bare[3..]))
            }
        }
    }

    fn channel(self, name: &str) -> String {
        match self {
            Self::Forex => format!("C.{name}"),
            Self::Indices => format!("V.{name}"),
        }
    }
}

/// Options of the source.
#[derive(Debug, Clone)]
pub struct Options {
    /// Base address, such as `wss://socket.massive.com`, without a trailing `/`.
    pub url: String,
    /// The type of market data.
    pub cluster: Cluster,
    /// The API key.
    pub key: Secret,
    /// The instruments to subscribe to, by Massive's names, such as `C:EURUSD`.
    pub instruments: Vec<String>,
    /// Whether the plan's prices are delayed.
    pub delayed: bool,
    /// Time limit for the confirmation of a subscription.
    pub confirm: Duration,
    /// Timeouts of the connection: Massive drops connections every night without closing them.
    pub timeouts: SocketTimeouts,
    /// Without a price for this long in trading hours, the source is stalled.
    pub quiet: Duration,
}

impl Options {
    /// Returns the default timeouts, without instruments.
    pub fn new(url: impl Into<String>, cluster: Cluster, key: Secret) -> Self {
        Self {
            url: url.into(),
            cluster,
            key,
            instruments: Vec::new(),
            delayed: false,
            confirm: Duration::from_secs(5),
            timeouts: SocketTimeouts::default(),
            quiet: Duration::from_mins(2),
        }
    }
}

/// The sources `massive` and `massive_indices`.
pub struct Massive {
    options: Options,
    address: String,
    /// In the order of the settings.
    channels: Vec<String>,
    names: Subscriptions,
    order: TickOrder,
    wall: WallClock,
    source: SourceName,
    complained: bool,
}

impl std::fmt::Debug for Massive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Massive").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Massive {
    /// Creates a source that is not connected yet.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(options: Options, catalogue: &Instruments, wall: WallClock) -> Result<Self, OptionsError> {
        let cluster = options.cluster;
        let (mut names, mut channels) = (Subscriptions::new(), Vec::new());
        for (name, instrument) in subscriptions(cluster.source(), &options.instruments, catalogue)? {
            let Some(name) = cluster.name(&name) else {
                tracing::warn!(
                    source = cluster.source(),
                    name,
                    "the instrument of this setting is not a name of this cluster; it is skipped"
                );
                continue;
            };
            channels.push(cluster.channel(&name));
            names.insert(name, instrument);
        }
        if names.is_empty() {
            return Err(OptionsError::NoInstrument(cluster.source()));
        }
        let address = format!("{}/{}", options.url, cluster.path());
        let (order, source) = (TickOrder::default(), SourceName::new(cluster.source()));
        Ok(Self { options, address, channels, names, order, wall, source, complained: false })
    }

    /// Returns the prices in a frame, without elements that are not prices.
    pub fn read(&self, frame: &str) -> Vec<Tick> {
        let element = parse::frame(frame, &self.names, self.feed(), &self.source);
        element
            .into_iter()
            .filter_map(|element| if let Ok(Element::Tick(tick)) = element { Some(tick) } else { None })
            .collect()
    }

    /// Sends the key and waits until it is accepted. Returns the remaining elements of that frame.
    async fn authenticate(
        &self,
        link: &mut ProviderSocket,
    ) -> Result<Vec<Result<Element, MalformedElement>>, SourceError> {
        let deadline = Instant::now() + AUTH_TIMEOUT;
        loop {
            let text = timeout_at(deadline, link.next()).await;
            let text = text.map_err(|_| SourceError::transient(NetError::Silent(AUTH_TIMEOUT)))??;
            let mut elements = parse::frame(&text, &self.names, self.feed(), &self.source).into_iter();
            while let Some(element) = elements.next() {
                let Ok(Element::Status(status, message)) = element else { continue };
                match status {
                    Status::Connected => link.send(action("auth", self.options.key.reveal())?).await?,
                    Status::Authenticated => return Ok(elements.collect()),
                    Status::Error { about_key: true } => self.check_status(Status::WrongKey, &message)?,
                    _ => self.check_status(status, &message)?,
                }
            }
        }
    }

    /// Returns an error for a status that ends the connection.
    fn check_status(&self, status: Status, message: &str) -> Result<(), SourceError> {
        let words = net::words(message, self.options.key.reveal());
        match status {
            Status::WrongKey => {
                let plan = self.plan_hint();
                Err(SourceError::refused(format!(
                    "the key is not accepted ({words}): {plan} Else check ORION_MASSIVE_KEY"
                )))
            }
            Status::InUse => Err(SourceError::refused(format!(
                "another program uses this key, or the plan has fewer connections ({words}): give each program a key of its \
                 own, then restart"
            ))),
            Status::NoKey => Err(SourceError::transient("the provider waited in vain for the key")),
            _ => Ok(()),
        }
    }

    /// Returns a hint about the plan: Massive rejects a valid key on the address for the other type of plan, with the
    /// same text as an invalid key.
    fn plan_hint(&self) -> &'static str {
        if self.options.delayed {
            "is the plan real-time? Then leave ORION_MASSIVE_DELAYED out."
        } else {
            "is the plan delayed? Then set ORION_MASSIVE_DELAYED=true."
        }
    }

    async fn listen(
        &mut self,
        mut link: ProviderSocket,
        first: Vec<Result<Element, MalformedElement>>,
        out: &SourceHandle,
    ) -> Result<Finished, SourceError> {
        let mut pending = PendingSubscriptions::new(&self.channels, self.options.confirm, self.plan_hint());
        let ticks = self.process(first, &mut pending, out)?;
        out.ticks(ticks).await?;
        let mut watch = QuietWatch::new(self.options.quiet);
        loop {
            if let Some(channel) = pending.next(&self.source) {
                link.send(action("subscribe", &channel)?).await?;
            }
            let until = pending.deadline().map_or(watch.deadline(), |at| at.min(watch.deadline()));
            let Ok(text) = timeout_at(until, link.next()).await else {
                if Instant::now() >= watch.deadline() {
                    watch.on_deadline(self.is_open((self.wall)()), out)?;
                }
                continue;
            };
            let elements = parse::frame(&text?, &self.names, self.feed(), &self.source);
            let ticks = self.process(elements, &mut pending, out)?;
            if !ticks.is_empty() {
                out.ticks(ticks).await?;
                watch.on_price();
            }
        }
    }

    /// Returns the ticks of a frame, and passes its answers to the pending subscriptions. An invalid element does not
    /// affect the others.
    fn process(
        &mut self,
        elements: Vec<Result<Element, MalformedElement>>,
        pending: &mut PendingSubscriptions,
        out: &SourceHandle,
    ) -> Result<Vec<Tick>, SourceError> {
        let mut ticks = Vec::new();
        for element in elements {
            match element {
                Ok(Element::Tick(tick)) => match self.order.check(&tick) {
                    Ok(()) => ticks.push(tick),
                    Err(reason) => out.rejected(reason.reason()),
                },
                Ok(Element::Status(status, message)) => {
                    self.check_status(status, &message)?;
                    match status {
                        Status::Success => pending.confirmed(&message),
                        Status::Error { .. } => {
                            let words = net::words(&message, self.options.key.reveal());
                            tracing::warn!(source = %self.source, channel = pending.channel(), words, "the provider rejected the subscription");
                            pending.refused()?;
                        }
                        _ => {}
                    }
                }
                Ok(Element::Other) => {}
                Err(why) => {
                    out.rejected("malformed");
                    if !std::mem::replace(&mut self.complained, true) {
                        tracing::warn!(source = %self.source, %why, "an event is invalid; it is skipped, and later ones are skipped without a log line");
                    }
                }
            }
        }
        Ok(ticks)
    }

    /// Returns whether prices should arrive now. Cash indices have shorter hours than the contracts of the same name.
    fn is_open(&self, now: DateTime<Utc>) -> bool {
        match self.options.cluster {
            Cluster::Forex => self.names.values().any(|instrument| instrument.session.is_open(now)),
            Cluster::Indices => {
                let local = now.with_timezone(&New_York);
                let minute = local.hour() * 60 + local.minute();
                !matches!(local.weekday(), Weekday::Sat | Weekday::Sun) && (9 * 60 + 30..16 * 60).contains(&minute)
            }
        }
    }
}

impl Source for Massive {
    fn name(&self) -> SourceName {
        self.source.clone()
    }

    fn feed(&self) -> Feed {
        if self.options.delayed { Feed::Delayed } else { Feed::Live }
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        let asked = ((self.wall)(), "check ORION_MASSIVE_KEY and massive.url");
        let mut link = ProviderSocket::open(&self.address, &HeaderMap::new(), self.options.timeouts, asked).await?;
        let first = self.authenticate(&mut link).await?;
        if self.options.delayed {
            out.delayed();
        } else {
            out.live();
        }
        self.complained = false;
        self.listen(link, first, out).await
    }
}

fn action(action: &'static str, params: &str) -> Result<String, SourceError> {
    serde_json::to_string(&Action { action, params }).map_err(SourceError::transient)
}

/// The channels to subscribe to, one at a time.
#[derive(Debug)]
struct PendingSubscriptions {
    left: VecDeque<String>,
    asked: Option<(String, Instant)>,
    confirm: Duration,
    /// Whether at least one channel was not rejected.
    any: bool,
    /// A hint about the plan, for the error when all channels were rejected.
    plan_hint: &'static str,
}

impl PendingSubscriptions {
    fn new(channels: &[String], confirm: Duration, plan_hint: &'static str) -> Self {
        Self { left: channels.to_vec().into(), asked: None, confirm, any: false, plan_hint }
    }

    /// Returns the next channel to subscribe to, once the previous one is answered or timed out.
    fn next(&mut self, source: &SourceName) -> Option<String> {
        let now = Instant::now();
        if let Some((channel, until)) = &self.asked {
            if now < *until {
                return None;
            }
            tracing::warn!(%source, channel, "the provider did not confirm the subscription; it may not know this instrument");
            self.any = true;
        }
        let channel = self.left.pop_front();
        self.asked = channel.clone().map(|channel| (channel, now + self.confirm));
        channel
    }

    fn deadline(&self) -> Option<Instant> {
        self.asked.as_ref().map(|(_, until)| *until)
    }

    fn channel(&self) -> Option<&str> {
        self.asked.as_ref().map(|(channel, _)| channel.as_str())
    }

    fn confirmed(&mut self, message: &str) {
        // `EUR-USD` is confirmed as `EUR/USD`.
        if self.channel().is_some_and(|channel| message.trim_end().replace('-', "/").ends_with(channel)) {
            (self.asked, self.any) = (None, true);
        }
    }

    fn refused(&mut self) -> Result<(), SourceError> {
        if self.asked.take().is_some() && self.left.is_empty() && !self.any {
            return Err(SourceError::refused(format!(
                "the plan of this key has none of the instruments that are asked for: {} Else check massive.instruments and \
                 massive.indices against the plan",
                self.plan_hint
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
