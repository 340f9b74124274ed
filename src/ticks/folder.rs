//! The files on disk: their names, their size, and which are removed. A file that the keeper did not name is never touched.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};

use super::{RESULT_FILE, RESULT_PARTIAL, day_folder};

/// How the name of a file ends, after its time and number.
const SUFFIX: &str = ".jsonl.gz";
/// Files that begin in the same millisecond.
const MAX_NUMBER: u32 = 99;

/// Returns the folder of all days in the data directory.
pub(super) fn root(dir: &Path) -> PathBuf {
    dir.join("ticks")
}

/// Returns the days that have a folder, in order.
pub(super) fn days(dir: &Path) -> io::Result<Vec<NaiveDate>> {
    let mut days = names(&root(dir), fs::FileType::is_dir, parse_day)?;
    days.sort();
    Ok(days)
}

/// Returns the files of a day in the order in which they were begun.
pub(super) fn files(dir: &Path, day: NaiveDate) -> io::Result<Vec<PathBuf>> {
    let folder = day_folder(dir, day);
    let mut files = names(&folder, fs::FileType::is_file, |name| is_own(name).then(|| folder.join(name)))?;
    files.sort();
    Ok(files)
}

/// Removes all that was kept in the data directory `dir`, also of today.
///
/// # Errors
/// When a file cannot be removed.
pub fn remove_all(dir: &Path) -> io::Result<()> {
    let mut folder = Folder::new(dir, u64::MAX);
    folder.remove_before(NaiveDate::MAX)?;
    fs::remove_dir(root(dir)).ok();
    Ok(())
}

/// The folder and what is in it.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// Maximum size of all files in bytes.
    max_bytes: u64,
    /// The size of each day in bytes.
    sizes: BTreeMap<NaiveDate, u64>,
    file: Option<OpenFile>,
}

/// The file that blocks are appended to.
#[derive(Debug)]
struct OpenFile {
    day: NaiveDate,
    path: PathBuf,
    file: File,
    /// The size up to the last whole block.
    size: u64,
}

impl Folder {
    pub(super) fn new(dir: &Path, max_bytes: u64) -> Self {
        Self { dir: dir.to_owned(), max_bytes, sizes: BTreeMap::new(), file: None }
    }

    /// Returns the size of all files in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Whether a day has no room for more ticks. It may take half of all, so that the previous day stays until it was
    /// recomputed.
    pub(super) fn is_full(&self, day: NaiveDate) -> bool {
        self.sizes.get(&day).is_some_and(|size| *size >= self.max_bytes / 2)
    }

    /// Appends a block whose first entry arrived at `first`, after removing the oldest days if there are too many bytes.
    /// Nothing of a block that fails stays.
    pub(super) fn append(&mut self, first: DateTime<Utc>, block: &[u8]) -> io::Result<()> {
        let day = first.date_naive();
        while self.bytes() + block.len() as u64 > self.max_bytes
            && let Some(oldest) = self.sizes.keys().copied().find(|other| *other != day)
        {
            self.remove_day(oldest)?;
        }
        // A file that was removed would swallow what is written.
        let mut open = match self.file.take() {
            Some(open) if open.day == day && open.path.exists() => open,
            _ => self.create(first)?,
        };
        if let Err(error) = open.file.write_all(block) {
            if open.size == 0 {
                fs::remove_file(&open.path).ok();
            } else {
                open.file.set_len(open.size).ok();
            }
            // The next block begins a file, in case that some of this one stays.
            return Err(error);
        }
        open.size += block.len() as u64;
        *self.sizes.entry(day).or_default() += block.len() as u64;
        self.file = Some(open);
        Ok(())
    }

    /// Begins a file. Only its owner may read it.
    fn create(&self, first: DateTime<Utc>) -> io::Result<OpenFile> {
        let day = first.date_naive();
        let folder = day_folder(&self.dir, day);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for number in 0..=MAX_NUMBER {
            let path = folder.join(format!("{}-{number:02}{SUFFIX}", first.format("%H%M%S%3f")));
            match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(OpenFile { day, path, file, size: 0 }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "too many files begin in one millisecond"))
    }

    /// Reads the sizes anew, and removes the days before `first`.
    pub(super) fn remove_before(&mut self, first: NaiveDate) -> io::Result<()> {
        self.sizes.clear();
        for day in days(&self.dir)? {
            let mut size = 0;
            for file in self.own_files(day)? {
                size += fs::metadata(file)?.len();
            }
            self.sizes.insert(day, size);
        }
        while let Some(oldest) = self.sizes.keys().next().copied().filter(|oldest| *oldest < first) {
            self.remove_day(oldest)?;
        }
        Ok(())
    }

    /// Removes what was kept of a day; other files stay, and the folder with them.
    fn remove_day(&mut self, day: NaiveDate) -> io::Result<()> {
        for file in self.own_files(day)? {
            fs::remove_file(file)?;
        }
        fs::remove_dir(day_folder(&self.dir, day)).ok();
        self.sizes.remove(&day);
        Ok(())
    }

    /// Returns the files of a day, the result of the job among them.
    fn own_files(&self, day: NaiveDate) -> io::Result<Vec<PathBuf>> {
        let mut files = files(&self.dir, day)?;
        let folder = day_folder(&self.dir, day);
        files.extend(
            [RESULT_FILE, RESULT_PARTIAL].map(|name| folder.join(name)).into_iter().filter(|file| file.is_file()),
        );
        Ok(files)
    }
}

/// Returns what `parse` makes of the names in a folder; nothing without the folder.
fn names<T>(
    folder: &Path,
    is_kind: fn(&fs::FileType) -> bool,
    parse: impl Fn(&str) -> Option<T>,
) -> io::Result<Vec<T>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_kind(&entry.file_type()?) {
            found.extend(entry.file_name().to_str().and_then(&parse));
        }
    }
    Ok(found)
}

/// Parses the name of a day's folder, such as `2026-01-15`.
fn parse_day(name: &str) -> Option<NaiveDate> {
    name.parse().ok().filter(|day: &NaiveDate| day.to_string() == name)
}

/// Whether the keeper gives files such a name: `HHMMSSmmm-NN.jsonl.gz`.
fn is_own(name: &str) -> bool {
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = name.strip_suffix(SUFFIX).and_then(|stem| stem.split_once('-'));
    stem.is_some_and(|(time, number)| is_number(time, 9) && is_number(number, 2))
}
