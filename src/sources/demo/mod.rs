//! The demo desk: a simulated desk that publishes every kind of message, so that a dashboard can be developed and tested
//! against this server alone. All that it says is marked `simulated`.
//!
//! It trades at the prices that the server publishes, by one rule (`book.rs`). Its accounts stand in what it publishes (the
//! field `account` of `bots` and `earnings`), and each fill is stored in one commit with them: a restart goes on from there,
//! also after a `kill -9`.
//!
//! What it says does not pass through the dialects: a test of the gateways holds it to their shapes.

mod account;
mod book;
mod desk;
mod quotes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

pub use desk::Desk;
pub use quotes::Quoted;

use super::{Finished, Source, SourceError, SourceHandle, WallClock};
use crate::domain::{Feed, SourceName};

/// Time between two beats; every kind of message has its turn within [`Desk::ROUND`] of them.
const BEAT: Duration = Duration::from_secs(1);

/// Says the prices that were published last, of those of the desk's symbols that can be traded now.
pub type QuotedNow = Box<dyn Fn() -> Vec<Quoted> + Send + Sync>;

/// The source `demo`.
pub struct Demo {
    desk: Desk,
    quoted: QuotedNow,
    clock: WallClock,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("desk", &self.desk).finish_non_exhaustive()
    }
}

impl Demo {
    /// The name on the wire.
    pub const NAME: &'static str = "demo";

    /// A desk that begins now.
    pub fn new(desk: Desk, quoted: QuotedNow, clock: WallClock) -> Self {
        Self { desk, quoted, clock }
    }
}

impl Source for Demo {
    fn name(&self) -> SourceName {
        SourceName::new(Self::NAME)
    }

    fn feed(&self) -> Feed {
        Feed::Simulated
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let messages = self.desk.step((self.clock)(), &(self.quoted)());
            if !messages.is_empty() {
                out.publish(messages).await?;
            }
            out.live();
        }
    }
}
