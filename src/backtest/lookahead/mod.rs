//! The look-ahead check: replays a recording cut off at many places, and counts the outputs that the rest of it rewrites.
//!
//! The measure is the public one for libraries of this kind (pull requests 95, 103 and 108 of `smart-money-concepts`): the
//! outputs of a prefix are compared with those of the whole recording, for every bar of the prefix. An output counts at the bar
//! at whose close it was known; once that bar has closed, no later one may change, add or remove it.

mod check;
mod loaded;
mod parts;
mod report;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use self::check::{prefixes, rewritten, warm_up};
use self::loaded::LoadedRecording;
use self::parts::{CheckedPart, Engines, Indicators, MarketDetectors, ZoneList};
pub use self::report::LookaheadReport;
use super::{BacktestError, RunOptions};
use crate::domain::{BarInterval, Instrument};

/// What is checked, and with which settings.
#[derive(Debug, Clone)]
pub struct LookaheadOptions {
    /// The settings of the engine, and how the file is read.
    pub run: RunOptions,
    /// The interval of the detectors' bars. Shorter bars and ticks are merged to it; longer ones stay as they are.
    pub interval: BarInterval,
    /// The number of bars on each side of a swing.
    pub swing: usize,
}

/// Checks every detector, indicator and setup on `file`. `progress` is called with the share of the work that is done, 0–1.
///
/// # Errors
/// [`BacktestError`] when the file is not a recording.
pub fn lookahead_check(
    file: &Path,
    instrument: &Arc<Instrument>,
    options: &LookaheadOptions,
    progress: impl FnMut(f64),
) -> Result<LookaheadReport, BacktestError> {
    let recording = LoadedRecording::open(file, instrument, options)?;
    let detectors = MarketDetectors { swing: options.swing };
    let zones = ZoneList { swing: options.swing };
    let engine = Engines { options: &options.run };
    let prefixes = prefixes(recording.bars.len());
    let parts: [&dyn CheckedPart; 4] = [&detectors, &zones, &Indicators, &engine];
    let outputs = rewritten(&recording, &parts, &prefixes, progress);
    let warm_up = warm_up(&recording, &parts[..3]);
    Ok(LookaheadReport::new(file, instrument, options.swing, &recording, &prefixes, outputs, warm_up))
}
