//! The native clients that are connected: one outbox each.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::time::Instant;

use super::{Behind, Channels, Outbox, Publication, Sink};

/// All outboxes; delivers to each what it asked for.
#[derive(Debug, Default)]
pub struct Clients {
    members: RwLock<HashMap<u64, Member>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Member {
    outbox: Arc<Outbox>,
    endpoint: &'static str,
    since: Instant,
}

/// A client's place among the others; it leaves when this is dropped.
#[derive(Debug)]
pub struct Membership {
    clients: Arc<Clients>,
    id: u64,
}

/// A client that something waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowClient {
    /// The path it is held on.
    pub endpoint: &'static str,
    /// How long it has been connected.
    pub connected: Duration,
    /// What waits for it.
    pub behind: Behind,
}

impl Clients {
    /// Adds a client on the path `endpoint`. What it gets is decided by its topics.
    pub fn join(self: &Arc<Self>, outbox: Arc<Outbox>, endpoint: &'static str) -> Membership {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.members.write().insert(id, Member { outbox, endpoint, since: Instant::now() });
        Membership { clients: self.clone(), id }
    }

    /// What waits for all of them together.
    pub fn waiting(&self) -> Behind {
        self.members.read().values().map(|member| member.outbox.behind()).fold(Behind::default(), |all, one| Behind {
            ordered: all.ordered + one.ordered,
            states: all.states + one.states,
            by: all.by.max(one.by),
        })
    }

    /// The clients that are farthest behind, at most `most`, the slowest first.
    pub fn slowest(&self, most: usize) -> Vec<SlowClient> {
        let slow = |member: &Member| {
            let behind = member.outbox.behind();
            let connected = member.since.elapsed();
            (behind.ordered + behind.states > 0).then_some(SlowClient { endpoint: member.endpoint, connected, behind })
        };
        let mut slowest: Vec<_> = self.members.read().values().filter_map(slow).collect();
        slowest.sort_by_key(|client| Reverse((client.behind.by, client.behind.ordered)));
        slowest.truncate(most);
        slowest
    }
}

impl Sink for Clients {
    fn clients(&self) -> usize {
        self.members.read().len()
    }

    fn channels(&self) -> Channels {
        let mut channels = Channels::of("native");
        for member in self.members.read().values() {
            let topics = member.outbox.topics();
            channels.clients += 1;
            channels.prices += usize::from(!topics.prices.is_none());
            channels.signals += usize::from(!topics.signals.is_none());
            channels.messages += usize::from(topics.published.each().next().is_some());
        }
        channels
    }

    fn deliver(&self, batch: &[Arc<Publication>]) {
        for member in self.members.read().values() {
            member.outbox.offer(batch);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.clients.members.write().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Selection, Topics};
    use crate::telemetry::Metrics;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_come_first_and_those_that_read_not_at_all() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let clients = Arc::new(Clients::default());
        let outboxes: Vec<_> = (0..3).map(|_| Arc::new(Outbox::new(metrics.clone()))).collect();
        let endpoints = ["/ws", "/ws/signals", "/api/ws"];
        let _members: Vec<_> = outboxes.iter().zip(endpoints).map(|(o, at)| clients.join(o.clone(), at)).collect();
        assert_eq!((clients.slowest(9), clients.waiting()), (vec![], Behind::default()));
        outboxes[1].answer("a".into());
        tokio::time::advance(Duration::from_secs(3)).await;
        outboxes[0].answer("a".into());
        outboxes[0].answer("b".into());
        let slowest: Vec<_> =
            clients.slowest(9).into_iter().map(|c| (c.endpoint, c.behind.by, c.behind.ordered)).collect();
        assert_eq!(slowest, [("/ws/signals", Duration::from_secs(3), 1), ("/ws", Duration::ZERO, 2)]);
        assert_eq!(clients.slowest(1).len(), 1);
        assert_eq!(clients.waiting(), Behind { ordered: 3, states: 0, by: Duration::from_secs(3) });
        outboxes[1].take().unwrap();
        assert_eq!(clients.slowest(9).len(), 1, "whoever reads is not behind");

        outboxes[2].set_topics(Topics { prices: Selection::All, ..Topics::default() });
        let Channels { clients, prices, signals, messages, .. } = clients.channels();
        assert_eq!((clients, prices, signals, messages), (3, 1, 0, 0));
    }
}
