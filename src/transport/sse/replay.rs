//! The history of a span of time as a stream: what the log has, at the speed that the client asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::market::closing;
use super::{EventSender, SseConnection};
use crate::domain::number::{difference, number};
use crate::domain::{
    Bar, BarInterval, Killzone, PROTOCOL, PriceUpdate, Quality, SignalFilter, SourceName, Symbol, iso,
};
use crate::store::{StoreError, Timeline, TimelineEntry};
use crate::transport::command::SubscriptionRequest;
use crate::transport::connection_guard::ConnectionEnd;
use crate::transport::messages::{BarObject, KillzoneObject, PriceObject, SignalObject, encode};
use crate::transport::resume::{self, Gone};

/// The source of replayed prices on the wire: the log does not say where the prices of a bar came from.
const SOURCE: &str = "replay";

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct ReplayRequest {
    /// The channels, symbols and filters.
    pub(crate) subscription: SubscriptionRequest,
    /// The state at this time comes first, then what came after it.
    pub(crate) from: DateTime<Utc>,
    /// The end, inclusive.
    pub(crate) to: DateTime<Utc>,
    /// How many times as fast as it was.
    pub(crate) speed: f64,
}

/// When the moments of a replay are due.
#[derive(Debug, Clone, Copy)]
struct HistoryPace {
    from: DateTime<Utc>,
    speed: f64,
    began: Instant,
}

impl HistoryPace {
    /// Returns when `at` is due; the beginning for what is earlier.
    fn due(&self, at: DateTime<Utc>) -> Instant {
        self.began + scaled(at - self.from, self.speed)
    }
}

/// Returns how long a span takes at a speed.
fn scaled(span: TimeDelta, speed: f64) -> Duration {
    Duration::try_from_secs_f64(span.as_seconds_f64() / speed).unwrap_or_default()
}

/// A message of a replay.
#[derive(Debug, Serialize)]
struct ReplayMessage<T> {
    #[serde(flatten)]
    message: T,
    /// The minute of a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    bar: Option<BarObject>,
    replayed: bool,
}

/// The end of the state, and the beginning of what came after it.
#[derive(Debug, Serialize)]
struct ReplayStart {
    from: String,
    to: String,
    #[serde(serialize_with = "number")]
    speed: f64,
    channels: Vec<&'static str>,
    symbols: Option<Vec<Symbol>>,
    protocol: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    filters: Option<Arc<SignalFilter>>,
}

/// The end of a replay.
#[derive(Debug, Serialize)]
struct ReplayEnd {
    to: String,
}

/// Why a replay ends early.
#[derive(Debug)]
enum ReplayFailure {
    Gone,
    Unreadable(StoreError),
}

impl From<Gone> for ReplayFailure {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<StoreError> for ReplayFailure {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(error)
    }
}

/// One client's replay.
#[derive(Debug)]
pub(crate) struct ReplayStream {
    connection: SseConnection,
    request: ReplayRequest,
    events: EventSender,
}

impl ReplayStream {
    /// Plays a span until its end, or until the client leaves or the server ends it.
    pub(crate) async fn serve(connection: SseConnection, request: ReplayRequest, events: EventSender) {
        let identity = connection.guard.identity();
        let stream = Self { connection, request, events };
        identity.run(stream.run()).await;
    }

    async fn run(self) {
        let ended = tokio::select! {
            played = self.play() => Ok(played),
            close = self.connection.ended() => Err(close),
        };
        match ended {
            // A stream that ends without `replay_end` was interrupted.
            Ok(Err(ReplayFailure::Unreadable(error))) => resume::log_unreadable(&error),
            Ok(Ok(()) | Err(ReplayFailure::Gone)) => {}
            Err(close) => {
                self.connection.guard.ended(ConnectionEnd::Closed(close));
                // A client that is gone needs no answer.
                self.events.send(closing(close)).await.ok();
            }
        }
    }

    async fn play(&self) -> Result<(), ReplayFailure> {
        let ReplayRequest { subscription, from, to, speed } = &self.request;
        let (from, to, log) = (*from, *to, &self.connection.gateway.log);
        let mut prices = BTreeMap::new();
        let mut state = Timeline::state_at(log.clone(), from);
        while let Some((_, entry)) = state.next().await? {
            self.send(self.message(entry, &mut prices), None).await?;
        }
        self.send(Some(self.start()), Some(from)).await?;
        let clock = |at| Some(event("killzone", KillzoneObject::at(at)));
        if subscription.topics.clock {
            self.send(clock(from), Some(from)).await?;
        }
        let pace = HistoryPace { from, speed: *speed, began: Instant::now() };
        let mut change = Killzone::next_change(from);
        let mut timeline = Timeline::between(log.clone(), from, to);
        loop {
            let next = timeline.next().await?;
            let at = next.as_ref().map_or(to, |(at, _)| *at);
            while subscription.topics.clock && change <= at {
                sleep_until(pace.due(change)).await;
                self.send(clock(change), Some(change)).await?;
                change = Killzone::next_change(change);
            }
            let Some((_, entry)) = next else { break };
            if let Some(message) = self.message(entry, &mut prices) {
                sleep_until(pace.due(at)).await;
                self.send(Some(message), Some(at)).await?;
            }
        }
        sleep_until(pace.due(to)).await;
        Ok(self.send(Some(event("replay_end", ReplayEnd { to: iso(to) })), Some(to)).await?)
    }

    /// Sends a message. Its id is its time, from which the client can go on.
    async fn send(&self, message: Option<Event>, at: Option<DateTime<Utc>>) -> Result<(), Gone> {
        let Some(message) = message else { return Ok(()) };
        self.connection.gateway.metrics.deliveries_total.with_label_values(&["replayed", "sse"]).inc();
        self.events.send(at.map(iso).into_iter().fold(message, Event::id)).await
    }

    fn start(&self) -> Event {
        let ReplayRequest { subscription, from, to, speed } = &self.request;
        event(
            "replay_start",
            ReplayStart {
                from: iso(*from),
                to: iso(*to),
                speed: *speed,
                channels: subscription.channels(),
                symbols: subscription.symbol_list(),
                protocol: PROTOCOL,
                filters: subscription.filters(),
            },
        )
    }

    /// Returns the message of an entry; `None` if the client did not ask for it.
    fn message(&self, entry: TimelineEntry, prices: &mut BTreeMap<Symbol, f64>) -> Option<Event> {
        let topics = &self.request.subscription.topics;
        match entry {
            TimelineEntry::Minute(bar) if topics.prices.contains(&bar.symbol) => {
                let before = prices.insert(bar.symbol.clone(), bar.close).unwrap_or(bar.close);
                let price = price(&bar, before);
                Some(named("price_update", PriceObject::from(&price), Some(BarObject::from(&bar))))
            }
            TimelineEntry::Signal(signal) if topics.contain_signal(&signal) => {
                Some(event("signal", SignalObject::from(&*signal)))
            }
            TimelineEntry::Outcome(outcome) if topics.contain_outcome(&outcome) => Some(event("outcome", outcome)),
            _ => None,
        }
    }
}

/// Returns the last price of a minute, after `before`.
fn price(bar: &Bar, before: f64) -> PriceUpdate {
    let change = difference(bar.close, before);
    PriceUpdate {
        symbol: bar.symbol.clone(),
        price: bar.close,
        // The last moment of its minute.
        timestamp: bar.opened_at + BarInterval::OneMinute.length() - Duration::from_millis(1),
        change,
        change_percent: (change / before * 1e6).round() / 1e4 + 0.0,
        volume: Some(bar.volume).filter(|volume| *volume > 0.0),
        bid_ask: None,
        day: None,
        quality: if bar.simulated { Quality::Simulated } else { Quality::Replayed },
        source: SourceName::new(SOURCE),
    }
}

fn event(name: &str, message: impl Serialize) -> Event {
    named(name, message, None)
}

fn named(name: &str, message: impl Serialize, bar: Option<BarObject>) -> Event {
    Event::default().event(name).data(encode(&ReplayMessage { message, bar, replayed: true }).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    fn at(text: &str) -> DateTime<Utc> {
        parse_time(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_real_time_by_the_speed() {
        let pace = HistoryPace { from: at("2026-01-14T07:00:00Z"), speed: 30.0, began: Instant::now() };
        for (moment, millis) in [
            ("2026-01-14T07:00:00Z", 0),
            ("2026-01-14T07:00:30Z", 1_000),
            ("2026-01-14T07:01:00.015Z", 2_000),
            ("2026-01-14T08:00:00Z", 120_000),
            // A night without a price takes its time, too.
            ("2026-01-15T07:00:00Z", 2_880_000),
            ("2026-01-14T06:59:59Z", 0),
        ] {
            let waits = pace.due(at(moment)) - pace.began;
            assert_eq!(waits.as_millis(), millis, "{moment}");
        }
    }

    #[test]
    fn spans_are_scaled_exactly() {
        for (span, speed, expected) in [
            (TimeDelta::days(7), 1.0, Duration::from_hours(168)),
            (TimeDelta::days(1), 3_600.0, Duration::from_secs(24)),
            (TimeDelta::milliseconds(1), 3_600.0, Duration::from_nanos(277)),
            (TimeDelta::minutes(3), 1.5, Duration::from_mins(2)),
            (TimeDelta::zero(), 30.0, Duration::ZERO),
            (TimeDelta::seconds(-1), 30.0, Duration::ZERO),
        ] {
            let found = scaled(span, speed);
            assert!(found.abs_diff(expected) < Duration::from_micros(1), "{span} {speed}: {found:?}");
        }
    }

    #[test]
    fn a_minute_becomes_its_last_price() {
        let opened_at = at("2026-01-14T07:04:00Z");
        let mut bar = Bar::opening(Symbol::new("EURUSD"), opened_at, 1.085, 2.0);
        bar.update(1.0853, 0.0);
        let told = price(&bar, 1.085);
        assert_eq!((told.price, told.change, told.change_percent, told.volume), (1.0853, 0.0003, 0.0276, Some(2.0)));
        assert_eq!((iso(told.timestamp).as_str(), told.quality), ("2026-01-14T07:04:59.999Z", Quality::Replayed));
        let simulated = Bar { simulated: true, volume: 0.0, ..bar };
        let told = price(&simulated, 1.0853);
        assert_eq!((told.change_percent, told.volume, told.quality), (0.0, None, Quality::Simulated));
    }
}
