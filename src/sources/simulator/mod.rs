//! The simulator: invented prices of every instrument, with demo signals. All its output is marked `simulated`.

mod desk;
mod market;
mod memory;
mod profile;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, MissedTickBehavior};

pub use desk::SignalDesk;
pub use market::Market;
use memory::{Memory, Saved};

use super::{Finished, Source, SourceError, SourceHandle};
use crate::domain::{Feed, Instruments, SourceName, WallClock};

/// Shortest time between two writes of the file. With faster beats, not every beat is saved.
const SAVE_EVERY: Duration = Duration::from_millis(200);

/// Options of the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The same seed gives the same prices.
    pub seed: u64,
    /// Time between two beats. Most instruments tick on each beat.
    pub tick_interval: Duration,
    /// Mean time between two demo signals; zero for none.
    pub signal_interval: Duration,
    /// The server's time to live of a pending signal.
    pub signal_ttl: Duration,
}

/// The source `simulator`.
pub struct Simulator {
    options: Options,
    market: Market,
    desk: SignalDesk,
    clock: WallClock,
    /// The saved state, and the time of the last save.
    memory: Option<Memory>,
    saved_at: Option<Instant>,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Simulator {
    /// The name on the wire.
    pub const NAME: &'static str = "simulator";

    /// The file in the data directory with the saved state.
    pub const FILE: &'static str = "simulator.json";

    /// Creates a simulator of every instrument in the catalogue.
    pub fn new(options: Options, instruments: &Instruments, clock: WallClock) -> Self {
        let Options { seed, signal_interval, signal_ttl, .. } = options;
        let market = Market::new(instruments, seed, SourceName::new(Self::NAME));
        let desk = SignalDesk::new(seed, clock(), signal_interval, signal_ttl);
        Self { options, market, desk, clock, memory: None, saved_at: None }
    }

    /// Continues from the prices and open signals in `file`, and saves the state there.
    #[must_use]
    pub fn remembering(mut self, file: PathBuf) -> Self {
        let memory = Memory::new(file);
        if let Some(Saved { at, market, signals }) = memory.load() {
            let ago = ((self.clock)() - at).to_std().unwrap_or_default();
            self.market.resume(&market, at);
            tracing::info!(
                signals = signals.len(),
                seconds = ago.as_secs_f64(),
                "the simulator continues from its saved prices"
            );
            self.desk.resume(signals, ago, &self.market);
        }
        Self { memory: Some(memory), ..self }
    }

    async fn save(&mut self, at: DateTime<Utc>) {
        let is_due = self.saved_at.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY);
        if let Some(memory) = self.memory.as_ref().filter(|_| is_due) {
            self.saved_at = Some(Instant::now());
            let saved = Saved { at, market: self.market.state(), signals: self.desk.open_signals(&self.market) };
            memory.save(&saved).await;
        }
    }
}

impl Source for Simulator {
    fn name(&self) -> SourceName {
        SourceName::new(Self::NAME)
    }

    fn feed(&self) -> Feed {
        Feed::Simulated
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        // The market gets the nominal beat, not the measured one, so that the same seed gives the same prices on every
        // run.
        let beat = self.options.tick_interval.max(Duration::from_millis(1));
        let mut beats = tokio::time::interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let now = (self.clock)();
            let ticks = self.market.step(now, beat);
            let signals = self.desk.step(&self.market, now, beat);
            self.save(now).await;
            out.ticks(ticks).await?;
            for (id, draft) in signals {
                out.signal(id, draft).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::domain::parse_time;
    use crate::pipeline::{Handle, Input};
    use crate::sources::supervise;
    use crate::telemetry::{Metrics, SourceState, SourceStates};

    /// Returns what the pipeline receives within `lasting`.
    async fn inputs(options: Options, lasting: Duration) -> Vec<Input> {
        let metrics = Metrics::new().unwrap();
        let states = SourceStates::new(&metrics);
        let (handle, mut receiver) = Handle::channel();
        let stop = CancellationToken::new();
        let instruments = Instruments::new(Instruments::documented()).unwrap();
        let (began, wall) = (Instant::now(), parse_time("2026-01-17T12:00:00Z").unwrap());
        let clock: WallClock = Arc::new(move || wall + began.elapsed());
        let simulator = Simulator::new(options, &instruments, clock);
        let supervised = supervise(simulator, handle, &metrics, &states, stop.clone());
        let watch = async {
            tokio::time::sleep(lasting).await;
            assert_eq!(states.list()[0].state, SourceState::Live);
            assert!(states.list()[0].last_tick_age.unwrap() <= options.tick_interval);
            stop.cancel();
        };
        tokio::join!(supervised, watch).0.unwrap();
        let mut inputs = Vec::new();
        while let Ok(request) = receiver.try_recv() {
            inputs.push(request.input);
        }
        inputs
    }

    const OPTIONS: Options = Options {
        seed: 1,
        tick_interval: Duration::from_millis(250),
        signal_interval: Duration::from_secs(12),
        signal_ttl: Duration::from_mins(5),
    };

    #[tokio::test(start_paused = true)]
    async fn each_beat_is_one_batch_the_first_complete() {
        let inputs = inputs(OPTIONS, Duration::from_millis(10_100)).await;
        let batches: Vec<usize> = inputs
            .iter()
            .filter_map(|input| if let Input::Ticks(ticks) = input { Some(ticks.len()) } else { None })
            .collect();
        assert_eq!((batches.len(), batches[0]), (41, 7));
        assert!(batches.iter().sum::<usize>() < 41 * 7, "some instruments skip a beat");
        let signals = inputs.iter().filter(|input| matches!(input, Input::Signal { feed: Feed::Simulated, source, .. } if source.as_str() == "simulator"));
        assert!(signals.count() >= 4, "the first signals come quickly");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_output() {
        let first = inputs(OPTIONS, Duration::from_mins(1)).await;
        assert_eq!(first, inputs(OPTIONS, Duration::from_mins(1)).await);
        assert_ne!(first, inputs(Options { seed: 2, ..OPTIONS }, Duration::from_mins(1)).await);
    }
}
