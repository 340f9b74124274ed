//! What was published and is not old enough yet.
//!
//! Time is cut into slots. A slot keeps the last value of each state, and of the ordered events only how far they went: these
//! are read back from the log. So memory is bounded by the number of slots and of states, however much is published.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::{Delay, Event, StateKey};
use crate::hub::{Envelope, Sink};
use crate::telemetry::Metrics;

/// Slots within a long delay.
const MAX_SLOTS: u32 = 3_600;
/// The shortest and the longest slot of a delay that needs fewer.
const SLOT: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// Maximum number of states in all slots. Beyond it the two oldest slots become one, with the newer value of each state.
const MAX_STATES: usize = 200_000;
/// The label of states that a newer one has replaced because too many waited.
const QUEUE: &str = "delayed_states";

/// Everything that was published within the delay.
#[derive(Debug)]
pub(super) struct DelayBacklog {
    delay: Duration,
    slot: Duration,
    slots: Mutex<VecDeque<TimeSlot>>,
    wake: Notify,
    metrics: Arc<Metrics>,
}

/// What was published within a short time.
#[derive(Debug)]
pub(super) struct TimeSlot {
    /// When the next slot begins.
    until: Instant,
    /// When the newest of it is old enough.
    due: Instant,
    /// The last value of each state.
    pub(super) states: BTreeMap<StateKey, Event>,
    /// The numbers of the last event of the signal log and of the last ordered message; 0 for none.
    pub(super) last: [u64; 2],
}

/// Something that was published before the backlog began.
#[derive(Debug)]
pub(super) enum Earlier {
    State(StateKey, Event),
    /// The log up to this number.
    Signals(u64),
    /// The ordered messages up to this number.
    Messages(u64),
}

impl TimeSlot {
    fn new(until: Instant, due: Instant) -> Self {
        Self { until, due, states: BTreeMap::new(), last: [0; 2] }
    }

    fn add(&mut self, earlier: Earlier) {
        match earlier {
            Earlier::State(key, event) => drop(self.states.insert(key, event)),
            Earlier::Signals(seq) => self.last[0] = self.last[0].max(seq),
            Earlier::Messages(seq) => self.last[1] = self.last[1].max(seq),
        }
    }

    fn publish(&mut self, publication: &Envelope) {
        let event = publication.event();
        match (event.state_key(), event) {
            // The delayed hub has a position and a clock of its own, and announces the presence itself.
            (_, Event::Cursor(_) | Event::Killzone(_) | Event::Presence(..)) => {}
            (Some(key), _) => self.add(Earlier::State(key, event.clone())),
            (None, Event::RelayedMessage(message)) => self.add(Earlier::Messages(message.seq)),
            (None, _) => self.add(Earlier::Signals(publication.seq().unwrap_or_default())),
        }
    }
}

impl DelayBacklog {
    pub(super) fn new(delay: Delay, metrics: Arc<Metrics>) -> Self {
        let delay = delay.duration();
        let slot = (delay / 300).clamp(SLOT[0], SLOT[1]).max(delay / MAX_SLOTS);
        Self { delay, slot, slots: Mutex::default(), wake: Notify::new(), metrics }
    }

    /// Returns the length of a slot.
    pub(super) fn slot(&self) -> Duration {
        self.slot
    }

    /// Puts what was published earlier before everything else, each with the time since.
    pub(super) fn precede(&self, mut earlier: Vec<(Duration, Earlier)>) {
        let now = Instant::now();
        earlier.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
        let mut before: VecDeque<TimeSlot> = VecDeque::new();
        for (age, earlier) in earlier {
            let due = now + self.delay.saturating_sub(age) + self.slot;
            match before.back_mut().filter(|slot| due <= slot.until) {
                Some(slot) => {
                    slot.due = due;
                    slot.add(earlier);
                }
                None => {
                    let mut slot = TimeSlot::new(due + self.slot, due);
                    slot.add(earlier);
                    before.push_back(slot);
                }
            }
        }
        // None of them takes anything that is published from now on.
        for slot in &mut before {
            slot.until = now;
        }
        let mut slots = self.slots.lock();
        before.append(&mut slots);
        *slots = before;
        drop(slots);
        self.wake.notify_one();
    }

    /// Returns when the next slot is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.slots.lock().front().map(|slot| slot.due)
    }

    /// Takes the first slot, if it is due.
    pub(super) fn pop_due(&self, now: Instant) -> Option<TimeSlot> {
        let mut slots = self.slots.lock();
        slots.front().filter(|slot| slot.due <= now)?;
        slots.pop_front()
    }

    /// Waits until the backlog is no longer empty.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn merge_oldest(&self, slots: &mut VecDeque<TimeSlot>) {
        while slots.len() > 2 && slots.iter().map(|slot| slot.states.len()).sum::<usize>() > MAX_STATES {
            let Some(oldest) = slots.pop_front() else { return };
            let Some(next) = slots.front_mut() else { return };
            let before = oldest.states.len() + next.states.len();
            for (key, event) in oldest.states {
                next.states.entry(key).or_insert(event);
            }
            self.metrics.dropped_total.with_label_values(&[QUEUE]).inc_by((before - next.states.len()) as u64);
        }
    }
}

impl Sink for DelayBacklog {
    fn deliver(&self, batch: &[Arc<Envelope>]) {
        let now = Instant::now();
        let mut slots = self.slots.lock();
        let was_empty = slots.is_empty();
        if slots.back().is_none_or(|slot| slot.until <= now) {
            let until = now + self.slot;
            slots.push_back(TimeSlot::new(until, until + self.delay));
            self.merge_oldest(&mut slots);
        }
        if let Some(slot) = slots.back_mut() {
            for publication in batch {
                slot.publish(publication);
            }
        }
        drop(slots);
        if was_empty {
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Audience, MessageType, RelayedMessage, parse_time};

    fn backlog(seconds: u64) -> DelayBacklog {
        DelayBacklog::new(Delay::from_seconds(seconds).unwrap(), Arc::new(Metrics::new().unwrap()))
    }

    fn state(key: &str, seq: u64) -> Arc<Envelope> {
        let kind = MessageType::state("balances", 0);
        let at = parse_time("2026-01-15T07:00:00Z").unwrap();
        let message = RelayedMessage { seq, kind, audience: Audience::All, key: key.into(), data: "{}".into(), at };
        Arc::new(Envelope::unplaced(Event::RelayedMessage(Arc::new(message))))
    }

    fn seqs(slot: &TimeSlot) -> Vec<u64> {
        let seq = |event: &Event| match event {
            Event::RelayedMessage(message) => message.seq,
            _ => 0,
        };
        slot.states.values().map(seq).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_due_before_its_delay() {
        let backlog = backlog(300);
        let began = Instant::now();
        let mut published = BTreeMap::new();
        for seq in 1..=2_000 {
            backlog.deliver(&[state("a", seq)]);
            published.insert(seq, Instant::now());
            tokio::time::advance(Duration::from_millis(300)).await;
            while let Some(slot) = backlog.pop_due(Instant::now()) {
                let seq = seqs(&slot)[0];
                let age = published[&seq].elapsed();
                assert!(age >= backlog.delay && age <= backlog.delay + 2 * backlog.slot, "{seq} after {age:?}");
            }
        }
        assert!(began.elapsed() > backlog.delay);
        assert!(backlog.slots.lock().len() <= 301, "one value for each second");
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_goes_first() {
        let backlog = backlog(300);
        backlog.deliver(&[state("a", 9)]);
        let earlier = |age, seq| (Duration::from_secs(age), Earlier::Signals(seq));
        backlog.precede(vec![earlier(10, 4), earlier(290, 2), earlier(299, 1), earlier(10, 5), earlier(0, 6)]);
        let mut told = Vec::new();
        for passed in 0..310 {
            while let Some(slot) = backlog.pop_due(Instant::now()) {
                told.push((passed, slot.last[0], seqs(&slot)));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told, [(2, 1, vec![]), (11, 2, vec![]), (291, 5, vec![]), (301, 6, vec![]), (301, 0, vec![9])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_backlog_keeps_the_newest_of_each_state() {
        let backlog = backlog(86_400);
        let keys: Vec<_> = (0..MAX_STATES / 4).map(|key| key.to_string()).collect();
        for round in 1..=6 {
            backlog.deliver(&keys.iter().map(|key| state(key, round)).collect::<Vec<_>>());
            tokio::time::advance(backlog.slot).await;
        }
        let slots = backlog.slots.lock();
        assert!(slots.iter().map(|slot| slot.states.len()).sum::<usize>() <= MAX_STATES + keys.len());
        assert_eq!(seqs(slots.front().unwrap())[0], 2, "the newer one of the two oldest");
    }
}
