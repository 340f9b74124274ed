//! Limits of what one client may send.

use serde::{Deserialize, Serialize};

use super::{Problem, value};

/// Limits of what clients may send. Real pages stay far below them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest message or frame of a client, on native streams and Socket.IO; bytes, 1 KiB to 16 MiB. Default 64 KiB.
    #[serde(deserialize_with = "value::whole")]
    pub message_bytes: usize,
    /// Most binary attachments of one Socket.IO event; at most 100. Default 1.
    #[serde(deserialize_with = "value::whole")]
    pub attachments: usize,
    /// Messages of one client per second, on average; 0 for no limit. Default 100.
    #[serde(deserialize_with = "value::whole")]
    pub events_per_second: u32,
    /// Messages of one client in a burst. Default 2000.
    #[serde(deserialize_with = "value::whole")]
    pub events_burst: u32,
    /// Pushes per second with one token, on average, where a batch counts once; 0 for no limit. Default 2000.
    #[serde(deserialize_with = "value::whole")]
    pub pushes_per_second: u32,
    /// Pushes in a burst. Default 20000.
    #[serde(deserialize_with = "value::whole")]
    pub pushes_burst: u32,
    /// Concurrent requests to routes that read much data; 1 to 1024. Default 16.
    #[serde(deserialize_with = "value::whole")]
    pub concurrent_reads: usize,
    /// Replays of the history that run at the same time, of all readers together; 0 to 1024, 0 for none. Default 8.
    #[serde(deserialize_with = "value::whole")]
    pub replays: usize,
    /// Wrong tokens of one address (IPv6: one /64) per minute; further ones are answered with 429; 0 for no limit. Default 20.
    #[serde(deserialize_with = "value::whole")]
    pub wrong_tokens_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            attachments: 1,
            events_per_second: 100,
            events_burst: 2_000,
            pushes_per_second: 2_000,
            pushes_burst: 20_000,
            concurrent_reads: 16,
            replays: 8,
            wrong_tokens_per_minute: 20,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), Problem> {
        if !(1024..=16 * 1024 * 1024).contains(&self.message_bytes) {
            return Err(Problem::new("limits.message_bytes", "must be 1024 to 16777216"));
        }
        if !(1..=1024).contains(&self.concurrent_reads) {
            return Err(Problem::new("limits.concurrent_reads", "must be 1 to 1024"));
        }
        if self.replays > 1024 {
            return Err(Problem::new("limits.replays", "must be 0 to 1024"));
        }
        if self.attachments > 100 {
            return Err(Problem::new("limits.attachments", "must be 0 to 100"));
        }
        for (key, rate, burst) in [
            ("limits.events_burst", self.events_per_second, self.events_burst),
            ("limits.pushes_burst", self.pushes_per_second, self.pushes_burst),
        ] {
            if rate > 0 && burst == 0 {
                return Err(Problem::new(key, "must be at least 1: nothing would be taken"));
            }
        }
        Ok(())
    }
}
