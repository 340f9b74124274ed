//! Step 5: outcome records become a hash chain. Frozen.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Builds the chain from the records of a log that had none, and gives a record to every confirmed signal without one: the
/// earlier process may have been watching it, and stored nothing.
pub(super) fn build(transaction: &Connection) -> rusqlite::Result<()> {
    let mut chain = Chain { transaction, seq: 0, hash: [0; 32] };
    let mut records = transaction.prepare(
        "SELECT signal_id, closed_at, stored_at, body FROM outcomes_before ORDER BY stored_at, closed_at, signal_id",
    )?;
    let mut rows = records.query([])?;
    while let Some(row) = rows.next()? {
        let (signal_id, closed_at, stored_at, body): (String, i64, i64, String) = row.try_into()?;
        chain.append(&signal_id, closed_at, stored_at, &body)?;
    }
    let mut confirmed = transaction.prepare(
        "SELECT e.stored_at, e.body FROM signals s JOIN signal_events e ON e.seq = s.last_seq \
         WHERE s.status = 'confirmed' AND e.source <> 'simulator' \
         AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.signal_id = s.id) ORDER BY e.seq",
    )?;
    // Read before anything is written: the query reads the table that is written.
    let unwatched: Vec<(i64, String)> =
        confirmed.query_map([], |row: &Row<'_>| row.try_into())?.collect::<rusqlite::Result<_>>()?;
    for (stored_at, body) in unwatched {
        let signal: Signal = serde_json::from_str(&body).map_err(unreadable)?;
        let record = serde_json::to_string(&Interrupted::of(&signal)).map_err(unreadable)?;
        chain.append(&signal.id, signal.updated_at.timestamp_millis(), stored_at, &record)?;
    }
    transaction.execute_batch("DROP TABLE outcomes_before")
}

fn unreadable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
}

/// The end of the chain.
struct Chain<'a> {
    transaction: &'a Connection,
    seq: u64,
    hash: [u8; 32],
}

impl Chain<'_> {
    fn append(&mut self, signal_id: &str, closed_at: i64, stored_at: i64, body: &str) -> rusqlite::Result<()> {
        let seq = self.seq + 1;
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        for number in [seq.to_le_bytes(), closed_at.to_le_bytes(), stored_at.to_le_bytes(), 1_u64.to_le_bytes()] {
            hasher.update(number);
        }
        for text in [signal_id, body] {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        let hash: [u8; 32] = hasher.finalize().into();
        self.transaction
            .prepare_cached(
                "INSERT INTO outcomes (seq, signal_id, closed_at, stored_at, taken_over, body, hash) \
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6)",
            )?
            .execute((seq, signal_id, closed_at, stored_at, body, hash))?;
        (self.seq, self.hash) = (seq, hash);
        Ok(())
    }
}

/// What the body of a signal event held.
#[derive(Deserialize)]
struct Signal {
    id: String,
    direction: String,
    symbol: String,
    entry_price: Option<f64>,
    stop_loss: Option<f64>,
    take_profits: Vec<f64>,
    reason: String,
    confidence: f64,
    killzone: String,
    source: String,
    updated_at: DateTime<Utc>,
}

/// The body of an outcome record of a signal that was not watched to its end.
#[derive(Serialize)]
struct Interrupted<'a> {
    signal: &'a str,
    symbol: &'a str,
    direction: &'a str,
    setup: Option<&'static str>,
    killzone: &'a str,
    source: &'a str,
    confidence: f64,
    feed: Option<&'static str>,
    entry: Option<f64>,
    stop: Option<f64>,
    fill: Option<f64>,
    confirmed_at: DateTime<Utc>,
    closed_at: DateTime<Utc>,
    class: &'static str,
    targets_hit: usize,
    targets: usize,
    r: f64,
    mfe: f64,
    mae: f64,
    gap_seconds: u64,
}

impl<'a> Interrupted<'a> {
    fn of(signal: &'a Signal) -> Self {
        Self {
            signal: &signal.id,
            symbol: &signal.symbol,
            direction: &signal.direction,
            setup: setup_named_in(&signal.reason),
            killzone: &signal.killzone,
            source: &signal.source,
            confidence: signal.confidence,
            feed: None,
            entry: signal.entry_price,
            stop: signal.stop_loss,
            fill: None,
            confirmed_at: signal.updated_at,
            closed_at: signal.updated_at,
            class: "interrupted",
            targets_hit: 0,
            targets: signal.take_profits.len(),
            r: 0.0,
            mfe: 0.0,
            mae: 0.0,
            gap_seconds: 0,
        }
    }
}

/// Returns the setup that a signal's reason names first.
fn setup_named_in(reason: &str) -> Option<&'static str> {
    const SETUPS: [(&str, &str); 5] = [
        ("mssfvg", "mss_fvg"),
        ("orderblock", "order_block"),
        ("liquiditysweep", "liquidity_sweep"),
        ("bosconfirmation", "bos"),
        ("premiumdiscount", "premium_discount"),
    ];
    let letters: String =
        reason.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    let place = |(words, setup)| letters.find(words).map(|place| (place, setup));
    SETUPS.into_iter().filter_map(place).min_by_key(|(place, _)| *place).map(|(_, setup)| setup)
}
