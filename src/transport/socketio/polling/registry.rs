//! All long-polling sessions: their limits, how they are counted, and which of them have to end.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Delivery, PollingSession, PollingState};
use crate::auth::UserSession;
use crate::config::Live;

/// A session that has polled within this time is not ended for its memory.
pub(super) const RECENT_POLL: Duration = Duration::from_secs(1);
/// Ending a session with less waiting data than this would free no memory worth mentioning.
const MIN_EVICTED_BYTES: usize = 4 * 1024;

/// Limits on the sessions of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollingLimits {
    /// Largest number of sessions.
    pub sessions: usize,
    /// Largest number of sessions per address (for IPv6, per /64).
    pub per_address: usize,
    /// Data that may wait for all sessions together, in bytes.
    pub waiting_bytes: usize,
    /// How long a client may go without polling.
    pub poll_timeout: Duration,
}

/// The limit that a new session would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transport::socketio) enum SessionLimit {
    /// [`PollingLimits::sessions`].
    Sessions,
    /// [`PollingLimits::per_address`].
    Address,
}

/// All long-polling sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PollingSessions(pub(super) Arc<Registry>);

#[derive(Debug)]
pub(super) struct Registry {
    pub(super) limits: Live<PollingLimits>,
    pub(super) counts: Mutex<PollingCounts>,
    pub(super) open: Mutex<HashMap<String, Weak<PollingSession>>>,
    /// Data that waits for all sessions together, in bytes, without broadcasts.
    pub(super) waiting: AtomicUsize,
    /// Number of broadcast packets so far. Each may wait for every session.
    pub(super) broadcasts: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct PollingCounts {
    sessions: usize,
    pub(super) by_address: HashMap<IpAddr, usize>,
}

impl PollingCounts {
    pub(super) fn remove(&mut self, address: Option<IpAddr>) {
        self.sessions -= 1;
        let Some(address) = address else { return };
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// A session that has to end.
#[derive(Debug)]
pub(in crate::transport::socketio) struct Overdue {
    pub(in crate::transport::socketio) session: Arc<PollingSession>,
    /// Reason as a metric label: `idle`, `memory` or `upgrade`.
    pub(in crate::transport::socketio) reason: &'static str,
}

impl PollingSessions {
    /// Creates an empty registry.
    pub fn new(limits: PollingLimits) -> Self {
        Self(Arc::new(Registry {
            limits: Live::new(limits),
            counts: Mutex::default(),
            open: Mutex::default(),
            waiting: AtomicUsize::new(0),
            broadcasts: AtomicU64::new(0),
        }))
    }

    /// Replaces the limits. Open sessions stay, also above them.
    pub fn set_limits(&self, limits: PollingLimits) {
        self.0.limits.set(limits);
    }

    /// Counts a session that is about to be opened, for `address` if it is known.
    ///
    /// # Errors
    /// Fails when a limit is reached.
    pub(in crate::transport::socketio) fn open(
        &self,
        address: Option<IpAddr>,
        version: u8,
        login: Option<UserSession>,
    ) -> Result<Arc<PollingSession>, SessionLimit> {
        let limits = self.0.limits.get();
        let mut counts = self.0.counts.lock();
        if counts.sessions >= limits.sessions {
            return Err(SessionLimit::Sessions);
        }
        if let Some(address) = address {
            let count = counts.by_address.entry(address).or_default();
            if *count >= limits.per_address {
                return Err(SessionLimit::Address);
            }
            *count += 1;
        }
        counts.sessions += 1;
        drop(counts);
        Ok(Arc::new(PollingSession {
            registry: self.0.clone(),
            address,
            version,
            id: OnceLock::new(),
            waiting: AtomicUsize::new(0),
            state: Mutex::new(PollingState {
                is_counted: true,
                login,
                client: None,
                connection: None,
                lane: Weak::new(),
                polls: 0,
                last_poll: Instant::now(),
                broadcasts: self.0.broadcasts.load(Ordering::Relaxed),
                connects: 0,
                is_ending: false,
                delivery: Delivery::default(),
            }),
            delay: OnceLock::new(),
            delivery_changed: Notify::new(),
        }))
    }

    /// Returns the open session with this id, unless it began as a WebSocket.
    pub(in crate::transport::socketio) fn find(&self, id: &str) -> Option<Arc<PollingSession>> {
        self.0.open.lock().get(id)?.upgrade()
    }

    /// Returns the number of counted sessions.
    pub(in crate::transport::socketio) fn count(&self) -> usize {
        self.0.counts.lock().sessions
    }

    /// Counts a packet that was sent to whole rooms.
    pub(in crate::transport::socketio) fn count_broadcast(&self) {
        self.0.broadcasts.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the bytes that wait for all sessions together, and the sessions that have to end now.
    pub(in crate::transport::socketio) fn overdue(&self) -> (usize, Vec<Overdue>) {
        let sessions: Vec<_> = self.0.open.lock().values().filter_map(Weak::upgrade).collect();
        let (mut overdue, mut costs, mut total) = (Vec::new(), Vec::new(), 0);
        let limits = self.0.limits.get();
        for session in &sessions {
            let ends = |reason| Overdue { session: session.clone(), reason };
            let mut state = session.state.lock();
            if state.is_ending {
                continue;
            }
            if let Some(connection) = &state.connection {
                if connection.is_orphaned() {
                    // The connection of its upgrade was never used.
                    state.is_ending = true;
                    overdue.push(ends("upgrade"));
                }
                continue;
            }
            let idle = if state.polls > 0 { Duration::ZERO } else { state.last_poll.elapsed() };
            let cost = session.cost(&state);
            total += cost;
            if idle >= limits.poll_timeout {
                state.is_ending = true;
                overdue.push(ends("idle"));
            } else if idle >= RECENT_POLL && cost >= MIN_EVICTED_BYTES {
                costs.push((cost, session, ends("memory")));
            }
        }
        if total > limits.waiting_bytes {
            let mut excess = total - limits.waiting_bytes / 2;
            costs.sort_unstable_by_key(|(cost, ..)| std::cmp::Reverse(*cost));
            for (cost, session, evicted) in costs {
                session.state.lock().is_ending = true;
                overdue.push(evicted);
                excess = excess.saturating_sub(cost);
                if excess == 0 {
                    break;
                }
            }
        }
        (total, overdue)
    }
}
