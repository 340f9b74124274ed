//! An entry as a line: `{"t":["EURUSD",1.1,1.1002,null,1767225600123000,4000,"live","push"]}`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{Feed, KeptEntry, Quote, SourceName, Symbol, Tick, UsedTick};

/// The wire form. Times are Unix microseconds, since the server's own times have milliseconds.
#[derive(Serialize, Deserialize)]
enum EntryLine {
    /// Symbol, bid, ask (null: the bid is the last price), volume, time of arrival, microseconds from the observation to the
    /// arrival, feed, source.
    #[serde(rename = "t")]
    Tick(Symbol, f64, Option<f64>, Option<f64>, i64, i64, Feed, SourceName),
    #[serde(rename = "b")]
    Began(i64),
    #[serde(rename = "l")]
    Lost(i64, u64),
}

/// Appends an entry and its line feed.
pub(super) fn encode(entry: &KeptEntry, text: &mut Vec<u8>) -> serde_json::Result<()> {
    let line = match entry {
        KeptEntry::Began(at) => EntryLine::Began(at.timestamp_micros()),
        KeptEntry::Lost(at, ticks) => EntryLine::Lost(at.timestamp_micros(), *ticks),
        KeptEntry::Tick(UsedTick { tick, received_at }) => {
            let (bid, ask) = match tick.quote {
                Quote::BidAsk { bid, ask } => (bid, Some(ask)),
                Quote::Last(price) => (price, None),
            };
            let received = received_at.timestamp_micros();
            let latency = received.wrapping_sub(tick.observed_at.timestamp_micros());
            EntryLine::Tick(
                tick.symbol.clone(),
                bid,
                ask,
                tick.volume,
                received,
                latency,
                tick.feed,
                tick.source.clone(),
            )
        }
    };
    serde_json::to_writer(&mut *text, &line)?;
    text.push(b'\n');
    Ok(())
}

/// Decodes a line without its line feed.
pub(super) fn decode(line: &[u8]) -> Result<KeptEntry, String> {
    let time = |micros: i64| -> Result<DateTime<Utc>, String> {
        DateTime::from_timestamp_micros(micros).ok_or_else(|| format!("{micros} is not a time"))
    };
    Ok(match serde_json::from_slice(line).map_err(|error| error.to_string())? {
        EntryLine::Began(at) => KeptEntry::Began(time(at)?),
        EntryLine::Lost(at, ticks) => KeptEntry::Lost(time(at)?, ticks),
        EntryLine::Tick(symbol, bid, ask, volume, received, latency, feed, source) => {
            let quote = ask.map_or(Quote::Last(bid), |ask| Quote::BidAsk { bid, ask });
            let observed_at = time(received.wrapping_sub(latency))?;
            let tick = Tick { symbol, quote, volume, observed_at, feed, source };
            KeptEntry::Tick(UsedTick { tick, received_at: time(received)? })
        }
    })
}
