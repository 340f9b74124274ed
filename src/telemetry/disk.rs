//! Free space on the disk of the data directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The age up to which a reading is reused.
const MAX_AGE: Duration = Duration::from_secs(5);
const MIB: u64 = 1 << 20;

/// The disk of a folder.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    /// With less free space than this, in bytes, the disk is nearly full.
    low: u64,
    last: Mutex<Option<(Instant, Option<Space>)>>,
}

/// The space of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process can still write.
    pub free: u64,
    /// The size in bytes.
    pub total: u64,
    /// Whether no more files can be created.
    pub out_of_files: bool,
}

impl Space {
    /// Reads the space of the file system; `None` when that fails.
    pub fn of(folder: &Path) -> Option<Self> {
        let space = rustix::fs::statvfs(folder).ok()?;
        Some(Self {
            free: space.f_bavail.saturating_mul(space.f_frsize),
            total: space.f_blocks.saturating_mul(space.f_frsize),
            // A file system without a fixed number of files reports 0.
            out_of_files: space.f_files > 0 && space.f_favail == 0,
        })
    }

    /// Returns why the disk is nearly full, if it is: less than `low` bytes are free, or less than a tenth of a small disk.
    pub fn complaint(&self, low: u64) -> Option<String> {
        let free = self.free / MIB;
        if self.out_of_files {
            Some("no more files can be made on the disk".to_owned())
        } else if self.free < low.min(self.total / 10) {
            Some(format!("the disk is nearly full: {free} MiB free"))
        } else {
            None
        }
    }
}

impl Disk {
    /// Returns the disk of `folder`, which counts as nearly full below `low` free bytes.
    pub fn new(folder: PathBuf, low: u64) -> Self {
        Self { folder, low, last: Mutex::default() }
    }

    /// Returns the space, at most `MAX_AGE` old.
    pub fn space(&self) -> Option<Space> {
        let mut last = self.last.lock();
        match *last {
            Some((at, space)) if at.elapsed() < MAX_AGE => space,
            _ => {
                let space = Space::of(&self.folder);
                *last = Some((Instant::now(), space));
                space
            }
        }
    }

    /// Returns why the disk is nearly full, if it is.
    pub fn complaint(&self) -> Option<String> {
        self.space()?.complaint(self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_by_bytes_share_or_files() {
        let low = 256 * MIB;
        for (free, total, out_of_files, full) in [
            (300 * MIB, 10_000 * MIB, false, false),
            (255 * MIB, 10_000 * MIB, false, true),
            (110 * MIB, 1_000 * MIB, false, false),
            (99 * MIB, 1_000 * MIB, false, true),
            (4 * MIB, 4 * MIB, false, false),
            (9_000 * MIB, 10_000 * MIB, true, true),
        ] {
            let space = Space { free, total, out_of_files };
            assert_eq!(space.complaint(low).is_some(), full, "{space:?}");
            assert_eq!(space.complaint(0).is_some(), out_of_files, "{space:?}");
        }
    }

    #[test]
    fn a_missing_folder_has_no_complaint() {
        let space = Disk::new(std::env::temp_dir(), 1).space().unwrap();
        assert!(space.total >= space.free && space.total > 0, "{space:?}");
        let nowhere = Disk::new("/nowhere/at/all".into(), u64::MAX);
        assert_eq!((nowhere.space(), nowhere.complaint()), (None, None));
    }
}
