//! Simulates failing disks for tests. SQLite returns the same errors as on a real disk.

use std::sync::atomic::{AtomicU8, Ordering};

use rusqlite::Connection;

/// A simulated fault of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DiskFault {
    /// The disk works.
    None,
    /// The disk is full: no page can be added.
    Full,
    /// Nothing can be written.
    ReadOnly,
    /// The writer panics at its next transaction.
    Panic,
}

/// The current fault.
#[derive(Debug, Default)]
pub(super) struct Faults {
    set: AtomicU8,
    /// The fault that was last applied to the connection.
    applied: AtomicU8,
}

impl Faults {
    pub(super) fn set(&self, fault: DiskFault) {
        self.set.store(fault as u8, Ordering::SeqCst);
    }

    /// Applies the fault to the connection before a transaction.
    pub(super) fn apply(&self, connection: &Connection) -> rusqlite::Result<()> {
        let set = self.set.load(Ordering::SeqCst);
        if set == DiskFault::None as u8 && self.applied.load(Ordering::SeqCst) == set {
            return Ok(());
        }
        assert_ne!(set, DiskFault::Panic as u8, "a test asked for it");
        let full = set == DiskFault::Full as u8;
        connection.pragma_update(None, "max_page_count", if full { 1 } else { i64::from(u32::MAX - 1) })?;
        connection.pragma_update(None, "query_only", set == DiskFault::ReadOnly as u8)?;
        self.applied.store(set, Ordering::SeqCst);
        Ok(())
    }

    /// On a full disk, writes more pages than can be free inside the file.
    pub(super) fn fill_disk(&self, transaction: &Connection) -> rusqlite::Result<()> {
        // A test may have changed the fault since it was applied.
        if self.applied.load(Ordering::SeqCst) == DiskFault::Full as u8 {
            transaction.execute("INSERT INTO meta (key, value) VALUES ('burden', zeroblob(8388608))", [])?;
        }
        Ok(())
    }
}
