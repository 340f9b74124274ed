use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use proptest::prelude::*;
use tempfile::TempDir;

use super::keeper::MAX_QUEUED;
use super::line::{decode, encode};
use super::writer::BlockWriter;
use super::*;
use crate::domain::{Feed, KeptEntry, Quote, SourceName, Symbol, Tick, UsedTick, parse_time};
use crate::telemetry::Metrics;

const DAY: Duration = Duration::from_hours(24);

/// A keeper's writer on a directory of its own, with a clock and a disk that the test moves.
struct Rig {
    dir: TempDir,
    now: Arc<Mutex<DateTime<Utc>>>,
    complaint: Arc<Mutex<Option<String>>>,
    metrics: Arc<Metrics>,
}

impl Rig {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            now: Arc::new(Mutex::new(at("2026-01-15T10:00:00Z"))),
            complaint: Arc::default(),
            metrics: Arc::new(Metrics::new().unwrap()),
        }
    }

    fn options(&self, max_bytes: u64) -> KeeperOptions {
        let (now, complaint) = (self.now.clone(), self.complaint.clone());
        KeeperOptions {
            dir: self.dir.path().to_owned(),
            retention: 7 * DAY,
            max_bytes,
            low_space: Box::new(move || complaint.lock().clone()),
            clock: Arc::new(move || *now.lock()),
            metrics: self.metrics.clone(),
        }
    }

    fn writer(&self) -> BlockWriter {
        BlockWriter::new(self.options(KeeperOptions::MAX_BYTES))
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn root(&self) -> PathBuf {
        folder::root(self.path())
    }

    fn all(&self) -> Vec<KeptEntry> {
        self.items().into_iter().map(Result::unwrap).collect()
    }

    fn items(&self) -> Vec<std::io::Result<KeptEntry>> {
        read(self.path(), DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC).collect()
    }

    fn lost(&self, reason: &str) -> u64 {
        self.metrics.ticks_lost_total.with_label_values(&[reason]).get()
    }

    fn files(&self) -> Vec<String> {
        let files = days(self.path()).into_iter().flat_map(|day| folder::files(self.path(), day).unwrap());
        files.map(|file| file.strip_prefix(self.root()).unwrap().display().to_string()).collect()
    }
}

fn at(text: &str) -> DateTime<Utc> {
    parse_time(text).unwrap()
}

fn used(received_at: DateTime<Utc>) -> UsedTick {
    let quote = Quote::BidAsk { bid: 1.1, ask: 1.1002 };
    let (symbol, source) = (Symbol::new("EURUSD"), SourceName::new("push"));
    let tick = Tick { symbol, quote, volume: None, observed_at: received_at, feed: Feed::Live, source };
    UsedTick { tick, received_at }
}

fn tick(text: &str) -> KeptEntry {
    KeptEntry::Tick(used(at(text)))
}

/// So many ticks, a second apart.
fn ticks(from: &str, count: i64) -> Vec<KeptEntry> {
    (0..count).map(|second| KeptEntry::Tick(used(at(from) + TimeDelta::seconds(second)))).collect()
}

prop_compose! {
    fn any_tick()(
        symbol in "[A-Z0-9.]{1,32}",
        price in 1e-12..1e12_f64,
        spread in prop::option::of(0.0..1e6_f64),
        volume in prop::option::of(0.0..1e15_f64),
        received in 0..253_402_300_799_999_999_i64,
        observed in 0..253_402_300_799_999_999_i64,
        feed in prop::sample::select(vec![Feed::Live, Feed::Delayed, Feed::Indicative, Feed::Simulated, Feed::Replayed]),
        source in "[ -~]{1,40}",
    ) -> KeptEntry {
        let time = |micros| DateTime::from_timestamp_micros(micros).unwrap();
        let quote = spread.map_or(Quote::Last(price), |spread| Quote::BidAsk { bid: price, ask: price + spread });
        let (symbol, source) = (Symbol::new(&symbol), SourceName::new(&source));
        let tick = Tick { symbol, quote, volume, observed_at: time(observed), feed, source };
        KeptEntry::Tick(UsedTick { tick, received_at: time(received) })
    }
}

fn any_entry() -> impl Strategy<Value = KeptEntry> {
    let time = (0..253_402_300_799_999_999_i64).prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap());
    prop_oneof![
        8 => any_tick(),
        1 => time.clone().prop_map(KeptEntry::Began),
        1 => (time, any::<u64>()).prop_map(|(at, ticks)| KeptEntry::Lost(at, ticks)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_entry_is_read_as_it_was(entry in any_entry()) {
        let mut line = Vec::new();
        encode(&entry, &mut line).unwrap();
        prop_assert!(line.len() <= MAX_LINE_BYTES && line.pop() == Some(b'\n') && !line.contains(&b'\n'));
        // `==` compares numbers; two zeros have one spelling each.
        prop_assert_eq!(decode(&line).unwrap(), entry);
    }

    /// A file that `kill -9` or a full disk has cut off, and one that a disk has damaged.
    #[test]
    fn a_cut_file_keeps_its_whole_lines(cut in 0.0..1.0_f64, blocks in prop::collection::vec(1..40_i64, 1..5)) {
        let rig = Rig::new();
        let mut writer = rig.writer();
        let (mut all, mut ends) = (Vec::new(), Vec::new());
        for (hour, count) in blocks.into_iter().enumerate() {
            let block = ticks(&format!("2026-01-15T{:02}:00:00Z", 10 + hour), count);
            writer.write(&block);
            all.extend(block);
            ends.push((rig.metrics.ticks_bytes.get() as usize, all.len()));
        }
        let file = rig.root().join(&rig.files()[0]);
        let bytes = fs::read(&file).unwrap();
        let cut = (cut * bytes.len() as f64) as usize;
        fs::write(&file, &bytes[..cut]).unwrap();
        let read = rig.all();
        let whole = ends.iter().rev().find(|(end, _)| *end <= cut).map_or(0, |(_, count)| *count);
        prop_assert!(read.len() >= whole && all.starts_with(&read), "{} of {whole}", read.len());
    }

    #[test]
    fn a_damaged_block_is_an_error(place in 0.0..1.0_f64, bit in 0..8_u8) {
        let rig = Rig::new();
        let all = ticks("2026-01-15T10:00:00Z", 50);
        let mut writer = rig.writer();
        writer.write(&all);
        writer.write(&ticks("2026-01-16T10:00:00Z", 3));
        let file = rig.root().join(&rig.files()[0]);
        let mut bytes = fs::read(&file).unwrap();
        let place = (place * bytes.len() as f64) as usize;
        bytes[place] ^= 1 << bit;
        fs::write(&file, &bytes).unwrap();
        let items = rig.items();
        let (errors, read): (Vec<_>, Vec<_>) = items.into_iter().partition(Result::is_err);
        for error in &errors {
            prop_assert!(error.as_ref().unwrap_err().to_string().contains("100000000-00.jsonl.gz"));
        }
        prop_assert!(read.len() >= 3, "the next file is read");
        // Times and flags of the header are not data.
        prop_assert!(errors.len() == 1 || read.len() < 53 || (place < 10 && read.len() == 53), "{place} {}", read.len());
    }
}

#[test]
fn entries_are_in_private_files_by_day() {
    let rig = Rig::new();
    let mut writer = rig.writer();
    let mut all = vec![KeptEntry::Began(at("2026-01-15T23:59:58.123Z"))];
    all.extend(ticks("2026-01-15T23:59:59Z", 3));
    writer.write(&all);
    writer.write(&ticks("2026-01-16T00:00:10Z", 2));
    all.extend(ticks("2026-01-16T00:00:10Z", 2));
    assert_eq!(rig.files(), ["2026-01-15/235958123-00.jsonl.gz", "2026-01-16/000000000-00.jsonl.gz"]);
    assert_eq!(rig.all(), all);
    assert_eq!(days(rig.path()), [at("2026-01-15T00:00:00Z"), at("2026-01-16T00:00:00Z")].map(|at| at.date_naive()));
    assert_eq!(rig.metrics.ticks_kept_total.get(), 5);
    let file = rig.root().join(&rig.files()[0]);
    let folder = file.parent().unwrap();
    let size: u64 = rig.files().iter().map(|file| fs::metadata(rig.root().join(file)).unwrap().len()).sum();
    assert_eq!(rig.metrics.ticks_bytes.get(), size as i64);
    for (path, mode) in [(&*file, 0o600), (folder, 0o700), (&rig.root(), 0o700)] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
    // Exactly the time that is asked for.
    let some = read(rig.path(), at("2026-01-15T23:59:59Z"), at("2026-01-16T00:00:10Z"));
    assert_eq!(some.map(Result::unwrap).collect::<Vec<_>>(), all[1..4]);
    assert_eq!(read(rig.path(), at("2026-01-17T00:00:00Z"), at("2026-01-16T00:00:00Z")).count(), 0);
}

#[test]
fn a_new_process_begins_a_new_file() {
    let rig = Rig::new();
    let entries = ticks("2026-01-15T10:00:00Z", 2);
    for _ in 0..3 {
        rig.writer().write(&entries);
    }
    assert_eq!(rig.files().len(), 3);
    assert!(rig.files()[2].ends_with("/100000000-02.jsonl.gz"), "{:?}", rig.files());
    assert_eq!(rig.all(), [&*entries, &*entries, &*entries].concat());
}

#[test]
fn nothing_kept_reads_as_nothing() {
    let rig = Rig::new();
    assert_eq!((days(rig.path()).len(), rig.all().len()), (0, 0));
    rig.writer().write(&[]);
    assert!(!rig.root().exists());
    fs::write(rig.root(), "").unwrap();
    assert_eq!(days(rig.path()), []);
    let [Err(error)] = &rig.items()[..] else { panic!("an error") };
    assert!(error.to_string().contains("ticks"), "{error}");
}

#[test]
fn a_hostile_file_is_bounded() {
    let rig = Rig::new();
    let folder = day_folder(rig.path(), at("2026-01-15T00:00:00Z").date_naive());
    fs::create_dir_all(&folder).unwrap();
    let member = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let line = |entry: &KeptEntry| {
        let mut line = Vec::new();
        encode(entry, &mut line).unwrap();
        line
    };
    let good = tick("2026-01-15T10:00:00Z");
    let files = [
        ("100000000-00.jsonl.gz", member(&vec![b'\n'; 17 << 20]), Some("more than 16777216 bytes")),
        ("100000000-01.jsonl.gz", member(&vec![b'x'; 5_000]), Some("more than 4096 bytes")),
        ("100000000-02.jsonl.gz", member(&[line(&good), b"{\"t\":[]}\n".to_vec()].concat()), Some("invalid length")),
        ("100000000-03.jsonl.gz", b"plain text".to_vec(), Some("gzip")),
        ("100000000-04.jsonl.gz", member(b"{\"b\":9223372036854775807}"), Some("is not a time")),
        ("100000000-05.jsonl.gz", Vec::new(), None),
        ("100000000-06.jsonl.gz", member(&line(&good)), None),
    ];
    for (name, bytes, _) in &files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let (read, errors): (Vec<_>, Vec<_>) = rig.items().into_iter().partition(Result::is_ok);
    assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [good.clone(), good]);
    let errors: Vec<_> = errors.into_iter().map(|error| error.unwrap_err().to_string()).collect();
    let expected: Vec<_> = files.iter().filter_map(|(name, _, error)| Some((name, (*error)?))).collect();
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (name, reason)) in errors.iter().zip(expected) {
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }
}

#[test]
fn old_days_are_removed_and_nothing_foreign() {
    let rig = Rig::new();
    let mut writer = rig.writer();
    for day in 8..=15 {
        writer.write(&ticks(&format!("2026-01-{day:02}T12:00:00Z"), 1));
    }
    let old = rig.root().join("2026-01-08");
    fs::write(old.join("recomputed.json"), "{}").unwrap();
    fs::write(old.join("recomputed.json.partial"), "{").unwrap();
    let foreign = [
        rig.root().join("2026-01-07/notes.txt"),
        rig.root().join("2026-1-07/120000000-00.jsonl.gz"),
        rig.root().join("2025-01-01.old/120000000-00.jsonl.gz"),
        rig.root().join("2026-01-07/12000000-00.jsonl.gz"),
        rig.root().join("2026-01-07/120000000-00.jsonl.gz.old"),
        rig.root().join("2026-01-07/120000000-00.jsonl.gz.d/120000000-00.jsonl.gz"),
    ];
    for file in &foreign {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "mine").unwrap();
    }
    // A folder elsewhere, behind a link that is named like a day.
    let elsewhere = rig.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("120000000-00.jsonl.gz"), "mine").unwrap();
    std::os::unix::fs::symlink(&elsewhere, rig.root().join("2026-01-06")).unwrap();
    // 8 January has ended seven days ago at the next midnight.
    *rig.now.lock() = at("2026-01-15T23:59:59Z");
    writer.write(&[]);
    assert!(old.exists());
    *rig.now.lock() = at("2026-01-16T00:00:00Z");
    writer.write(&[]);
    assert!(!old.exists());
    assert_eq!(days(rig.path()).len(), 7);
    *rig.now.lock() = at("2026-01-20T08:00:00Z");
    rig.writer().write(&[]);
    assert_eq!(days(rig.path()).first(), Some(&at("2026-01-13T00:00:00Z").date_naive()), "also at the start");
    remove_all(rig.path()).unwrap();
    assert_eq!(days(rig.path()), []);
    assert!(foreign.iter().all(|file| file.exists()) && elsewhere.join("120000000-00.jsonl.gz").exists());
}

#[test]
fn beyond_its_size_the_oldest_days_go() {
    let rig = Rig::new();
    let block = ticks("2026-01-10T12:00:00Z", 500);
    rig.writer().write(&block);
    let day = rig.metrics.ticks_bytes.get() as u64;
    // A day may take half of it, which is three and a half.
    let mut writer = BlockWriter::new(rig.options(7 * day));
    for number in 11..=18 {
        writer.write(&ticks(&format!("2026-01-{number}T12:00:00Z"), 500));
        assert!(rig.metrics.ticks_bytes.get() as u64 <= 7 * day);
    }
    let kept = days(rig.path());
    assert!((5..=7).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last(), Some(&at("2026-01-18T00:00:00Z").date_naive()));
    assert!(kept.windows(2).all(|days| days[0].succ_opt() == Some(days[1])), "only the oldest went: {kept:?}");
    *rig.now.lock() = at("2026-01-19T12:00:00Z");
    for _ in 0..6 {
        writer.write(&ticks("2026-01-19T12:00:00Z", 500));
    }
    assert_eq!(rig.lost("disk"), 1_000, "a day has room for four blocks");
    assert!(days(rig.path()).contains(&at("2026-01-18T00:00:00Z").date_naive()));
    let last = || read(rig.path(), at("2026-01-19T00:00:00Z"), at("2026-01-20T00:00:00Z")).last().unwrap().unwrap();
    assert_eq!(last(), tick("2026-01-19T12:08:19Z"));
    *rig.now.lock() = at("2026-01-20T00:00:00Z");
    writer.write(&ticks("2026-01-20T00:00:00Z", 1));
    assert_eq!(last(), KeptEntry::Lost(at("2026-01-19T12:00:00Z"), 1_000));
    assert_eq!(rig.all().last(), Some(&tick("2026-01-20T00:00:00Z")));
}

#[test]
fn a_failing_disk_costs_counted_ticks() {
    let rig = Rig::new();
    let mut writer = rig.writer();
    writer.write(&ticks("2026-01-15T10:00:00Z", 2));
    let aside = rig.path().join("aside");
    fs::rename(rig.root(), &aside).unwrap();
    fs::write(rig.root(), "in the way").unwrap();
    let began = KeptEntry::Began(at("2026-01-15T23:59:00Z"));
    writer.write(&ticks("2026-01-15T23:58:30Z", 3));
    writer.write(std::slice::from_ref(&began));
    writer.write(&ticks("2026-01-16T00:00:00Z", 4));
    assert_eq!((rig.lost("disk"), rig.metrics.ticks_kept_total.get()), (7, 2));
    fs::remove_file(rig.root()).unwrap();
    fs::rename(&aside, rig.root()).unwrap();
    // Also without a new tick. What was lost stands in its day.
    writer.write(&[]);
    let of = |from: &str, until: &str| -> Vec<_> {
        read(rig.path(), at(from), at(until)).skip(2).map(Result::unwrap).collect()
    };
    let lost = |text, ticks| KeptEntry::Lost(at(text), ticks);
    assert_eq!(
        of("2026-01-15T00:00:00Z", "2026-01-16T00:00:00Z"),
        [began, lost("2026-01-15T23:58:30Z", 3)],
        "{:?}",
        rig.files()
    );
    writer.write(&ticks("2026-01-16T00:05:00Z", 1));
    assert_eq!(rig.all()[4..], [lost("2026-01-16T00:00:00Z", 4), tick("2026-01-16T00:05:00Z")]);
    assert_eq!(rig.lost("disk"), 7);
}

#[test]
fn with_little_space_no_tick_is_written() {
    let rig = Rig::new();
    let mut writer = rig.writer();
    writer.write(&ticks("2026-01-15T10:00:00Z", 1));
    let bytes = rig.metrics.ticks_bytes.get();
    *rig.complaint.lock() = Some("the disk is nearly full: 100 MiB free".to_owned());
    for minute in 1..4 {
        writer.write(&ticks(&format!("2026-01-15T10:0{minute}:00Z"), 5));
    }
    assert_eq!((rig.lost("disk"), rig.metrics.ticks_bytes.get()), (15, bytes));
    *rig.complaint.lock() = None;
    writer.write(&ticks("2026-01-15T10:05:00Z", 1));
    let expected = [KeptEntry::Lost(at("2026-01-15T10:01:00Z"), 15), tick("2026-01-15T10:05:00Z")];
    assert_eq!(rig.all()[1..], expected);
}

#[tokio::test]
async fn a_full_queue_loses_counted_ticks() {
    let rig = Rig::new();
    let (keeper, task) = Keeper::new(rig.options(KeeperOptions::MAX_BYTES));
    let began = at("2026-01-15T09:59:00Z");
    keeper.begin(began);
    let all: Vec<_> = (0..MAX_QUEUED as i64 + 10)
        .map(|millis| used(at("2026-01-15T10:00:00Z") + TimeDelta::milliseconds(millis)))
        .collect();
    for some in all.chunks(1_000) {
        keeper.keep(some.to_vec());
    }
    // The entry for the beginning takes the place of one.
    assert_eq!(rig.lost("queue"), 11);
    // The task ends when the last keeper is dropped, after writing everything.
    let other = keeper.clone();
    drop(keeper);
    other.keep(vec![all[0].clone()]);
    drop(other);
    task.run().await.unwrap();
    let read = rig.all();
    assert_eq!(read.len(), MAX_QUEUED + 1);
    assert_eq!(read[0], KeptEntry::Began(began));
    assert_eq!(read[MAX_QUEUED - 1], KeptEntry::Tick(all[MAX_QUEUED - 2].clone()));
    assert_eq!(read[MAX_QUEUED], KeptEntry::Lost(all[MAX_QUEUED - 1].received_at, 12));
    assert_eq!(rig.metrics.ticks_kept_total.get(), MAX_QUEUED as u64 - 1);
}

#[tokio::test(start_paused = true)]
async fn ticks_are_written_within_seconds() {
    let rig = Rig::new();
    let (keeper, task) = Keeper::new(rig.options(KeeperOptions::MAX_BYTES));
    let metrics = rig.metrics.clone();
    let feed = async {
        keeper.begin(at("2026-01-15T09:59:00Z"));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!rig.root().exists(), "without ticks there is nothing to keep");
        keeper.keep(vec![used(at("2026-01-15T10:00:00Z"))]);
        tokio::time::sleep(Duration::from_secs(6)).await;
        while metrics.ticks_kept_total.get() < 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The next term.
        keeper.begin(at("2026-01-15T10:01:00Z"));
        keeper.keep(vec![used(at("2026-01-15T10:01:05Z"))]);
        drop(keeper);
    };
    tokio::join!(task.run(), feed).0.unwrap();
    let began = |text| KeptEntry::Began(at(text));
    let expected = [
        began("2026-01-15T09:59:00Z"),
        tick("2026-01-15T10:00:00Z"),
        began("2026-01-15T10:01:00Z"),
        tick("2026-01-15T10:01:05Z"),
    ];
    assert_eq!(rig.all(), expected);
}
