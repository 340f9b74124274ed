//! Writes the detectors' findings in a recording to a file, for comparison with other implementations.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::BacktestError;
use super::bars::BarJoiner;
use crate::domain::{BarInterval, Instrument, Instruments, RecordingOptions};
use crate::engine::detect::{Recorded, Recorder};
use crate::recordings::{ReadRequest, ReadSummary, Recording, RecordingError};

/// The settings of the detectors.
#[derive(Debug, Clone)]
pub struct EventsOptions {
    /// The catalogue.
    pub instruments: Arc<Instruments>,
    /// The options for reading the file.
    pub reading: RecordingOptions,
    /// The current time.
    pub now: DateTime<Utc>,
    /// The interval of the bars. Shorter bars and ticks are merged to it; longer ones stay as they are.
    pub interval: BarInterval,
    /// The number of bars on each side of a swing.
    pub swing: usize,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct EventsReport {
    /// The number of bars.
    pub bars: u64,
    /// The number of events.
    pub events: usize,
    /// The number of rejected rows, and what is wrong with the first one.
    pub left_out: Option<(u64, String)>,
    /// The length of the file's bars, when it is longer than requested.
    pub longer: Option<TimeDelta>,
    /// How the file was read.
    pub summary: ReadSummary,
}

#[derive(Serialize)]
struct EventsDocument<'a> {
    input: String,
    #[serde(rename = "L")]
    swing: usize,
    index_base: u8,
    note: &'static str,
    events: &'a [Recorded],
}

/// Runs the detectors over `file`, and writes their findings to `out` as one JSON object: `{"input", "L", "index_base",
/// "note", "events"}`. Bars are counted from 0 and have the prices of the file; ticks become bars of their mids.
///
/// # Errors
/// [`BacktestError`] when the file is not a recording or `out` cannot be written.
pub fn detector_events(
    file: &Path,
    instrument: &Arc<Instrument>,
    options: &EventsOptions,
    out: impl Write,
) -> Result<EventsReport, BacktestError> {
    let fail = |problem| BacktestError::new(file, problem);
    let request = ReadRequest {
        instrument: instrument.clone(),
        instruments: options.instruments.clone(),
        options: options.reading.clone(),
        now: options.now,
    };
    let mut recording = Recording::open(file, &request).map_err(fail)?;
    let own_length = recording.bar_length();
    let asked = TimeDelta::minutes(options.interval.minutes().into());
    let mut bars = BarJoiner::new(instrument, own_length, options.interval);
    let mut recorder = Recorder::new(options.swing);
    while let Some(row) = recording.next_row().map_err(fail)? {
        if let Some((_, bar)) = bars.push(&row) {
            recorder.push(&bar);
        }
    }
    if let Some((_, last)) = bars.finish() {
        recorder.push(&last);
    }
    let document = EventsDocument {
        input: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        swing: options.swing,
        index_base: 0,
        note: "n = bar at whose close the event is known",
        events: recorder.events(),
    };
    serde_json::to_writer(out, &document).map_err(|error| fail(RecordingError::Io(error.into())))?;
    let summary = recording.summary().clone();
    let left_out = summary.left_out.first_fault().map(|first| (summary.left_out.total(), first.to_owned()));
    let longer = own_length.filter(|own| *own > asked);
    Ok(EventsReport { bars: recorder.bars(), events: recorder.events().len(), left_out, longer, summary })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::{Instruments, parse_time};

    fn options(interval: BarInterval, swing: usize) -> EventsOptions {
        let instruments = Arc::new(Instruments::new(Instruments::documented()).unwrap());
        let now = parse_time("2026-11-28T12:00:00Z").unwrap();
        EventsOptions { instruments, reading: RecordingOptions::default(), now, interval, swing }
    }

    fn minute_options() -> EventsOptions {
        options(BarInterval::OneMinute, 3)
    }

    fn run(csv: &str, options: &EventsOptions) -> Result<(EventsReport, Value), BacktestError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), csv).unwrap();
        let instrument = Arc::new(Instruments::documented().swap_remove(0));
        let mut out = Vec::new();
        let report = detector_events(file.path(), &instrument, options, &mut out)?;
        Ok((report, serde_json::from_slice(&out).unwrap()))
    }

    #[test]
    fn the_file_matches_the_reference() {
        let walk = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine/detect/fixtures");
        let instrument = Arc::new(Instruments::documented().swap_remove(0));
        let mut out = Vec::new();
        let report = detector_events(&walk.join("walk.csv"), &instrument, &minute_options(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), std::fs::read_to_string(walk.join("walk_causal_L3.json")).unwrap());
        assert_eq!((report.bars, report.events, report.left_out, report.longer), (400, 352, None, None));
    }

    /// Twelve minutes that rise and fall.
    fn minutes(time: impl Fn(usize) -> String) -> String {
        let rows = [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 4, 5].into_iter().enumerate().map(|(n, step)| {
            let low = 1.1 + f64::from(step) / 1e3;
            format!("{},{low},{},{low},{low},1\n", time(n), low + 0.0005)
        });
        format!("time,open,high,low,close,volume\n{}", rows.collect::<Vec<_>>().concat())
    }

    #[test]
    fn the_time_format_does_not_matter() {
        let (_, expected) = run(&minutes(|n| format!("2026-01-15T07:{n:02}:00")), &minute_options()).unwrap();
        assert!(!expected["events"].as_array().unwrap().is_empty());
        for csv in [
            minutes(|n| format!("2026-01-15 07:{n:02}:00")),
            minutes(|n| format!("2026.01.15 07:{n:02}:00")),
            minutes(|n| format!("2026-01-15T07:{n:02}:00+00:00")),
            minutes(|n| format!("{}", 1_768_460_400 + 60 * n)),
        ] {
            assert_eq!(run(&csv, &minute_options()).unwrap().1["events"], expected["events"], "{csv}");
        }
    }

    #[test]
    fn shorter_bars_and_ticks_are_merged() {
        let five = &options(BarInterval::FiveMinutes, 1);
        let report = run(&minutes(|n| format!("2026-01-15T07:{n:02}:00")), five).unwrap().0;
        assert_eq!((report.bars, report.longer), (3, None));
        let report = run(&minutes(|n| format!("2026-01-15T{n:02}:00:00")), five).unwrap().0;
        assert_eq!((report.bars, report.longer), (12, Some(TimeDelta::hours(1))));
        let ticks: Vec<_> = (0..180).map(|n| format!("{},1.1,1.1002", 1_768_460_400 + n)).collect();
        assert_eq!(run(&ticks.join("\n"), &minute_options()).unwrap().0.bars, 3);
    }

    #[test]
    fn rejected_rows_are_reported() {
        let csv = format!("{}2026-01-15T07:30:00,1.1,1.0,1.2,1.1,1\n", minutes(|n| format!("2026-01-15T07:{n:02}:00")));
        let (rows, first) = run(&csv, &minute_options()).unwrap().0.left_out.unwrap();
        assert_eq!((rows, first.as_str()), (1, "line 14, column 'high': is not the highest price of its bar"));
        let error = run("time,bid\n", &minute_options()).unwrap_err().to_string();
        assert!(error.contains("its columns hold neither ticks"), "{error}");
    }
}
