//! Reads the frames of SQLite's write-ahead log, <https://www.sqlite.org/fileformat.html#the_write_ahead_log>.
//!
//! SQLite silently stops at the first invalid frame. This scan reports where that is, and whether commits follow.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The bytes before the first frame.
const WAL_HEADER_BYTES: usize = 32;
/// The bytes before the page in each frame.
const FRAME_HEADER_BYTES: usize = 24;
/// The bytes of a log with one frame of the smallest page size.
pub(super) const MIN_WAL_BYTES: u64 = (WAL_HEADER_BYTES + FRAME_HEADER_BYTES + 512) as u64;
/// The first word of a log with little-endian checksums; with the lowest bit set, the checksums are big-endian.
const MAGIC: u32 = 0x377f_0682;
/// The only version of the format.
const FORMAT: u32 = 3_007_000;
/// The bytes of the read buffer.
const BUFFER: usize = 256 << 10;

/// The position of a commit in the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct WalPosition {
    /// Identify the generation of the log. SQLite changes both when it restarts at the front, and increments the first.
    pub(super) salts: [u32; 2],
    /// The number of frames up to this commit; 0 before the first frame.
    pub(super) frames: u32,
    /// The checksum in the last of these frames. It covers all of them.
    pub(super) checksum: [u32; 2],
}

/// The content of a write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// The file is missing or empty.
    Empty,
    /// The header is invalid.
    Headless,
    /// The header is valid.
    Log(Frames),
}

/// The frames of a write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frames {
    /// The last commit that SQLite finds.
    pub(super) committed: WalPosition,
    /// The checksum of the requested frame; `None` when SQLite does not reach it.
    pub(super) asked: Option<[u32; 2]>,
    /// The first invalid frame, counted from 1, if there is one.
    pub(super) broken: Option<u32>,
    /// Commits of this generation after the invalid frame, which SQLite does not see.
    pub(super) hidden_commits: u32,
}

impl Frames {
    /// Returns the invalid frame when at least two commits follow it. A power cut cannot cause this, because the second
    /// commit began only after the first was on the disk.
    pub(super) fn several_hidden(&self) -> Option<u32> {
        self.broken.filter(|_| self.hidden_commits >= 2)
    }
}

/// The running checksum over frames.
#[derive(Debug, Clone, Copy)]
struct WalChecksum {
    big_endian: bool,
    value: [u32; 2],
}

impl WalChecksum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes: &[u8]| {
            let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
            if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let [mut first, mut second] = self.value;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        self.value = [first, second];
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn pair(bytes: &[u8], at: usize) -> [u32; 2] {
    [number(bytes, at), number(bytes, at + 4)]
}

struct WalHeader {
    page_size: usize,
    salts: [u32; 2],
    sum: WalChecksum,
}

impl WalHeader {
    /// Parses a header; `None` when it is invalid.
    fn parse(bytes: &[u8; WAL_HEADER_BYTES]) -> Option<Self> {
        let magic = number(bytes, 0);
        let page_size = number(bytes, 8) as usize;
        let mut sum = WalChecksum { big_endian: magic & 1 == 1, value: [0, 0] };
        sum.add(&bytes[..24]);
        let fits = magic & !1 == MAGIC
            && number(bytes, 4) == FORMAT
            && page_size.is_power_of_two()
            && (512..=65_536).contains(&page_size)
            && pair(bytes, 24) == sum.value;
        fits.then(|| Self { page_size, salts: pair(bytes, 16), sum })
    }
}

/// Scans a write-ahead log, and looks up the checksum of frame number `asked`.
pub(super) fn scan(file: &Path, asked: u32) -> io::Result<Scan> {
    let file = match File::open(file) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Scan::Empty),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() == 0 {
        return Ok(Scan::Empty);
    }
    let mut reader = BufReader::with_capacity(BUFFER, file);
    let mut header = [0; WAL_HEADER_BYTES];
    if !fill(&mut reader, &mut header)? {
        return Ok(Scan::Headless);
    }
    let Some(WalHeader { page_size, salts, mut sum }) = WalHeader::parse(&header) else { return Ok(Scan::Headless) };
    let mut frames = Frames {
        committed: WalPosition { salts, frames: 0, checksum: sum.value },
        asked: (asked == 0).then_some(sum.value),
        broken: None,
        hidden_commits: 0,
    };
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_size];
    let mut count = 0;
    while fill(&mut reader, &mut frame)? {
        count += 1;
        let (is_ours, is_commit) = (pair(&frame, 8) == salts, number(&frame, 4) != 0);
        if frames.broken.is_some() {
            frames.hidden_commits += u32::from(is_ours && is_commit);
            continue;
        }
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME_HEADER_BYTES..]);
        if !is_ours || number(&frame, 0) == 0 || pair(&frame, 16) != sum.value {
            frames.broken = Some(count);
            continue;
        }
        if is_commit {
            frames.committed = WalPosition { salts, frames: count, checksum: sum.value };
        }
        if count == asked {
            frames.asked = Some(sum.value);
        }
    }
    Ok(Scan::Log(frames))
}

/// Fills the buffer. Returns `false` when the file ends before.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tracks the last commit in the write-ahead log of this process.
#[derive(Debug)]
pub(super) struct WalFollower {
    file: File,
    page_size: u64,
    position: Option<WalPosition>,
}

impl WalFollower {
    /// Starts at the last commit of the log; `None` when the file does not exist yet.
    pub(super) fn open(file: &Path) -> io::Result<Option<Self>> {
        let position = match scan(file, 0)? {
            Scan::Log(frames) => Some(frames.committed),
            Scan::Empty | Scan::Headless => None,
        };
        match File::open(file) {
            Ok(file) => Ok(Some(Self { file, page_size: 0, position })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the position of the last commit; `None` before the first.
    ///
    /// It reads only the headers of new frames, without checksums, because SQLite has just written them.
    pub(super) fn last_commit(&mut self) -> io::Result<Option<WalPosition>> {
        let mut header = [0; WAL_HEADER_BYTES];
        match self.file.read_exact_at(&mut header, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let Some(WalHeader { page_size, salts, sum }) = WalHeader::parse(&header) else { return Ok(None) };
        self.page_size = page_size as u64;
        let begin = match self.position {
            Some(position) if position.salts == salts => position,
            _ => WalPosition { salts, frames: 0, checksum: sum.value },
        };
        let mut last = begin;
        let mut frame = [0; FRAME_HEADER_BYTES];
        for count in begin.frames.. {
            let at = WAL_HEADER_BYTES as u64 + u64::from(count) * (FRAME_HEADER_BYTES as u64 + self.page_size);
            match self.file.read_exact_at(&mut frame, at) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
            if pair(&frame, 8) != salts {
                break;
            }
            if number(&frame, 4) != 0 {
                last = WalPosition { salts, frames: count + 1, checksum: pair(&frame, 16) };
            }
        }
        self.position = Some(last);
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::*;

    fn log(dir: &Path) -> (Connection, std::path::PathBuf) {
        let connection = Connection::open(dir.join("a.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        (connection, dir.join("a.db-wal"))
    }

    fn insert(connection: &Connection) {
        connection.execute("INSERT INTO t VALUES (randomblob(9000))", []).unwrap();
    }

    fn frames(wal: &Path, asked: u32) -> Frames {
        match scan(wal, asked).unwrap() {
            Scan::Log(frames) => frames,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flipped_bit_reveals_hidden_commits() {
        let dir = TempDir::new().unwrap();
        let (connection, wal) = log(dir.path());
        let mut commits = Vec::new();
        for _ in 0..5 {
            insert(&connection);
            commits.push(frames(&wal, 0).committed);
        }
        let whole = frames(&wal, commits[3].frames);
        assert_eq!((whole.asked, whole.broken, whole.hidden_commits), (Some(commits[3].checksum), None, 0));
        let copy = dir.path().join("copy");
        let mut bytes = fs::read(&wal).unwrap();
        bytes[32 + commits[1].frames as usize * 4120 + 5_000] ^= 4;
        fs::write(&copy, &bytes).unwrap();
        let found = frames(&copy, commits[3].frames);
        assert_eq!((found.committed, found.asked, found.hidden_commits), (commits[1], None, 3));
        fs::write(&copy, &bytes[..40]).unwrap();
        assert_eq!(frames(&copy, 0).committed.frames, 0);
        bytes[17] ^= 1;
        fs::write(&copy, &bytes).unwrap();
        assert_eq!(scan(&copy, 1).unwrap(), Scan::Headless);
        assert_eq!(scan(&dir.path().join("none"), 1).unwrap(), Scan::Empty);
    }

    #[test]
    fn the_follower_agrees_with_a_scan() {
        let dir = TempDir::new().unwrap();
        let (connection, wal) = log(dir.path());
        let mut follower = WalFollower::open(&wal).unwrap().unwrap();
        for round in 0..20 {
            insert(&connection);
            assert_eq!(follower.last_commit().unwrap(), Some(frames(&wal, 0).committed), "{round}");
            if round % 6 == 5 {
                let before = frames(&wal, 0).committed.salts[0];
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
                insert(&connection);
                let after = follower.last_commit().unwrap().unwrap();
                assert_eq!(after, frames(&wal, 0).committed);
                assert_eq!(after.salts[0], before.wrapping_add(1), "a new generation is the next one");
            }
        }
    }
}
