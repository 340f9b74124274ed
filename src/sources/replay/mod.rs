//! The replay of a recording: a CSV of ticks or bars of one instrument, at its own pace, faster, or as fast as it can be read.
//!
//! The file is read by a thread of its own, a chunk ahead of the sender, and never lies in memory as a whole. Every tick
//! carries the file's time. What the file looks like is the business of [`crate::recordings`].

mod progress;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use self::progress::Progress;
use super::{Finished, Source, SourceError, SourceHandle, WallClock};
use crate::domain::{Feed, Instrument, Instruments, RecordingOptions, SourceName, UnknownSymbol};
use crate::recordings::{self, ReadSummary, Recording, RecordingError, Request, Step};

/// Most ticks that are sent at once.
const MAX_BATCH: usize = 64;
/// Chunks that are read ahead.
const AHEAD: usize = 4;
/// Ticks that are due this close together go together.
const TOGETHER: Duration = Duration::from_millis(1);
/// Longest wait for a tick; no timer reaches farther.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// How fast a recording runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded; positive.
    Factor(f64),
    /// As fast as it can be read and taken.
    Max,
}

/// What the replay is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The CSV.
    pub file: PathBuf,
    /// Its symbol, in any spelling.
    pub symbol: String,
    /// How fast it runs.
    pub speed: Speed,
    /// How the file is to be read, where it does not say it itself.
    pub reading: RecordingOptions,
}

/// Settings that no replay can be made of.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OptionsError {
    /// The catalogue does not have the symbol.
    #[error(transparent)]
    Symbol(#[from] UnknownSymbol),
    /// Time would stand still or run backwards.
    #[error("a replay speed has to be a positive number or 'max', not {0}")]
    Speed(f64),
}

/// A recording that cannot be replayed, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot replay {}: {problem}", .file.display())]
pub struct ReplayError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
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

    /// A replay that has not begun; the file is opened when it runs.
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
        let mut progress = Progress::new(self.file.display().to_string(), size);
        let mut pace = Pace::new(self.speed);
        let request = Request {
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

/// Why playing ended early.
#[derive(Debug, thiserror::Error)]
enum PlayError {
    #[error(transparent)]
    Problem(#[from] RecordingError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

type Reading =
    (mpsc::Receiver<Vec<Step>>, oneshot::Receiver<Result<(recordings::Counts, ReadSummary), RecordingError>>);

/// Reads the file on a thread that ends with it, or soon after nobody takes its chunks any more. It is no task of the
/// runtime, so that a slow disk holds up neither other tasks nor the end of the process.
fn start_reading(file: PathBuf, request: Request) -> Result<Reading, RecordingError> {
    let (chunks, receiver) = mpsc::channel(AHEAD);
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
        // A receiver that is gone has been stopped.
        done.send(read()).unwrap_or_default();
    })?;
    Ok((receiver, result))
}

/// Waits until `due`, with the progress lines that fall into the wait.
async fn wait_until(due: Option<Instant>, progress: &mut Progress) {
    let Some(due) = due else { return };
    while Instant::now() < due {
        sleep_until(due.min(progress.next_line())).await;
        progress.log_if_due();
    }
}

/// When ticks are due: the file's time since its first tick, divided by the speed, after the moment that one was sent.
#[derive(Debug)]
struct Pace {
    speed: Speed,
    began: Option<(Instant, DateTime<Utc>)>,
}

impl Pace {
    fn new(speed: Speed) -> Self {
        Self { speed, began: None }
    }

    /// When a tick is due; `None` for at once.
    fn due(&mut self, at: DateTime<Utc>) -> Option<Instant> {
        let Speed::Factor(factor) = self.speed else { return None };
        let (began, first) = *self.began.get_or_insert_with(|| (Instant::now(), at));
        let seconds = (at - first).as_seconds_f64() / factor;
        Some(began + Duration::try_from_secs_f64(seconds).map_or(FOREVER, |span| span.min(FOREVER)))
    }

    /// How many of `steps` go together with the first, which is due at `due`: those due at about the same time, and all
    /// that are late already.
    fn batch(&mut self, steps: &[Step], due: Option<Instant>) -> usize {
        let most = steps.len().min(MAX_BATCH);
        let Some(due) = due else { return most };
        let until = Instant::now().max(due + TOGETHER);
        let together = |step: &&Step| self.due(step.tick.observed_at) < Some(until);
        steps[..most].iter().take_while(together).count().max(1)
    }
}

#[cfg(test)]
mod tests;
