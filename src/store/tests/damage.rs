//! Whatever happens to the files, either the start fails or everything that was acknowledged is there.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::domain::TradeOutcome;
use crate::store::open::{Opened, Watermarking};

const FILES: [&str; 3] = [DATABASE_FILE, "orion.db-wal", WATERMARK_FILE];

/// Returns a folder in memory, if possible, because syncing a thousand logs to a disk takes minutes.
pub(super) fn fast_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

/// The files of a log at some moment; `None` for a missing file.
#[derive(Debug, Clone)]
pub(super) struct Image(pub(super) [Option<Vec<u8>>; 3]);

impl Image {
    pub(super) fn of(dir: &Path) -> Self {
        Self(FILES.map(|name| fs::read(dir.join(name)).ok()))
    }

    pub(super) fn write(&self, dir: &Path) {
        fs::remove_file(dir.join("orion.db-shm")).ok();
        for (name, content) in FILES.iter().zip(&self.0) {
            match content {
                Some(content) => fs::write(dir.join(name), content).unwrap(),
                None => drop(fs::remove_file(dir.join(name))),
            }
        }
    }
}

/// The acknowledged content of a log.
#[derive(Debug, Clone, PartialEq)]
struct Content {
    position: Position,
    events: Vec<(u64, Signal)>,
    published: Vec<RelayedMessage>,
    forgotten: PrunedMessages,
    users: Vec<UserNote>,
    outcomes: Vec<TradeOutcome>,
    open: Vec<(Signal, Option<Progress>)>,
    pending: Vec<Signal>,
}

impl Content {
    fn of(opened: &Opened) -> Result<Self, rusqlite::Error> {
        let Recovered { position, published, forgotten, users, open_records, pending, .. } = opened.recovered.clone();
        let mut records = Vec::new();
        outcomes::for_each(&opened.connection, |record| records.push(record))?;
        Ok(Self {
            position,
            events: queries::events_after(&opened.connection, 0, 1_000)?,
            published,
            forgotten,
            users,
            outcomes: records,
            open: open_records,
            pending,
        })
    }
}

fn open_image(dir: &Path) -> Result<Opened, StoreError> {
    open::open(dir, (start(), message_type), None, Watermarking::On, None)
}

/// Returns a log at different moments with its acknowledged content, oldest first.
type Moments = Vec<(&'static str, Image, Content)>;

async fn push(store: &Store, from: usize, count: usize) {
    for number in from..from + count {
        let id = format!("s{number}");
        let user = || Audience::User(format!("u{}", number % 3).into());
        let messages = vec![
            message(ALERTS, user(), "", "{\"text\":\"filled\"}"),
            message(BALANCES, user(), "luno", &format!("{{\"total\":{number}234567.25}}")),
        ];
        let note =
            UserNote { user: format!("u{}", number % 5).into(), not_before: Some(start()), seen: Some(number as u64) };
        let events = vec![pending(&id), if number.is_multiple_of(2) { confirmed(&id) } else { timed_out(&id) }];
        store.append(events, messages, vec![note]).await.unwrap();
        if number.is_multiple_of(4) {
            let records = vec![records::outcome(&id, -1.0)];
            store.append_outcomes(records, Vec::new()).await.unwrap();
        }
    }
    store.save_bars((0..40).map(|minute| bar(minute, 1.1)).collect());
}

/// Opens a copy, and reads its content.
fn content(image: &Image) -> Content {
    let dir = fast_dir();
    image.write(dir.path());
    Content::of(&open_image(dir.path()).unwrap()).unwrap()
}

async fn moments() -> Moments {
    let dir = fast_dir();
    let mut images = Vec::new();
    let mut add = |name, image: Image| {
        let content = content(&image);
        images.push((name, image, content));
    };
    let (store, _) = open(dir.path());
    push(&store, 0, 8).await;
    add("killed, never closed", Image::of(dir.path()));
    store.close().await.unwrap();
    drop(store);
    add("closed", Image::of(dir.path()));
    let (store, _) = open(dir.path());
    push(&store, 8, 10).await;
    add("killed", Image::of(dir.path()));
    push(&store, 18, 6).await;
    add("killed later", Image::of(dir.path()));
    store.close().await.unwrap();
    drop(store);
    let (store, _) = open(dir.path());
    push(&store, 24, 3).await;
    add("killed after the second start", Image::of(dir.path()));
    store.close().await.unwrap();
    drop(store);
    add("closed again", Image::of(dir.path()));
    images
}

/// Damages one file. Returns a description.
fn damage(random: &mut StdRng, image: &mut Image, older: &[(&'static str, Image, Content)], file: usize) -> String {
    let Some(content) = &mut image.0[file] else { return "nothing there".into() };
    let length = content.len();
    let name = FILES[file];
    match random.random_range(0..10) {
        0..5 if length > 0 => {
            let bit = random.random_range(0..8 * length);
            content[bit / 8] ^= 1 << (bit % 8);
            format!("bit {} of byte {} in {name}", bit % 8, bit / 8)
        }
        5 | 6 => {
            let to = random.random_range(0..=length);
            content.truncate(to);
            format!("{name} cut to {to} of {length}")
        }
        7 if length > 0 => {
            let from = random.random_range(0..length);
            let to = (from + random.random_range(1..9_000)).min(length);
            content[from..to].fill(0);
            format!("{name} zeroed {from}–{to} of {length}")
        }
        8 if !older.is_empty() => {
            let (which, older, _) = &older[random.random_range(0..older.len())];
            image.0[file].clone_from(&older.0[file]);
            format!("{name} as it was when {which}")
        }
        _ => {
            image.0[file] = None;
            format!("{name} removed")
        }
    }
}

/// Starts on the damaged files. Returns `true` when the start fails.
fn start_on(dir: &Path, image: &Image, acknowledged: &Content, case: &str) -> bool {
    image.write(dir);
    let before = Image::of(dir);
    let opened = match open_image(dir) {
        Ok(opened) => opened,
        Err(error) => {
            let is_told =
                matches!(error, StoreError::Damaged { .. } | StoreError::Lost { .. } | StoreError::Newer { .. });
            assert!(is_told, "{case}: {error:?}");
            assert_eq!(Image::of(dir).0, before.0, "{case}: the files have changed");
            return true;
        }
    };
    match Content::of(&opened) {
        // With an older watermark the log may contain more than that acknowledged.
        Ok(found) => assert_eq!(&found, acknowledged, "{case}"),
        // A damaged row is an error, and is not served.
        Err(error) => assert!(row::damaged_row(&error).is_some(), "{case}: {error}"),
    }
    false
}

/// Returns the number of rounds; `ORION_DAMAGE_ROUNDS` sets it for longer runs.
fn rounds(default: usize) -> usize {
    std::env::var("ORION_DAMAGE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn no_single_damage_loses_acknowledged_entries_silently() {
    let images = moments().await;
    let dir = fast_dir();
    let (mut refused, rounds) = (0, rounds(1_000));
    for round in 0..rounds {
        let mut random = StdRng::seed_from_u64(round as u64);
        let moment = random.random_range(0..images.len());
        let (name, image, acknowledged) = &images[moment];
        let mut damaged = image.clone();
        let file = random.random_range(0..FILES.len());
        let what = damage(&mut random, &mut damaged, &images[..moment], file);
        refused += usize::from(start_on(dir.path(), &damaged, acknowledged, &format!("round {round}, {name}: {what}")));
    }
    assert!(refused * 4 > rounds, "{refused} of {rounds}: the damages do nothing");
}

#[tokio::test]
async fn no_double_damage_loses_acknowledged_entries_silently() {
    let images = moments().await;
    let dir = fast_dir();
    for round in 0..rounds(1_000) / 4 {
        let mut random = StdRng::seed_from_u64(1 << 32 | round as u64);
        // An empty folder is a new log, and a folder with only older files is an older log.
        let moment = [0, 2, 3, 4][random.random_range(0..4)];
        let (name, image, acknowledged) = &images[moment];
        let mut damaged = image.clone();
        let first = random.random_range(0..FILES.len());
        let second = (first + random.random_range(1..FILES.len())) % FILES.len();
        let what = [first, second].map(|file| damage(&mut random, &mut damaged, &[], file)).join(", ");
        start_on(dir.path(), &damaged, acknowledged, &format!("round {round}, {name}: {what}"));
    }
}
