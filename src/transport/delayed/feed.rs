//! The task that publishes a delayed hub's events when they are old enough.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::backlog::{DelayBacklog, TimeSlot};
use crate::domain::{Delay, Event, MessageType, Now, Position, PriceUpdate, Quality};
use crate::hub::{Envelope, Hub};
use crate::store::{Cutoff, Reader, StoreError};
use crate::telemetry::LogLimit;

/// Number of entries read from the log at a time.
const PAGE: usize = 200;
/// Time until the next attempt while the log cannot be read.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The shortest and the longest time between two readings of the clock.
const STEP: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];

static UNREADABLE: LogLimit = LogLimit::new();

/// Returns a price as its delayed readers get it. What is not from a market in real time says so already.
pub(super) fn delayed(event: &Event) -> Event {
    match event {
        Event::Price(update) if update.quality == Quality::Live => {
            Event::Price(Arc::new(PriceUpdate { quality: Quality::Delayed, ..PriceUpdate::clone(update) }))
        }
        other => other.clone(),
    }
}

/// What the wall clock showed one delay ago, by the monotonic clock: a clock that is set forward shows nothing early.
#[derive(Debug)]
pub(super) struct PastClock {
    step: Duration,
    /// Readings, each with the instant at which it is one delay old.
    readings: VecDeque<(Instant, DateTime<Utc>)>,
}

impl PastClock {
    /// Returns a clock for which the wall clock was right until it shows `wall`.
    pub(super) fn new(delay: Delay, wall: DateTime<Utc>) -> Self {
        let (now, delay) = (Instant::now(), delay.duration());
        let step = (delay / 60).clamp(STEP[0], STEP[1]);
        let count = delay.as_millis().div_ceil(step.as_millis());
        let readings = (0..count as u32).map(|index| {
            let passed = step * index;
            (now + passed, wall - (delay.saturating_sub(passed)))
        });
        Self { step, readings: readings.collect() }
    }

    /// Adds a reading of the wall clock, and returns the time before which everything has been stored for one delay.
    pub(super) fn read(&mut self, now: Instant, wall: DateTime<Utc>, delay: Delay) -> Option<DateTime<Utc>> {
        self.readings.push_back((now + delay.duration(), wall));
        while self.readings.get(1).is_some_and(|(mature, _)| *mature <= now) {
            self.readings.pop_front();
        }
        let (mature, past) = self.readings.front()?;
        // What was stored since bears no earlier time than a reading, or the one before it.
        let step = TimeDelta::from_std(self.step).unwrap_or_default();
        let since = self.readings.iter().skip(1).map(|(_, wall)| *wall - step).min();
        (*mature <= now).then(|| since.map_or(*past, |since| since.min(*past)))
    }
}

/// Feeds a delayed hub.
#[derive(Debug)]
pub(super) struct DelayedFeed {
    pub(super) delay: Delay,
    pub(super) hub: Arc<Hub>,
    /// The whole log.
    pub(super) log: Reader,
    pub(super) cutoff: Arc<Cutoff>,
    pub(super) backlog: Arc<DelayBacklog>,
    pub(super) clock: fn() -> DateTime<Utc>,
    pub(super) past: PastClock,
    pub(super) message_type: fn(&str) -> Option<MessageType>,
    /// The number of the last ordered message that was published.
    pub(super) last_message: u64,
}

impl DelayedFeed {
    /// Publishes what becomes due, for ever.
    pub(super) async fn run(mut self) {
        let (started, mut tick) = (Instant::now(), Instant::now());
        loop {
            let next = self.backlog.next_due().map_or(tick, |due| due.min(tick));
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.backlog.woken() => continue,
            }
            let now = Instant::now();
            if tick <= now {
                tick = now + self.past.step;
                let wall = (self.clock)();
                if let Some(past) = self.past.read(now, wall, self.delay) {
                    self.cutoff.set_time(past);
                }
                self.hub.evict_expired(Now { wall: wall - self.delay.duration(), mono: started.elapsed() });
            }
            while let Some(slot) = self.backlog.pop_due(now) {
                self.publish(slot).await;
            }
        }
    }

    async fn publish(&mut self, slot: TimeSlot) {
        let TimeSlot { states, last: [last_signal, last_message], .. } = slot;
        let states = states.values().map(|event| Arc::new(Envelope::unplaced(delayed(event))));
        self.hub.publish(&states.collect::<Vec<_>>());
        self.publish_messages(last_message).await;
        self.publish_signals(last_signal).await;
    }

    async fn publish_messages(&mut self, last: u64) {
        while self.last_message < last {
            let after = self.last_message;
            let read = || self.log.messages_after(after, last, self.message_type);
            let messages = until_read(read).await;
            // What is not there any more was pruned.
            self.last_message = messages.last().map_or(last, |message| message.seq);
            let message = |message| Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message))));
            self.hub.publish(&messages.into_iter().map(message).collect::<Vec<_>>());
        }
    }

    async fn publish_signals(&self, last: u64) {
        loop {
            let Position { epoch, seq } = self.hub.position();
            if seq >= last {
                return;
            }
            let mut page = until_read(|| self.log.events_after(seq, PAGE)).await;
            page.retain(|(seq, _)| *seq <= last);
            let Some((end, _)) = page.last() else { return };
            self.cutoff.set_seq(*end);
            let signal = |(seq, signal)| {
                let position = Position { epoch: epoch.clone(), seq };
                Arc::new(Envelope::placed(Event::Signal(Arc::new(signal)), position))
            };
            self.hub.publish(&page.into_iter().map(signal).collect::<Vec<_>>());
        }
    }
}

/// Repeats a read of the log until it succeeds: whatever is delayed keeps its order.
async fn until_read<T, F>(read: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match read().await {
            Ok(read) => return read,
            Err(error) => {
                if let Some(suppressed) = UNREADABLE.admit() {
                    warn!(%error, suppressed, "cannot read the log for delayed readers: they wait");
                }
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    /// Runs a clock of a delay of 300 s for this many seconds, by the wall clock that `shown` makes of the seconds passed.
    async fn run(seconds: i64, shown: impl Fn(i64) -> i64) -> (i64, i64) {
        let start = parse_time("2026-01-15T07:00:00Z").unwrap();
        let (delay, wall) = (Delay::from_seconds(300).unwrap(), |passed| start + TimeDelta::seconds(shown(passed)));
        let mut past = PastClock::new(delay, wall(0));
        let (mut last, mut stored) = (i64::MIN, Vec::new());
        for passed in (0..=seconds).step_by(5) {
            stored.push((passed, wall(passed)));
            let seen = past.read(Instant::now(), wall(passed), delay).unwrap();
            last = last.max((seen - start).num_seconds());
            // Nothing that was stored less than a delay ago.
            let young = stored.iter().filter(|(at, _)| *at > passed - 300).map(|(_, wall)| *wall).min().unwrap();
            assert!(seen < young, "{passed}: {seen} is not before {young}");
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        (last, stored.len() as i64)
    }

    #[tokio::test(start_paused = true)]
    async fn the_past_is_one_delay_ago() {
        assert_eq!(run(0, |passed| passed).await.0, -300);
        assert_eq!(run(1_000, |passed| passed).await.0, 700);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_shows_nothing_early() {
        let jump = |by: i64| move |passed: i64| if passed < 500 { passed } else { passed + by };
        assert_eq!(run(700, jump(3_600)).await.0, 400, "set forward");
        run(2_000, jump(-3_600)).await;
        run(2_000, jump(-100)).await;
    }

    #[test]
    fn only_live_prices_are_called_delayed() {
        let price = |quality| {
            let update = PriceUpdate {
                symbol: crate::domain::Symbol::new("EURUSD"),
                price: 1.0,
                timestamp: parse_time("2026-01-15T07:00:00Z").unwrap(),
                change: 0.0,
                change_percent: 0.0,
                volume: None,
                bid_ask: None,
                day: None,
                quality,
                source: crate::domain::SourceName::new("test"),
            };
            let Event::Price(update) = delayed(&Event::Price(Arc::new(update))) else { panic!() };
            update.quality
        };
        assert_eq!(price(Quality::Live), Quality::Delayed);
        for kept in [Quality::Delayed, Quality::Stale, Quality::Closed, Quality::Simulated, Quality::Replayed] {
            assert_eq!(price(kept), kept);
        }
    }
}
