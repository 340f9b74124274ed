//! The ticks that made bars, kept for some days, so that a day's live signals can be computed again from them.
//!
//! Files of gzip members in `<data.dir>/ticks/<day>/`, one member for each block of entries: a process that is killed loses the
//! block that it has not written yet, and no other. Days and the times in file names are UTC.

mod folder;
mod keeper;
mod line;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use tracing::warn;

pub use folder::remove_all;
pub use keeper::{Keeper, KeeperOptions, KeeperTask};
pub use reader::read;

/// The file that the nightly job writes beside the ticks of a day. It is removed with them.
pub const RESULT_FILE: &str = "recomputed.json";
/// The same while it is written. A job that was killed leaves it.
pub const RESULT_PARTIAL: &str = "recomputed.json.partial";
/// Maximum number of entries in a block.
const MAX_BLOCK_ENTRIES: usize = 4_096;
/// Maximum length of an entry as a line, in bytes.
const MAX_LINE_BYTES: usize = 4 << 10;

/// Returns the folder of a day in the data directory `dir`.
pub fn day_folder(dir: &Path, day: NaiveDate) -> PathBuf {
    folder::root(dir).join(day.to_string())
}

/// Returns the days of which ticks are kept in the data directory `dir`, in order.
pub fn days(dir: &Path) -> Vec<NaiveDate> {
    let has_files = |day: &NaiveDate| folder::files(dir, *day).is_ok_and(|files| !files.is_empty());
    match folder::days(dir) {
        Ok(days) => days.into_iter().filter(has_files).collect(),
        Err(error) => {
            warn!(folder = %folder::root(dir).display(), %error, "the days of the kept ticks cannot be listed");
            Vec::new()
        }
    }
}
