//! The replay of a recording: a CSV of ticks or bars of one instrument, at its original speed, faster, or at full
//! speed.
//!
//! A separate thread reads the file a few chunks ahead of the sender, so the file is never in memory as a whole. Every
//! tick carries the time from the file. [`crate::recordings`] reads the file formats.

mod progress;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use self::progress::ProgressLog;
use super::{Finished, Source, SourceError, SourceHandle};
use crate::domain::{Feed, Instrument, Instruments, RecordingOptions, SourceName, UnknownSymbol, WallClock};
use crate::recordings::{self, ReadRequest, ReadSummary, RecordedTick, Recording, RecordingError};

/// Largest number of ticks sent at once.
const MAX_BATCH: usize = 64;
/// How many chunks are read ahead.
const CHUNKS_AHEAD: usize = 4;
/// Ticks due within this time are sent together.
const BATCH_WINDOW: Duration = Duration::from_millis(1);
/// Longest wait for a tick; timers have an upper limit.
const MAX_WAIT: Duration = Duration::from_hours(24 * 365);

/// The speed of a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// This multiple of the original speed; positive.
    Factor(f64),
    /// As fast as the file can be read and the pipeline accepts it.
    Max,
}

/// Options of the replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Path of the CSV.
    pub file: PathBuf,
    /// The instrument's symbol, in any spelling.
    pub symbol: String,
    /// The speed.
    pub speed: Speed,
    /// How to read the file, where the file itself leaves it open.
    pub reading: RecordingOptions,
}

/// Invalid options of a replay.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OptionsError {
    /// The catalogue does not have the symbol.
    #[error(transparent)]
    Symbol(#[from] UnknownSymbol),
    /// The speed is not positive.
    #[error("a replay speed has to be a positive number or 'max', not {0}")]
    Speed(f64),
}

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[error("cannot replay {}: {problem}", .file.display())]
pub struct ReplayError {
    /// Path of the file.
    pub file: PathBuf,
    /// The error of reading it.
    pub problem: RecordingError,
}

/// The source `replay`.
pub struct Replay {
    file: PathBuf,
    instrument: Arc<Instrument>,
    instruments: Arc<Instruments>,
    speed: Speed,
    reading: RecordingOptions,
    wall: WallClock,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("file", &self.file).field("speed", &self.speed).finish_non_exhaustive()
    }
}

impl Replay {
    /// The name on the wire.
    pub const NAME: &'static str = recordings::SOURCE_NAME;

    /// Creates a replay. The file is opened when it runs.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn new(options: Options, instruments: &Arc<Instruments>, wall: WallClock) -> Result<Self, OptionsError> {
        let Options { file, symbol, speed, reading } = options;
        match speed {
            Speed::Factor(factor) if !(factor.is_finite() && factor > 0.0) => return Err(OptionsError::Speed(factor)),
            Speed::Factor(_) | Speed::Max => {}
        }
        let instrument = instruments.resolve(&symbol)?.clone();
        Ok(Self { file, instrument, instruments: instruments.clone(), speed, reading, wall })
    }

    async fn play(&self, out: &SourceHandle) -> Result<Finished, PlayError> {
        let size = std::fs::metadata(&self.file).map_err(RecordingError::from)?.len();
        let mut progress = ProgressLog::new(self.file.display().to_string(), size);
        let mut pace = ReplayPace::new(self.speed);
        let request = ReadRequest {
            instrument: self.instrument.clone(),
            instruments: self.instruments.clone(),
            options: self.reading.clone(),
            now: (self.wall)(),
        };
        let (mut chunks, read) = start_reading(self.file.clone(), request)?;
        while let Some(chunk) = chunks.recv().await {
            let mut steps = chunk.as_slice();
            while let Some(first) = steps.first() {
                let due = pace.due(first.tick.observed_at);
                wait_until(due, &mut progress).await;
                let (batch, rest) = steps.split_at(pace.batch(steps, due));
                out.ticks(batch.iter().map(|step| step.tick.clone()).collect()).await?;
                if let Some(last) = batch.last() {
                    progress.sent(last, batch.len());
                }
                steps = rest;
            }
        }
        let (read, summary) = read.await.map_err(|_| RecordingError::Panicked)??;
        progress.finish(read, &summary);
        Ok(Finished)
    }
}

impl Source for Replay {
    fn name(&self) -> SourceName {
        SourceName::new(Self::NAME)
    }

    fn feed(&self) -> Feed {
        Feed::Replayed
    }

    async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
        self.play(out).await.map_err(|error| match error {
            PlayError::Problem(problem) => SourceError::fatal(ReplayError { file: self.file.clone(), problem }),
            PlayError::Source(error) => error,
        })
    }
}

/// Why the replay ended early.
#[derive(Debug, thiserror::Error)]
enum PlayError {
    #[error(transparent)]
    Problem(#[from] RecordingError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

type ReaderChannels =
    (mpsc::Receiver<Vec<RecordedTick>>, oneshot::Receiver<Result<(recordings::Counts, ReadSummary), RecordingError>>);

/// Reads the file on a thread that ends with the file, or soon after the receiver is dropped. It is not a task of the
/// runtime, so a slow disk delays neither other tasks nor the shutdown.
fn start_reading(file: PathBuf, request: ReadRequest) -> Result<ReaderChannels, RecordingError> {
    let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let (done, result) = oneshot::channel();
    let read = move || {
        let mut recording = Recording::open(&file, &request)?;
        progress::announce(&file, recording.summary());
        loop {
            let chunk = recording.next_chunk()?;
            if chunk.is_empty() || chunks.blocking_send(chunk).is_err() {
                return Ok((recording.counts(), recording.summary().clone()));
            }
        }
    };
    std::thread::Builder::new().name("replay-reader".into()).spawn(move || {
        // A dropped receiver means that the source was stopped.
        done.send(read()).unwrap_or_default();
    })?;
    Ok((receiver, result))
}

/// Waits until `due`, and logs the progress lines that fall into the wait.
async fn wait_until(due: Option<Instant>, progress: &mut ProgressLog) {
    let Some(due) = due else { return };
    while Instant::now() < due {
        sleep_until(due.min(progress.next_line())).await;
        progress.log_if_due();
    }
}

/// Computes when ticks are due: the time since the file's first tick, divided by the speed, after the start.
#[derive(Debug)]
struct ReplayPace {
    speed: Speed,
    began: Option<(Instant, DateTime<Utc>)>,
}

impl ReplayPace {
    fn new(speed: Speed) -> Self {
        Self { speed, began: None }
    }

    /// Returns when a tick is due; `None` means immediately.
    fn due(&mut self, at: DateTime<Utc>) -> Option<Instant> {
        let Speed::Factor(factor) = self.speed else { return None };
        let (began, first) = *self.began.get_or_insert_with(|| (Instant::now(), at));
        let seconds = (at - first).as_seconds_f64() / factor;
        Some(began + Duration::try_from_secs_f64(seconds).map_or(MAX_WAIT, |span| span.min(MAX_WAIT)))
    }

    /// Returns how many of `steps` are sent together with the first, which is due at `due`: those due at about the same
    /// time, and those that are already late.
    fn batch(&mut self, steps: &[RecordedTick], due: Option<Instant>) -> usize {
        let most = steps.len().min(MAX_BATCH);
        let Some(due) = due else { return most };
        let until = Instant::now().max(due + BATCH_WINDOW);
        let together = |step: &&RecordedTick| self.due(step.tick.observed_at) < Some(until);
        steps[..most].iter().take_while(together).count().max(1)
    }
}

#[cfg(test)]
mod tests;
