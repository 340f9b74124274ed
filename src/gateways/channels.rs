//! How many connections each channel holds: a native path, the event stream, or a Socket.IO namespace.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// What a channel is: over which transport, and its path or namespace.
type Channel = (&'static str, &'static str);

/// The connections of each channel, and how many it may have.
#[derive(Debug)]
pub struct ChannelCap {
    most: usize,
    open: Mutex<HashMap<Channel, usize>>,
}

/// A connection's place in its channel; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    cap: Arc<ChannelCap>,
    channel: Channel,
}

impl ChannelCap {
    /// At most so many in each; 0 for any number.
    pub fn new(most: usize) -> Self {
        Self { most: if most == 0 { usize::MAX } else { most }, open: Mutex::default() }
    }

    /// A place in a channel, unless it is full.
    pub(super) fn enter(self: &Arc<Self>, transport: &'static str, name: &'static str) -> Option<Place> {
        let channel = (transport, name);
        let mut open = self.open.lock();
        let count = open.entry(channel).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { cap: self.clone(), channel })
    }
}

impl Drop for Place {
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
    fn a_full_channel_takes_nobody_until_somebody_leaves_and_others_are_not_full() {
        let cap = Arc::new(ChannelCap::new(2));
        let enter = |name| cap.enter("native", name);
        let mut places = vec![enter("/ws").unwrap(), enter("/ws").unwrap()];
        assert!(enter("/ws").is_none());
        assert!(enter("/ws/signals").is_some() && cap.enter("socketio", "/ws").is_some());
        places.pop();
        assert!(enter("/ws").is_some());
        let unlimited = Arc::new(ChannelCap::new(0));
        let all: Vec<_> = (0..10_000).map(|_| unlimited.enter("native", "/ws")).collect();
        assert!(all.iter().all(Option::is_some));
    }
}
