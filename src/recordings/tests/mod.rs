//! Tests on files in real formats.

mod cases;
mod layouts;
mod properties;
mod refusals;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::input::Content;
use super::{Counts, ReadRequest, ReadSummary, RecordedTick, Recording, RecordingError, RowPrices};
use crate::domain::{Instruments, Quote, RecordingOptions, iso, parse_time};

/// The day on which all these files are read.
fn now() -> DateTime<Utc> {
    parse_time("2026-11-28T12:00:00Z").unwrap()
}

/// A file with its name.
#[derive(Debug, Clone)]
struct File {
    name: String,
    bytes: Vec<u8>,
    symbol: &'static str,
    options: RecordingOptions,
}

fn file(name: &str, text: &str) -> File {
    File { name: name.into(), bytes: text.into(), symbol: "EURUSD", options: RecordingOptions::default() }
}

/// The result of reading a file.
#[derive(Debug, Clone, PartialEq)]
struct Read {
    /// `2026-01-15T12:00:00.000Z 1.16001/1.16009` or `… O H L C`: a single price as such, two as `bid/ask`.
    rows: Vec<String>,
    summary: ReadSummary,
}

impl File {
    fn of(self, symbol: &'static str) -> Self {
        Self { symbol, ..self }
    }

    /// Sets the option `--name value`.
    fn with(mut self, name: &str, value: &str) -> Self {
        match name {
            "timezone" => self.options.timezone = Some(value.parse().unwrap()),
            "price" => self.options.price = Some(value.parse().unwrap()),
            "spread" => self.options.spread = Some(value.parse().unwrap()),
            "bar-label" => self.options.bar_label = Some(value.parse().unwrap()),
            "columns" => self.options.columns = value.parse().unwrap(),
            other => panic!("there is no --{other}"),
        }
        self
    }

    fn open(&self) -> Result<Recording, RecordingError> {
        let list = Instruments::documented().into_iter().chain(Instruments::futures());
        let instruments = Arc::new(Instruments::new(list).unwrap());
        let instrument = instruments.resolve(self.symbol).unwrap().clone();
        let request = ReadRequest { instrument, instruments, options: self.options.clone(), now: now() };
        Recording::open_content(&Content::Bytes(self.bytes.clone().into(), self.name.clone()), &request)
    }

    fn read(&self) -> Result<Read, RecordingError> {
        let mut recording = self.open()?;
        let mut rows = Vec::new();
        while let Some(row) = recording.next_row()? {
            let prices = match row.prices {
                RowPrices::Tick(price) => quote(price),
                RowPrices::Bar(bar) => [bar.open, bar.high, bar.low, bar.close].map(quote).join(" "),
            };
            rows.push(format!("{} {prices}", iso(row.at).replace(":00.000Z", "Z").replace(".000Z", "Z")));
        }
        Ok(Read { rows, summary: recording.summary().clone() })
    }

    fn good(&self) -> Read {
        self.read().unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn error(&self) -> String {
        match self.read() {
            Err(error) => error.to_string(),
            Ok(read) => panic!("{} was read: {read:?}", self.name),
        }
    }

    /// Returns all ticks, as a replay sends them.
    fn steps(&self) -> Result<(Vec<RecordedTick>, Counts), RecordingError> {
        let mut recording = self.open()?;
        let mut steps = Vec::new();
        loop {
            let chunk = recording.next_chunk()?;
            if chunk.is_empty() {
                return Ok((steps, recording.counts()));
            }
            steps.extend(chunk);
        }
    }
}

fn quote(quote: Quote) -> String {
    match quote {
        Quote::Last(price) => price.to_string(),
        Quote::BidAsk { bid, ask } => format!("{bid}/{ask}"),
    }
}

impl Read {
    fn left_out(&self) -> Vec<(&'static str, u64)> {
        self.summary.left_out.iter().map(|(reason, rows)| (reason.code(), rows.rows)).collect()
    }

    fn described(&self) -> String {
        self.summary.lines().join("\n")
    }
}
