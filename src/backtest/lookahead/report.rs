//! The report of a look-ahead check.

use std::path::Path;

use serde::Serialize;

use super::check::{FIRST_PREFIX, MIN_WARM_UP_BARS, PREFIXES, WARM_UP_TOLERANCE};
use super::loaded::{LoadedRecording, MAX_PRICES};
use super::parts::CheckedKind;
use crate::domain::Instrument;
use crate::recordings::ReadSummary;

/// The report of one recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LookaheadReport {
    /// The version of the program.
    version: &'static str,
    /// The name of the file.
    pub file: String,
    /// The instrument.
    pub symbol: String,
    /// Whether nothing was rewritten, and every indicator settled.
    pub passed: bool,
    /// What was compared and how, in sentences.
    pub rules: Vec<String>,
    /// The number of bars of the detectors.
    pub bars: usize,
    /// The length of a bar in seconds.
    pub bar_seconds: i64,
    /// The number of prices of the engine.
    pub prices: usize,
    /// The number of bars on each side of a swing.
    pub swing: usize,
    /// The lengths of the prefixes in bars.
    pub prefixes: Vec<usize>,
    /// What was compared, for each detector, indicator and setup.
    pub outputs: Vec<SeriesCheck>,
    /// After how many bars a later start gives the same outputs; empty for a recording that is too short to tell.
    pub warm_up: Vec<WarmUpCheck>,
    /// How the file was read.
    pub read: ReadSummary,
}

/// The comparisons of one detector, indicator or setup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesCheck {
    /// What it is.
    pub kind: CheckedKind,
    /// Its name.
    pub name: String,
    /// The number of outputs that were compared, over all prefixes.
    pub compared: u64,
    /// The number of bars, over all prefixes, whose outputs the rest of the recording changed, added or removed.
    pub rewritten: u64,
    /// The one at the earliest bar.
    pub first: Option<RewrittenOutput>,
}

/// An output that later bars rewrote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RewrittenOutput {
    /// Its bar, from 0.
    pub bar: usize,
    /// When the bar opened.
    pub opened_at: Option<String>,
    /// The length of the prefix in bars.
    pub prefix: usize,
    /// What the prefix said; `None` for nothing.
    pub before: Option<String>,
    /// What the whole recording says; `None` for nothing.
    pub after: Option<String>,
}

/// How long a later start matters to one detector or indicator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WarmUpCheck {
    /// What it is.
    pub kind: CheckedKind,
    /// Its name.
    pub name: String,
    /// The number of bars after which all outputs are the same; `None` when they differed to the end.
    pub bars: Option<usize>,
    /// Whether the check fails when it does not settle: an indicator that never forgets has other values in a server than in a
    /// backtest.
    pub must_settle: bool,
}

impl LookaheadReport {
    /// Makes the report.
    pub(super) fn new(
        file: &Path,
        instrument: &Instrument,
        swing: usize,
        recording: &LoadedRecording,
        prefixes: &[usize],
        outputs: Vec<SeriesCheck>,
        warm_up: Vec<WarmUpCheck>,
    ) -> Self {
        let compared = outputs.iter().any(|it| it.compared > 0);
        let unchanged = outputs.iter().all(|it| it.rewritten == 0);
        let settled = warm_up.iter().all(|it| it.bars.is_some() || !it.must_settle);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            symbol: instrument.symbol.to_string(),
            passed: compared && unchanged && settled,
            rules: rules(recording, prefixes.len()),
            bars: recording.bars.len(),
            bar_seconds: recording.length.num_seconds(),
            prices: recording.ticks.len(),
            swing,
            prefixes: prefixes.to_vec(),
            outputs,
            warm_up,
            read: recording.read.clone(),
        }
    }

    /// Renders the report for a terminal.
    pub fn table(&self) -> String {
        let minutes = self.bar_seconds as f64 / 60.0;
        let mut lines = vec![
            format!(
                "{}: {}, {} bars of {minutes} min, {} prices, swing length {}, {} prefixes",
                self.file,
                self.symbol,
                self.bars,
                self.prices,
                self.swing,
                self.prefixes.len()
            ),
            String::new(),
            format!("{:<10}{:<26}{:>10}{:>11}  first rewritten", "", "", "compared", "rewritten"),
        ];
        for SeriesCheck { kind, name, compared, rewritten, first } in &self.outputs {
            let first = first.as_ref().map_or_else(|| "–".to_owned(), RewrittenOutput::describe);
            lines.push(format!("{:<10}{name:<26}{compared:>10}{rewritten:>11}  {first}", kind.name()));
        }
        if !self.warm_up.is_empty() {
            lines.extend([String::new(), "A later start changes nothing after".to_owned()]);
        }
        for WarmUpCheck { kind, name, bars, .. } in &self.warm_up {
            let bars = bars.map_or_else(|| "never in this file".to_owned(), |bars| format!("{bars} bars"));
            lines.push(format!("{:<10}{name:<26}{bars:>21}", kind.name()));
        }
        lines.push(String::new());
        lines.extend(self.rules.iter().cloned());
        lines.extend([self.verdict(), String::new()]);
        lines.join("\n")
    }

    /// Says in a line what came of it.
    pub fn verdict(&self) -> String {
        let unsettled = self.warm_up.iter().filter(|it| it.bars.is_none() && it.must_settle).count();
        let (rewritten, compared) = self
            .outputs
            .iter()
            .fold((0, 0), |(rewritten, compared), it| (rewritten + it.rewritten, compared + it.compared));
        if compared == 0 {
            return format!("failed: nothing could be compared in {} bars", self.bars);
        }
        let answer = if self.passed { "ok" } else { "failed" };
        let settled = match unsettled {
            0 => String::new(),
            count => format!(", {count} indicators that do not settle"),
        };
        format!("{answer}: {rewritten} rewritten of {compared} outputs that were compared{settled}")
    }
}

impl RewrittenOutput {
    fn describe(&self) -> String {
        let short = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or("nothing");
            text.chars().take(120).collect::<String>()
        };
        let at = self.opened_at.as_deref().unwrap_or_default();
        format!(
            "bar {} ({at}), prefix {}: {} became {}",
            self.bar,
            self.prefix,
            short(&self.before),
            short(&self.after)
        )
    }
}

impl CheckedKind {
    fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Indicator => "indicator",
            Self::Setup => "setup",
            Self::Outcome => "record",
        }
    }
}

fn rules(recording: &LoadedRecording, prefixes: usize) -> Vec<String> {
    let mut rules = vec![
        format!(
            "Compared: the outputs of {prefixes} prefixes with those of the whole recording: {PREFIXES} candle by candle from bar \
             {FIRST_PREFIX} on (the last {PREFIXES} of a shorter one), and {PREFIXES} spread over it."
        ),
        "Settled: an output counts at the bar at whose close it was known. From then on it must stay: a bar of the prefix is \
         rewritten when the whole recording says something else about it, or something where the prefix said nothing."
            .to_owned(),
    ];
    if recording.bars.len() >= MIN_WARM_UP_BARS {
        rules.push(format!(
            "A later start: again from 10 bars in the first half, without what began before; indicators may differ by {WARM_UP_TOLERANCE} of \
             their mean size, everything else not at all."
        ));
    } else {
        rules.push(format!("Later starts were not checked: that takes {MIN_WARM_UP_BARS} bars."));
    }
    if recording.is_cut {
        rules.push(format!("The file has more prices: the first {MAX_PRICES} were checked."));
    }
    rules
}
