//! What is published because time passes: the killzone clock, the position of the log, and how many clients there are.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};

use super::{Envelope, Hub};
use crate::domain::{Event, Killzone, WallClock};

/// How often the wall clock is read, so that a jump of it is noticed, and the clients are counted.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the position of the log is published, if it has moved.
const POSITION_INTERVAL: Duration = Duration::from_secs(15);

/// Publishes the killzone clock at each change, the position of the log, and the presence when it has changed and a client
/// has subscribed to it. Never returns.
pub async fn announce(hub: Arc<Hub>, wall: WallClock) {
    let (mut changes_at, mut position, mut positioned) = (None, hub.position().seq, Instant::now());
    let mut announced = hub.presence();
    loop {
        let now = wall();
        let next = Killzone::next_change(now);
        // After a jump of the clock another change is next, even if the window is the same.
        if changes_at.replace(next).is_some_and(|announced| announced != next) {
            hub.publish(&[Arc::new(Envelope::unplaced(Event::Killzone(now)))]);
        }
        if positioned.elapsed() >= POSITION_INTERVAL {
            position = hub.publish_position(position).unwrap_or(position);
            positioned = Instant::now();
        }
        let presence = hub.presence();
        if presence.presence > 0 && std::mem::replace(&mut announced, presence) != presence {
            hub.publish(&[Arc::new(Envelope::unplaced(Event::Presence(now, presence)))]);
        }
        sleep(until(next, now).min(LOOK_INTERVAL)).await;
    }
}

/// Returns the time until `at`, and a millisecond at least.
fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (at - now).to_std().unwrap_or_default().max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::sync::mpsc;

    use super::*;
    use crate::domain::{Position, parse_time};
    use crate::hub::{Sink, Topics};
    use crate::tasks::Tasks;
    use crate::telemetry::Metrics;

    #[derive(Debug)]
    struct Published(mpsc::Sender<Event>);

    impl Sink for Published {
        fn deliver(&self, batch: &[Arc<Envelope>]) {
            for envelope in batch {
                self.0.try_send(envelope.event().clone()).unwrap();
            }
        }
    }

    fn time(text: &str) -> DateTime<Utc> {
        parse_time(text).unwrap()
    }

    /// A hub whose events arrive at the receiver, and a wall clock that begins at `start` and can be moved.
    fn begin(start: &str) -> (Arc<Hub>, mpsc::Receiver<Event>, Arc<Mutex<chrono::TimeDelta>>) {
        let position = Position { epoch: "e".into(), seq: 5 };
        let hub = Arc::new(Hub::new(position, Duration::ZERO, 1, Arc::new(Metrics::new().unwrap())));
        let (sent, published) = mpsc::channel(64);
        hub.add_sink(Arc::new(Published(sent)));
        let (began, start, jump) = (Instant::now(), time(start), Arc::new(Mutex::new(chrono::TimeDelta::zero())));
        let jumped = jump.clone();
        let wall: WallClock = Arc::new(move || start + began.elapsed() + *jumped.lock());
        Tasks::new().spawn_connection(announce(hub.clone(), wall));
        (hub, published, jump)
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_is_published_at_each_change() {
        let (_hub, mut published, _) = begin("2026-01-15T09:59:30.500Z");
        for change in ["2026-01-15T10:00:00Z", "2026-01-15T14:30:00Z", "2026-01-15T16:00:00Z"] {
            assert_eq!(published.recv().await, Some(Event::Killzone(time(change))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_of_the_clock_is_noticed() {
        let (_hub, mut published, jump) = begin("2026-01-15T10:30:00Z");
        tokio::time::sleep(Duration::from_millis(500)).await;
        *jump.lock() = chrono::TimeDelta::hours(5);
        assert_eq!(published.recv().await, Some(Event::Killzone(time("2026-01-15T15:30:01Z"))));
        *jump.lock() = chrono::TimeDelta::hours(24 + 5);
        assert_eq!(published.recv().await, Some(Event::Killzone(time("2026-01-16T15:30:02Z"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_position_is_published_once_it_moves() {
        let (hub, mut published, _) = begin("2026-01-15T10:30:00Z");
        tokio::time::sleep(2 * POSITION_INTERVAL).await;
        assert!(published.try_recv().is_err());
        assert_eq!((hub.publish_position(5), hub.publish_position(4)), (None, Some(5)));
        assert_eq!(published.recv().await, Some(Event::Cursor(hub.position())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_presence_is_published_once_a_second() {
        let (hub, mut published, _) = begin("2026-01-15T10:30:00Z");
        let alone = hub.join("native", None);
        tokio::time::sleep(5 * LOOK_INTERVAL).await;
        assert!(published.try_recv().is_err(), "without a subscriber there is no event");
        alone.set(&Topics { presence: true, ..Topics::default() });
        let mut counts = async || match published.recv().await {
            Some(Event::Presence(_, presence)) => (presence.clients, presence.presence),
            other => panic!("{other:?}"),
        };
        assert_eq!(counts().await, (1, 1));
        let began = Instant::now();
        let crowd: Vec<_> = (0..100).map(|_| hub.join("socketio", None)).collect();
        assert_eq!(counts().await, (101, 1));
        drop(crowd);
        assert_eq!((counts().await, began.elapsed()), ((1, 1), 2 * LOOK_INTERVAL));
        tokio::time::sleep(5 * LOOK_INTERVAL).await;
        assert!(published.try_recv().is_err(), "nothing has changed");
    }
}
