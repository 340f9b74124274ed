//! Massive's (formerly Polygon's) WebSocket: currency pairs with bid and ask, and, where they are asked for, the values of
//! cash indices. Each cluster is a source with a connection of its own: more than one for each key and cluster Massive does
//! not allow, and it closes the *older* one. Two programs with one key would take the connection from each other for ever:
//! whoever is told so stops.
//!
//! Subscriptions are confirmed one by one, because a refusal does not say what it refuses, and an unknown channel gets no
//! answer at all. Frames are handed to the pipeline's bounded channel as they come; while that is full the connection is not
//! read, and Massive may close it.

mod link;
mod messages;
mod parse;

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc, Weekday};
use chrono_tz::America::New_York;
use tokio::time::{Instant, timeout_at};

use self::link::Link;
use self::parse::{Heard, Malformed, Names};
use super::net::{self, NetError};
use super::order::Order;
use super::{Finished, OptionsError, Source, SourceError, SourceHandle, WallClock, subscriptions};
use crate::config::Secret;
use crate::domain::{Feed, Instruments, SourceName, Tick};

/// Longest wait for an answer to the key.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection without prices in trading hours is opened again after so many times [`Options::quiet`].
const GIVE_UP: u32 = 4;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cluster {
    /// Currency pairs and metals: quotes.
    Forex,
    /// Cash indices: values, from 09:30 to 16:00 in New York.
    Indices,
}

impl Cluster {
    /// The name of its source on the wire.
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

    /// The name in Massive's events: `EUR/USD` for `C:EURUSD`, `EUR-USD` or `EUR/USD`; `I:SPX`.
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

/// What the source is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is, such as `wss://socket.massive.com`; no `/` at its end.
    pub url: String,
    /// What the connection is for.
    pub cluster: Cluster,
    /// The API key.
    pub key: Secret,
    /// What is subscribed to, by Massive's names, such as `C:EURUSD`.
    pub instruments: Vec<String>,
    /// Whether the plan's prices come late.
    pub delayed: bool,
    /// How long a subscription may stay without an answer.
    pub confirm: Duration,
    /// A connection that says nothing for this long is pinged.
    pub ping_after: Duration,
    /// One that says nothing for this long after a ping is dead.
    pub silence: Duration,
    /// Without a price for this long in trading hours the source is stalled.
    pub quiet: Duration,
}

impl Options {
    /// The usual waits; no instrument yet.
    pub fn new(url: impl Into<String>, cluster: Cluster, key: Secret) -> Self {
        Self {
            url: url.into(),
            cluster,
            key,
            instruments: Vec::new(),
            delayed: false,
            confirm: Duration::from_secs(5),
            ping_after: Duration::from_secs(20),
            silence: Duration::from_secs(10),
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
    names: Names,
    order: Order,
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
    /// A source that has not connected yet.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(options: Options, catalogue: &Instruments, wall: WallClock) -> Result<Self, OptionsError> {
        let cluster = options.cluster;
        let (mut names, mut channels) = (Names::new(), Vec::new());
        for (name, instrument) in subscriptions(cluster.source(), &options.instruments, catalogue)? {
            let Some(name) = cluster.name(&name) else {
                tracing::warn!(source = cluster.source(), name, "is no name of this cluster; it is left out");
                continue;
            };
            channels.push(cluster.channel(&name));
            names.insert(name, instrument);
        }
        if names.is_empty() {
            return Err(OptionsError::NoInstrument(cluster.source()));
        }
        let address = format!("{}/{}", options.url, cluster.path());
        let (order, source) = (Order::default(), SourceName::new(cluster.source()));
        Ok(Self { options, address, channels, names, order, wall, source, complained: false })
    }

    /// The prices in a frame; what is none is left out.
    pub fn read(&self, frame: &str) -> Vec<Tick> {
        let heard = parse::frame(frame, &self.names, self.feed(), &self.source);
        heard
            .into_iter()
            .filter_map(|heard| if let Ok(Heard::Tick(tick)) = heard { Some(tick) } else { None })
            .collect()
    }

    /// From the first word to the accepted key; what else came in the same frame.
    async fn greet(&self, link: &mut Link) -> Result<Vec<Result<Heard, Malformed>>, SourceError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = timeout_at(deadline, link.next()).await;
            let text = text.map_err(|_| SourceError::transient(NetError::Silent(PATIENCE)))??;
            let mut elements = parse::frame(&text, &self.names, self.feed(), &self.source).into_iter();
            while let Some(heard) = elements.next() {
                let Ok(Heard::Status(status, message)) = heard else { continue };
                match status.as_str() {
                    "connected" => link.say("auth", self.options.key.reveal()).await?,
                    "auth_success" => return Ok(elements.collect()),
                    "success" if message.trim().eq_ignore_ascii_case("authenticated") => return Ok(elements.collect()),
                    "error" if message.to_ascii_lowercase().contains("authenticat") => {
                        self.mind("auth_failed", &message)?;
                    }
                    _ => self.mind(&status, &message)?,
                }
            }
        }
    }

    /// What ends a connection.
    fn mind(&self, status: &str, message: &str) -> Result<(), SourceError> {
        let words = net::words(message, self.options.key.reveal());
        match status {
            "auth_failed" => {
                let plan = self.plan_hint();
                Err(SourceError::refused(format!(
                    "the key is not accepted ({words}): {plan} Else check ORION_MASSIVE_KEY"
                )))
            }
            "max_connections" => Err(SourceError::refused(format!(
                "another program uses this key, or the plan has fewer connections ({words}): give each program a key of its \
                 own, then restart"
            ))),
            "auth_timeout" => Err(SourceError::transient("the provider waited in vain for the key")),
            _ => Ok(()),
        }
    }

    /// Massive refuses the key of a plan on the address of the other kind of plans, in the same words as a wrong key.
    fn plan_hint(&self) -> &'static str {
        if self.options.delayed {
            "is the plan real-time? Then leave ORION_MASSIVE_DELAYED out."
        } else {
            "is the plan delayed? Then set ORION_MASSIVE_DELAYED=true."
        }
    }

    async fn listen(
        &mut self,
        mut link: Link,
        first: Vec<Result<Heard, Malformed>>,
        out: &SourceHandle,
    ) -> Result<Finished, SourceError> {
        let mut asking = Asking::new(&self.channels, self.options.confirm, self.plan_hint());
        let ticks = self.take(first, &mut asking, out)?;
        out.ticks(ticks).await?;
        let mut priced = Instant::now();
        let mut stalled = false;
        loop {
            if let Some(channel) = asking.next(&self.source) {
                link.say("subscribe", &channel).await?;
            }
            let quiet = priced + if stalled { GIVE_UP * self.options.quiet } else { self.options.quiet };
            let until = asking.deadline().map_or(quiet, |at| at.min(quiet));
            let Ok(text) = timeout_at(until, link.next()).await else {
                if Instant::now() < quiet {
                    continue;
                }
                if !self.is_open((self.wall)()) {
                    (priced, stalled) = (Instant::now(), false);
                } else if std::mem::replace(&mut stalled, true) {
                    return Err(SourceError::transient("connected, but without prices in trading hours"));
                } else {
                    out.stalled();
                }
                continue;
            };
            let elements = parse::frame(&text?, &self.names, self.feed(), &self.source);
            let ticks = self.take(elements, &mut asking, out)?;
            if !ticks.is_empty() {
                out.ticks(ticks).await?;
                (priced, stalled) = (Instant::now(), false);
            }
        }
    }

    /// The ticks of a frame; answers in it go to whom they concern. Each element is judged by itself.
    fn take(
        &mut self,
        elements: Vec<Result<Heard, Malformed>>,
        asking: &mut Asking,
        out: &SourceHandle,
    ) -> Result<Vec<Tick>, SourceError> {
        let mut ticks = Vec::new();
        for heard in elements {
            match heard {
                Ok(Heard::Tick(tick)) => match self.order.check(&tick) {
                    Ok(()) => ticks.push(tick),
                    Err(superfluous) => out.rejected(superfluous.reason()),
                },
                Ok(Heard::Status(status, message)) => {
                    self.mind(&status, &message)?;
                    match status.as_str() {
                        "success" => asking.confirmed(&message),
                        "error" => {
                            let words = net::words(&message, self.options.key.reveal());
                            tracing::warn!(source = %self.source, channel = asking.channel(), words, "the provider refuses");
                            asking.refused()?;
                        }
                        _ => {}
                    }
                }
                Ok(Heard::Other) => {}
                Err(why) => {
                    out.rejected("malformed");
                    if !std::mem::replace(&mut self.complained, true) {
                        tracing::warn!(source = %self.source, %why, "an event cannot be used; it is left out, as others like it");
                    }
                }
            }
        }
        Ok(ticks)
    }

    /// Whether prices ought to come. Cash indices have shorter hours than the contracts of the same name.
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
        let waits = (self.options.ping_after, self.options.silence);
        let mut link = Link::open(&self.address, waits, (self.wall)()).await?;
        let first = self.greet(&mut link).await?;
        if self.options.delayed {
            out.delayed();
        } else {
            out.live();
        }
        self.complained = false;
        self.listen(link, first, out).await
    }
}

/// Subscribing, one channel at a time.
#[derive(Debug)]
struct Asking {
    left: VecDeque<String>,
    asked: Option<(String, Instant)>,
    confirm: Duration,
    /// Whether any channel was not refused.
    any: bool,
    /// What may be wrong with the plan when all were refused.
    plan_hint: &'static str,
}

impl Asking {
    fn new(channels: &[String], confirm: Duration, plan_hint: &'static str) -> Self {
        Self { left: channels.to_vec().into(), asked: None, confirm, any: false, plan_hint }
    }

    /// The channel to ask for now, if the one before is settled.
    fn next(&mut self, source: &SourceName) -> Option<String> {
        let now = Instant::now();
        if let Some((channel, until)) = &self.asked {
            if now < *until {
                return None;
            }
            tracing::warn!(%source, channel, "the provider does not confirm; it may not know this instrument");
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
        // `EUR-USD` may be asked for, but comes back as `EUR/USD`.
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
mod tests;
