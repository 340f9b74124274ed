//! Disks that fail on demand, for tests: what SQLite then answers is what it answers to a real one.

use std::sync::atomic::{AtomicU8, Ordering};

use rusqlite::Connection;

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Nothing.
    None,
    /// No page can be added.
    Full,
    /// Nothing can be written.
    ReadOnly,
    /// The writer panics at its next transaction.
    Panic,
}

/// The switch between them.
#[derive(Debug, Default)]
pub(super) struct Faults {
    set: AtomicU8,
    /// What the connection was told last.
    told: AtomicU8,
}

impl Faults {
    pub(super) fn set(&self, fault: Fault) {
        self.set.store(fault as u8, Ordering::SeqCst);
    }

    /// Tells the connection before a transaction.
    pub(super) fn tell(&self, connection: &Connection) -> rusqlite::Result<()> {
        let set = self.set.load(Ordering::SeqCst);
        if set == Fault::None as u8 && self.told.load(Ordering::SeqCst) == set {
            return Ok(());
        }
        assert_ne!(set, Fault::Panic as u8, "a test asked for it");
        let full = set == Fault::Full as u8;
        connection.pragma_update(None, "max_page_count", if full { 1 } else { i64::from(u32::MAX - 1) })?;
        connection.pragma_update(None, "query_only", set == Fault::ReadOnly as u8)?;
        self.told.store(set, Ordering::SeqCst);
        Ok(())
    }

    /// On a full disk, asks for more pages than can be free inside of the file.
    pub(super) fn burden(&self, transaction: &Connection) -> rusqlite::Result<()> {
        // What the connection was told: the switch may have been turned since.
        if self.told.load(Ordering::SeqCst) == Fault::Full as u8 {
            transaction.execute("INSERT INTO meta (key, value) VALUES ('burden', zeroblob(8388608))", [])?;
        }
        Ok(())
    }
}
