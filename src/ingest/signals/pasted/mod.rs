//! Signals as people write them in a chat: direction, symbol, entry or range, targets and stop, in any order.
//!
//! ```text
//! XAUUSD BUY 4045-4048        💱EURUSD
//! TP1: 4055                   ⚫BUY
//! TP2: 4065                   🔵1.1651, 1.1701
//! SL: 4038                    🛑1.1558
//! ```
//!
//! What could mean two things is refused, and the answer shows how the rest was read.

#[cfg(test)]
mod tests;
mod tokens;
mod walk;

use chrono::{DateTime, NaiveTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::{Direction, Fault, Instrument, Instruments, iso};
use crate::ingest::PushError;
use crate::ingest::aliases::MAX_TARGETS;
use crate::ingest::values::written_number;
use walk::Walk;

/// How many lines without effect the answer names.
const MAX_IGNORED: usize = 20;
/// Largest ratio between the ends of a range; `4045-48` is an abbreviation of 4045-4048.
const MAX_RANGE: f64 = 1.2;
/// The error for a text without a direction or a symbol.
const WANTED: &str = "is not a signal: send JSON, or a text that says direction, symbol, entry, SL and TP, such as BUY EURUSD @ \
                      1.1600 SL 1.1570 TP 1.1650";

/// A parsed text.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::ingest) struct Pasted {
    symbol: String,
    direction: Direction,
    entry: Vec<f64>,
    stop: Option<f64>,
    targets: Vec<f64>,
    /// Lines in which a number, or every word, had no effect.
    pub ignored: Vec<String>,
    /// The text in lower case and with single blanks.
    key: String,
}

/// Parses a text.
///
/// # Errors
/// [`PushError`] with every fault: missing fields, ambiguous numbers, and pending orders.
pub(in crate::ingest) fn read(text: &str, instruments: &Instruments) -> Result<Pasted, PushError> {
    if ["\":", "\" :", "{\"", "':"].iter().any(|sign| text.contains(sign)) {
        return Err(PushError::whole("holds JSON, but does not begin with {: send the object alone"));
    }
    let walk = Walk::over(text, instruments);
    let mut faults = walk.faults.clone();
    if walk.direction.is_none() && walk.instrument.is_none() && walk.unknown.is_none() {
        return Err(PushError::whole(WANTED));
    }
    if walk.instrument.is_none() {
        faults.push(match &walk.unknown {
            Some(unknown) => Fault::unknown_symbol("symbol", unknown),
            None => Fault::required_for_signal("symbol"),
        });
    }
    if walk.direction.is_none() && !walk.is_faulty("direction") {
        let when = " for a new signal: the text has to say buy, sell, long or short";
        faults.push(Fault::required_when("direction", when));
    }
    let mut prices = PriceReader { instrument: walk.instrument, faults: Vec::new() };
    let mut entry = prices.all("entry_price", &walk.entries);
    let stop = prices.all("stop_loss", &walk.stops);
    let mut targets = prices.all("take_profits", &walk.targets);
    match &walk.unlabelled[..] {
        [] => {}
        [group] if entry.is_empty() => {
            let found = prices.all("entry_price", &group.numbers);
            // Several prices separated by commas are a list, and only targets are lists.
            if group.is_list && targets.is_empty() { targets = found } else { entry = found }
        }
        _ => prices.fault("entry_price", "there are prices without a word: write ENTRY, SL or TP before each"),
    }
    if let [first, second] = entry[..]
        && first.max(second) > first.min(second) * MAX_RANGE
    {
        prices.fault("entry_price", "the ends of the range are too far apart: write both prices whole");
    }
    if entry.len() > 2 {
        prices.fault("entry_price", "there are several entries: send each as a signal of its own");
    }
    if stop.len() > 1 && stop.iter().any(|other| *other != stop[0]) {
        prices.fault("stop_loss", "there are several stops: one signal has one");
    }
    if targets.len() > MAX_TARGETS {
        prices.fault("take_profits", &format!("must be at most {MAX_TARGETS}"));
    }
    faults.extend(prices.faults);
    let ignored = ignored(text, &walk);
    match (PushError::of_faults(faults), walk.instrument, walk.direction) {
        (None, Some(instrument), Some(direction)) => Ok(Pasted {
            symbol: instrument.symbol.to_string(),
            direction,
            entry,
            stop: stop.first().copied(),
            targets,
            ignored,
            key: text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" "),
        }),
        (Some(fault), ..) => Err(fault),
        (None, ..) => Err(PushError::whole(WANTED)),
    }
}

/// Converts numbers to prices, and collects the faults.
struct PriceReader<'a> {
    instrument: Option<&'a Instrument>,
    faults: Vec<Fault>,
}

impl PriceReader<'_> {
    fn fault(&mut self, field: &str, reason: &str) {
        self.faults.push(Fault::new(field, reason));
    }

    fn all(&mut self, field: &str, numbers: &[&str]) -> Vec<f64> {
        let digits = self.instrument.map(|instrument| instrument.digits);
        let mut prices = Vec::with_capacity(numbers.len());
        for number in numbers {
            match written_number(number, digits) {
                Ok(price) => prices.push(price),
                Err(reason) => self.fault(field, &reason),
            }
        }
        prices
    }
}

/// Returns the lines that were not read, in the order of the text.
fn ignored(text: &str, walk: &Walk<'_, '_>) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(number, _)| walk.unread_lines.contains(number));
    lines.take(MAX_IGNORED).map(|(_, line)| line.trim().chars().take(64).collect()).collect()
}

impl Pasted {
    /// Returns the entry price. For a range, it is the end that the price reaches first, which is the worse one.
    fn entry_price(&self) -> Option<f64> {
        let better = |a: f64, b: f64| match self.direction {
            Direction::Long => a.max(b),
            Direction::Short => a.min(b),
        };
        self.entry.iter().copied().reduce(better)
    }

    /// Returns the signal with the field names of pushed signals.
    pub(in crate::ingest) fn signal(&self) -> Value {
        let mut signal = json!({ "symbol": self.symbol, "direction": self.direction.name() });
        if let Some(entry) = self.entry_price() {
            signal["entry_price"] = json!(entry);
        }
        if let Some(stop) = self.stop {
            signal["stop_loss"] = json!(stop);
        }
        if !self.targets.is_empty() {
            signal["take_profits"] = json!(self.targets);
        }
        signal
    }

    /// Returns how the text was interpreted, for the sender.
    pub(in crate::ingest) fn described(&self) -> Value {
        let mut described = self.signal();
        if let [first, second] = self.entry[..] {
            described["entry_range"] = json!([first.min(second), first.max(second)]);
        }
        described
    }

    /// Returns an id that the same text gets again on the same UTC day.
    pub(in crate::ingest) fn id_of_day(&self, now: DateTime<Utc>) -> Uuid {
        let day = now.date_naive().and_time(NaiveTime::MIN).and_utc();
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{} {}", iso(day), self.key).as_bytes())
    }
}
