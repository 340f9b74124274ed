//! The watermark file: two copies in two pages, written in place.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::syncer::Syncer;
use super::{COPY_BYTES, Heads, Watermark, WatermarkPhase};

/// The bytes of a page. Each copy has its own page.
const PAGE: usize = 4_096;
/// The offsets of the copies.
const COPIES: [usize; 2] = [0, PAGE];

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum WatermarkRead {
    /// The file does not exist.
    Missing,
    /// Both copies are damaged.
    Unreadable,
    /// The newest intact copy.
    Found {
        /// The watermark.
        watermark: Watermark,
        /// Whether the other copy is damaged.
        one_copy_damaged: bool,
    },
}

/// Reads the file.
pub(in crate::store) fn read(file: &Path) -> io::Result<WatermarkRead> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(WatermarkRead::Missing),
        Err(error) => return Err(error),
    };
    let copies = COPIES.map(|at| bytes.get(at..at + COPY_BYTES).and_then(Watermark::decode));
    let one_copy_damaged = copies.contains(&None);
    let newest = copies.into_iter().flatten().max_by_key(|watermark| watermark.generation);
    Ok(newest.map_or(WatermarkRead::Unreadable, |watermark| WatermarkRead::Found { watermark, one_copy_damaged }))
}

/// The watermark file that this process writes.
#[derive(Debug)]
pub(in crate::store) struct WatermarkFile {
    path: PathBuf,
    file: File,
    syncer: Syncer,
    last: Watermark,
}

impl WatermarkFile {
    /// Creates the file atomically, and opens it.
    ///
    /// It replaces an existing file, which is damaged or belongs to another log.
    pub(in crate::store) fn create(path: &Path, watermark: Watermark) -> io::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        // All bytes are allocated, so that later writes need no space.
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        let whole = pages(&watermark);
        let written = file.write_all_at(&whole, 0).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| std::fs::rename(&new, path)) {
            // The first error is returned.
            std::fs::remove_file(&new).ok();
            return Err(error);
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
        Ok(Self { path: path.into(), syncer: Syncer::spawn(file.try_clone()?)?, file, last: watermark })
    }

    /// Opens the file that holds `last`.
    pub(in crate::store) fn open(path: &Path, last: Watermark) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self { path: path.into(), syncer: Syncer::spawn(file.try_clone()?)?, file, last })
    }

    /// Returns the watermark that was written last.
    pub(in crate::store) fn last(&self) -> &Watermark {
        &self.last
    }

    /// Returns the path of the file.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a new watermark, which is synced a few milliseconds later. A power cut can lose the writes of that time;
    /// `kill -9` loses none.
    pub(in crate::store) fn write(&mut self, heads: Heads, phase: WatermarkPhase) -> io::Result<()> {
        self.syncer.check()?;
        self.write_copies(heads, phase)?;
        self.syncer.request();
        Ok(())
    }

    /// Writes a new watermark, and waits until it is on the disk.
    pub(in crate::store) fn write_through(&mut self, heads: Heads, phase: WatermarkPhase) -> io::Result<()> {
        self.syncer.check()?;
        self.write_copies(heads, phase)?;
        self.file.sync_data()
    }

    fn write_copies(&mut self, heads: Heads, phase: WatermarkPhase) -> io::Result<()> {
        self.last.generation += 1;
        (self.last.heads, self.last.phase) = (heads, phase);
        let copy = self.last.encode();
        for at in COPIES {
            self.file.write_all_at(&copy, at as u64)?;
        }
        Ok(())
    }
}

fn pages(watermark: &Watermark) -> Vec<u8> {
    let mut pages = vec![0; COPIES.len() * PAGE];
    for at in COPIES {
        pages[at..at + COPY_BYTES].copy_from_slice(&watermark.encode());
    }
    pages
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::tests::watermark;
    use super::*;

    #[test]
    fn either_copy_alone_is_enough() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("watermark");
        assert_eq!(read(&path).unwrap(), WatermarkRead::Missing);
        let mut file = WatermarkFile::create(&path, watermark()).unwrap();
        file.write(watermark().heads, WatermarkPhase::Opened).unwrap();
        let last = file.last().clone();
        assert_eq!((last.generation, last.phase), (8, WatermarkPhase::Opened));
        drop(file);
        let whole = std::fs::read(&path).unwrap();
        for at in COPIES {
            let mut bytes = whole.clone();
            bytes[at + 20] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let found = WatermarkRead::Found { watermark: last.clone(), one_copy_damaged: true };
            assert_eq!(read(&path).unwrap(), found);
        }
        std::fs::write(&path, [0; 100]).unwrap();
        assert_eq!(read(&path).unwrap(), WatermarkRead::Unreadable);
    }
}
