//! The lease of the writer, without clocks: the writer beats, and after a time without a beat another node tries to begin
//! the next term. The stream's order decides who succeeds, so that a lease that ends too early costs a change of the
//! writer and nothing else.

use std::time::Duration;

/// What a node knows of the writer's signs of life. Times are on this node's monotonic clock.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    length: Duration,
    /// A part of `length` that differs between nodes, so that not all try at once.
    spread: Duration,
    last_sign: Duration,
    hold: Hold,
}

/// Whether the writer holds the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It does, as long as it beats.
    Held,
    /// It leaves, and another node is to write next.
    Promised,
    /// It leaves, and this node is to write next.
    Offered,
    /// It leaves, and whoever comes first writes next.
    Free,
}

impl Lease {
    /// A lease of `length` of which nothing is known at `now`. `node` decides how long this node waits in addition: up to
    /// a quarter of it.
    pub(super) fn new(length: Duration, node: &str, now: Duration) -> Self {
        let hash = node.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(byte));
        Self { length, spread: length / 4 * (hash % 16) / 16, last_sign: now, hold: Hold::Held }
    }

    /// The writer of the current term gave a sign of life, or a term began.
    pub(super) fn renew(&mut self, now: Duration) {
        self.last_sign = self.last_sign.max(now);
        self.hold = Hold::Held;
    }

    /// The writer of the current term leaves, and names the node that is to follow it.
    pub(super) fn release(&mut self, now: Duration, successor: Option<&str>, node: &str) {
        self.last_sign = self.last_sign.max(now);
        self.hold = match successor {
            Some(successor) if successor == node => Hold::Offered,
            Some(_) => Hold::Promised,
            None => Hold::Free,
        };
    }

    /// Whether the writer has left to this node.
    pub(super) fn is_offered(&self) -> bool {
        self.hold == Hold::Offered
    }

    /// Returns when this node may try to begin the next term.
    pub(super) fn ends_at(&self) -> Duration {
        let wait = match self.hold {
            Hold::Held => self.length + self.spread,
            Hold::Promised => self.length / 4 + self.spread / 8,
            Hold::Free => self.spread / 8,
            Hold::Offered => Duration::ZERO,
        };
        self.last_sign + wait
    }

    /// Whether this node may try to begin the next term.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= self.ends_at()
    }

    /// How often the writer beats.
    pub(super) fn beat_interval(length: Duration) -> Duration {
        length / 5
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(2);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_lease_ends_after_its_length_without_beats() {
        let mut lease = Lease::new(LENGTH, "a", at(0));
        lease.renew(at(1_000));
        assert!(!lease.is_over(at(2_999)));
        assert!(lease.is_over(at(3_500)));
    }

    #[test]
    fn a_writer_that_leaves_is_followed_at_once() {
        let mut lease = Lease::new(LENGTH, "a", at(0));
        lease.release(at(1_000), None, "a");
        assert!(lease.is_over(at(1_063)));
        lease.renew(at(1_100));
        assert!(!lease.is_over(at(3_000)));
    }

    #[test]
    fn the_named_node_follows_before_the_others() {
        let mut lease = Lease::new(LENGTH, "a", at(0));
        lease.release(at(1_000), Some("a"), "a");
        assert!(lease.is_offered() && lease.is_over(at(1_000)));
        lease.release(at(1_000), Some("b"), "a");
        assert!(!lease.is_offered() && !lease.is_over(at(1_499)));
        // It may have ended as well.
        assert!(lease.is_over(at(1_563)));
    }

    /// Three nodes over a log that takes a term only at its end, as the stream does. Beats are lost at random, and nodes
    /// stand still.
    fn simulate(steps: &[(usize, bool, bool)]) -> (Vec<(u64, usize)>, usize) {
        let mut log: Vec<(u64, usize)> = Vec::new();
        let mut nodes: Vec<(Lease, usize)> =
            ["a", "b", "c"].iter().map(|node| (Lease::new(LENGTH, node, at(0)), 0)).collect();
        let mut writes = 0;
        for (step, (node, hears, is_stopped)) in steps.iter().enumerate() {
            let now = at(step as u64 * 100);
            let (lease, seen) = &mut nodes[*node];
            if *is_stopped {
                continue;
            }
            let caught_up = log.len();
            if *hears {
                if caught_up > *seen {
                    lease.renew(now);
                }
                *seen = caught_up;
            }
            let is_writer = log[..*seen].last().is_some_and(|(_, writer)| writer == node);
            if is_writer {
                // A write of a deposed writer is refused by its place.
                if *seen == caught_up {
                    writes += 1;
                    for (other, (lease, _)) in nodes.iter_mut().enumerate() {
                        if other != *node {
                            lease.renew(now);
                        }
                    }
                }
            } else if lease.is_over(now) {
                let term = log[..*seen].last().map_or(0, |(term, _)| *term) + 1;
                if *seen == caught_up {
                    log.push((term, *node));
                    *seen += 1;
                }
                lease.renew(now);
            }
        }
        (log, writes)
    }

    proptest! {
        #[test]
        fn a_term_has_one_writer(steps in prop::collection::vec((0..3_usize, any::<bool>(), prop::bool::weighted(0.2)), 1..600)) {
            let (log, _) = simulate(&steps);
            prop_assert!(log.windows(2).all(|terms| terms[1].0 == terms[0].0 + 1), "{log:?}");
        }

        #[test]
        fn without_faults_the_first_writer_stays(order in Just((0..600).map(|step| (step % 3, true, false)).collect::<Vec<_>>())) {
            let (log, writes) = simulate(&order);
            prop_assert_eq!(log.len(), 1);
            prop_assert!(writes > 100);
        }
    }
}
