//! Reads kept entries block by block.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::vec;

use chrono::{DateTime, NaiveDate, Utc};
use flate2::bufread::GzDecoder;
use tracing::info;

use super::line::decode;
use super::{MAX_BLOCK_ENTRIES, MAX_LINE_BYTES, folder};
use crate::domain::KeptEntry;

/// Maximum size of a block that is read, in bytes of lines.
const MAX_BLOCK_BYTES: usize = MAX_BLOCK_ENTRIES * MAX_LINE_BYTES;

/// Reads what arrived from `from` until before `until`, in the order of arrival, from the data directory `dir`. One block is in
/// memory at a time. The last block of a file may be cut off, as by `kill -9`: its whole lines are read, and the log says so.
///
/// # Errors
/// An item is an error that names the file when it cannot be read or is damaged; the next items are of the next file.
pub fn read(
    dir: &Path,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = io::Result<KeptEntry>> + use<> {
    let (days, failed) = match folder::days(dir) {
        Ok(days) => (days, None),
        Err(error) => (Vec::new(), Some(named(&folder::root(dir), &error))),
    };
    let days: Vec<_> = days.into_iter().filter(|day| (from.date_naive()..=until.date_naive()).contains(day)).collect();
    let entries = Entries {
        dir: dir.to_owned(),
        days: days.into_iter(),
        files: Vec::new().into_iter(),
        file: None,
        lines: BlockLines::default(),
    };
    let in_time = move |entry: &io::Result<KeptEntry>| match entry {
        Ok(entry) => (from..until).contains(&entry.at()),
        Err(_) => true,
    };
    failed.map(Err).into_iter().chain(entries.filter(in_time))
}

struct Entries {
    dir: PathBuf,
    days: vec::IntoIter<NaiveDate>,
    files: vec::IntoIter<PathBuf>,
    file: Option<KeptFile>,
    lines: BlockLines,
}

impl Iterator for Entries {
    type Item = io::Result<KeptEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(file) = &mut self.file {
                match file.next_entry(&mut self.lines) {
                    Ok(Some(entry)) => return Some(Ok(entry)),
                    Ok(None) => self.file = None,
                    Err(error) => {
                        let error = named(&file.path, &error);
                        (self.file, self.lines) = (None, BlockLines::default());
                        return Some(Err(error));
                    }
                }
            } else if let Some(path) = self.files.next() {
                match File::open(&path) {
                    Ok(file) => self.file = Some(KeptFile { path, file: BufReader::new(file) }),
                    Err(error) => return Some(Err(named(&path, &error))),
                }
            } else {
                let day = self.days.next()?;
                match folder::files(&self.dir, day) {
                    Ok(files) => self.files = files.into_iter(),
                    Err(error) => return Some(Err(named(&super::day_folder(&self.dir, day), &error))),
                }
            }
        }
    }
}

/// The lines of a block, and where the next one begins.
#[derive(Default)]
struct BlockLines {
    text: Vec<u8>,
    at: usize,
}

impl BlockLines {
    fn next(&mut self) -> Option<&[u8]> {
        let rest = &self.text[self.at..];
        let line = rest.split(|byte| *byte == b'\n').next().filter(|_| !rest.is_empty())?;
        self.at += (line.len() + 1).min(rest.len());
        Some(line)
    }
}

struct KeptFile {
    path: PathBuf,
    file: BufReader<File>,
}

impl KeptFile {
    fn next_entry(&mut self, lines: &mut BlockLines) -> io::Result<Option<KeptEntry>> {
        loop {
            match lines.next() {
                Some(line) if line.len() > MAX_LINE_BYTES => {
                    return Err(damaged(format!("a line has more than {MAX_LINE_BYTES} bytes")));
                }
                Some(line) => return decode(line).map(Some).map_err(damaged),
                None if self.file.fill_buf()?.is_empty() => return Ok(None),
                None => self.next_block(lines)?,
            }
        }
    }

    /// Reads the next gzip member as a whole, because only its end says that it is undamaged.
    fn next_block(&mut self, lines: &mut BlockLines) -> io::Result<()> {
        let BlockLines { text, at } = lines;
        text.clear();
        *at = 0;
        let most = MAX_BLOCK_BYTES as u64 + 1;
        let read = GzDecoder::new(&mut self.file).take(most).read_to_end(text);
        match read {
            Ok(_) if text.len() > MAX_BLOCK_BYTES => {
                Err(damaged(format!("a block has more than {MAX_BLOCK_BYTES} bytes")))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
                info!(file = %self.path.display(), "the last block of this file is cut off; its whole lines are read");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn damaged(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
