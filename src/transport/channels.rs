//! Limits on connections per channel: a native path, the event stream, or a Socket.IO namespace.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// A channel: the transport, and the path or namespace.
type Channel = (&'static str, &'static str);

/// Counts and limits the connections of each channel.
#[derive(Debug)]
pub struct ChannelCap {
    /// 0 for no limit.
    max_per_channel: AtomicUsize,
    open: Mutex<HashMap<Channel, usize>>,
}

/// The place of a connection in its channel. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct ChannelSlot {
    cap: Arc<ChannelCap>,
    channel: Channel,
}

impl ChannelCap {
    /// Creates the limit of `max_per_channel` connections per channel; 0 is no limit.
    pub fn new(max_per_channel: usize) -> Self {
        Self { max_per_channel: max_per_channel.into(), open: Mutex::default() }
    }

    /// Replaces the limit. Open connections stay, also above it.
    pub fn set_max(&self, max_per_channel: usize) {
        self.max_per_channel.store(max_per_channel, Ordering::Relaxed);
    }

    /// Takes a place in a channel; `None` when it is full.
    pub(crate) fn enter(self: &Arc<Self>, transport: &'static str, name: &'static str) -> Option<ChannelSlot> {
        self.enter_at_most(transport, name, usize::MAX)
    }

    /// Takes a place in a channel that has its own limit as well.
    pub(crate) fn enter_at_most(
        self: &Arc<Self>,
        transport: &'static str,
        name: &'static str,
        most: usize,
    ) -> Option<ChannelSlot> {
        let channel = (transport, name);
        let mut open = self.open.lock();
        let count = open.entry(channel).or_default();
        let max_per_channel = match self.max_per_channel.load(Ordering::Relaxed) {
            0 => usize::MAX,
            max => max,
        };
        if *count >= max_per_channel.min(most) {
            return None;
        }
        *count += 1;
        Some(ChannelSlot { cap: self.clone(), channel })
    }
}

impl Drop for ChannelSlot {
    fn drop(&mut self) {
        if let Some(count) = self.cap.open.lock().get_mut(&self.channel) {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_channel_rejects_until_a_connection_ends() {
        let cap = Arc::new(ChannelCap::new(2));
        let enter = |name| cap.enter("native", name);
        let mut places = vec![enter("/ws").unwrap(), enter("/ws").unwrap()];
        assert!(enter("/ws").is_none());
        assert!(enter("/ws/signals").is_some() && cap.enter("socketio", "/ws").is_some());
        assert!(cap.enter_at_most("sse", "/replay", 0).is_none());
        let one = cap.enter_at_most("sse", "/replay", 1).unwrap();
        assert!(cap.enter_at_most("sse", "/replay", 1).is_none());
        drop(one);
        assert!(cap.enter_at_most("sse", "/replay", 1).is_some());
        places.pop();
        assert!(enter("/ws").is_some());
        places.push(enter("/ws").unwrap());
        cap.set_max(1);
        places.pop();
        assert!(enter("/ws").is_none());
        cap.set_max(0);
        assert!(enter("/ws").is_some());
        let unlimited = Arc::new(ChannelCap::new(0));
        let all: Vec<_> = (0..10_000).map(|_| unlimited.enter("native", "/ws")).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
