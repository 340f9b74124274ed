//! Writes blocks of entries, and keeps within the disk.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::mem;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use tracing::{info, warn};

use super::folder::Folder;
use super::line::encode;
use super::{KeeperOptions, MAX_BLOCK_ENTRIES, MAX_LINE_BYTES};
use crate::domain::KeptEntry;
use crate::telemetry::LogLimit;

/// Why a block is not kept.
enum Unkept {
    /// There is no space for ticks, which is not a failure.
    NoSpace(String),
    /// The disk.
    Failed(io::Error),
}

/// The entries of a day that could not be written, as they are written when there is a way again.
#[derive(Debug, Default)]
struct Unwritten {
    began: Option<DateTime<Utc>>,
    lost: Option<(DateTime<Utc>, u64)>,
}

/// Writes blocks.
#[derive(Debug)]
pub(super) struct BlockWriter {
    options: KeeperOptions,
    folder: Folder,
    /// By day, because the entries of a day are in its folder.
    unwritten: BTreeMap<NaiveDate, Unwritten>,
    /// The day on which old days were removed last.
    pruned_on: Option<NaiveDate>,
    /// Whether it has said that there is no space.
    is_paused: bool,
    failures_log: LogLimit,
    pruning_log: LogLimit,
}

impl Unwritten {
    fn add(&mut self, entry: &KeptEntry) {
        let (at, ticks) = match entry {
            KeptEntry::Began(at) => return self.began = Some(*at),
            KeptEntry::Tick(used) => (used.received_at, 1),
            KeptEntry::Lost(at, ticks) => (*at, *ticks),
        };
        let (_, count) = self.lost.get_or_insert((at, 0));
        *count += ticks;
    }

    fn entries(&self) -> Vec<KeptEntry> {
        let began = self.began.map(KeptEntry::Began);
        began.into_iter().chain(self.lost.map(|(at, ticks)| KeptEntry::Lost(at, ticks))).collect()
    }
}

impl BlockWriter {
    pub(super) fn new(options: KeeperOptions) -> Self {
        Self {
            folder: Folder::new(&options.dir, options.max_bytes),
            options,
            unwritten: BTreeMap::new(),
            pruned_on: None,
            is_paused: false,
            failures_log: LogLimit::new(),
            pruning_log: LogLimit::new(),
        }
    }

    /// Writes entries, and removes old days at the first call of a day.
    pub(super) fn write(&mut self, entries: &[KeptEntry]) {
        self.prune();
        if !self.unwritten.is_empty() {
            let written = self.write_marks();
            if written.is_err() || self.unwritten.is_empty() {
                self.report(&written);
            }
        }
        let days = entries.chunk_by(|one, next| one.at().date_naive() == next.at().date_naive());
        for block in days.flat_map(|day| day.chunks(MAX_BLOCK_ENTRIES)) {
            let written = self.append_ticks(block);
            self.report(&written);
            let ticks = block.iter().filter(|entry| matches!(entry, KeptEntry::Tick(_))).count() as u64;
            if written.is_ok() {
                self.options.metrics.ticks_kept_total.inc_by(ticks);
                continue;
            }
            self.options.metrics.ticks_lost_total.with_label_values(&["disk"]).inc_by(ticks);
            for entry in block {
                self.unwritten.entry(entry.at().date_naive()).or_default().add(entry);
            }
        }
        self.options.metrics.ticks_bytes.set(self.folder.bytes() as i64);
    }

    /// Writes what stands for entries that could not be written; of a day that is full, after its end.
    fn write_marks(&mut self) -> Result<(), Unkept> {
        let today = (self.options.clock)().date_naive();
        while let Some((day, marks)) = self.unwritten.first_key_value()
            && (*day < today || !self.folder.is_full(*day))
        {
            let entries = marks.entries();
            self.append(&entries)?;
            self.unwritten.pop_first();
        }
        Ok(())
    }

    /// Writes a block of ticks, unless their day is full.
    fn append_ticks(&mut self, block: &[KeptEntry]) -> Result<(), Unkept> {
        if block.first().is_some_and(|first| self.folder.is_full(first.at().date_naive())) {
            let most = self.options.max_bytes >> 21;
            return Err(Unkept::NoSpace(format!("the ticks of a day may take {most} MiB")));
        }
        self.append(block)
    }

    /// Writes a block of entries of one day.
    fn append(&mut self, block: &[KeptEntry]) -> Result<(), Unkept> {
        let Some(first) = block.first().map(KeptEntry::at) else { return Ok(()) };
        if let Some(complaint) = (self.options.low_space)() {
            return Err(Unkept::NoSpace(complaint));
        }
        let block = compress(block).map_err(Unkept::Failed)?;
        self.folder.append(first, &block).map_err(Unkept::Failed)
    }

    fn report(&mut self, written: &Result<(), Unkept>) {
        match written {
            Err(Unkept::NoSpace(reason)) => {
                if !mem::replace(&mut self.is_paused, true) {
                    warn!(
                        reason,
                        "ticks are not kept until there is space again: make room, or shorten data.tick_retention"
                    );
                }
            }
            Err(Unkept::Failed(error)) => {
                if let Some(suppressed) = self.failures_log.admit() {
                    let folder = super::folder::root(&self.options.dir);
                    warn!(
                        folder = %folder.display(), %error, suppressed,
                        "ticks cannot be kept, and are lost until this folder can be written: check its disk and its permissions"
                    );
                }
            }
            Ok(()) => {
                if self.failures_log.end().is_some() | mem::take(&mut self.is_paused) {
                    info!("ticks are kept again");
                }
            }
        }
    }

    /// Removes the days that have ended longer ago than the retention, once a day.
    fn prune(&mut self) {
        let now = (self.options.clock)();
        if self.pruned_on == Some(now.date_naive()) {
            return;
        }
        let retention = TimeDelta::from_std(self.options.retention).unwrap_or(TimeDelta::MAX);
        let first = now.checked_sub_signed(retention).map_or(NaiveDate::MIN, |since| since.date_naive());
        match self.folder.remove_before(first) {
            Ok(()) => {
                self.pruned_on = Some(now.date_naive());
                self.unwritten = self.unwritten.split_off(&first);
            }
            Err(error) => {
                if let Some(suppressed) = self.pruning_log.admit() {
                    let folder = super::folder::root(&self.options.dir);
                    warn!(
                        folder = %folder.display(), %error, suppressed,
                        "old ticks cannot be removed (data.tick_retention): check the permissions of this folder"
                    );
                }
            }
        }
    }
}

/// Makes a gzip member of entries, within what a reader accepts.
fn compress(entries: &[KeptEntry]) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(entries.len() * 96);
    for entry in entries {
        let before = text.len();
        encode(entry, &mut text)?;
        if text.len() - before > MAX_LINE_BYTES {
            return Err(io::Error::other(format!("an entry has more than {MAX_LINE_BYTES} bytes")));
        }
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::default());
    encoder.write_all(&text)?;
    encoder.finish()
}
