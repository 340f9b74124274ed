//! Whether a data directory is one that SQLite can work in: writable by this user, and on a disk of this machine.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::{DATABASE_FILE, LOCK_FILE, WATERMARK_FILE};

/// A file or folder that this process has to write and may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot write {} as user {user}: it belongs to user {owner}. {}, or set ORION_DATA_DIR to a folder of this user's",
    path.display(),
    remedy(folder, *user, *owner)
)]
pub struct NotWritable {
    /// What cannot be written.
    pub path: PathBuf,
    /// The data directory, or the folder that it would be made in.
    pub folder: PathBuf,
    /// The id of the user of this process.
    pub user: u32,
    /// The id of the user whom it belongs to.
    pub owner: u32,
}

fn remedy(folder: &Path, user: u32, owner: u32) -> String {
    let folder = folder.display();
    if user == owner {
        format!("Give its owner the right: `chmod -R u+rwX {folder}`")
    } else {
        format!(
            "Give it to this user, as root: `chown -R {user} {folder}` (of a container: the folder that is mounted there)"
        )
    }
}

/// Checks that this user may write the data directory and what is in it, without writing anything. SQLite needs both: it makes
/// two files beside the database.
///
/// # Errors
/// The first thing that this user may not write. A disk that nobody may write is none of them.
pub fn check_writable(dir: &Path) -> Result<(), NotWritable> {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let Some(folder) = absolute.ancestors().find(|folder| folder.exists()) else { return Ok(()) };
    if folder.is_dir() {
        check(folder, folder, Access::WRITE_OK | Access::EXEC_OK)?;
    }
    if folder != absolute {
        return Ok(());
    }
    let beside = ["-wal", "-shm"].map(|end| format!("{DATABASE_FILE}{end}"));
    for name in [DATABASE_FILE, LOCK_FILE, WATERMARK_FILE].into_iter().chain(beside.iter().map(String::as_str)) {
        check(&folder.join(name), folder, Access::READ_OK | Access::WRITE_OK)?;
    }
    Ok(())
}

fn check(path: &Path, folder: &Path, wanted: Access) -> Result<(), NotWritable> {
    if access(path, wanted) != Err(Errno::ACCESS) {
        return Ok(());
    }
    Err(NotWritable {
        path: path.to_owned(),
        folder: folder.to_owned(),
        user: rustix::process::geteuid().as_raw(),
        owner: path.metadata().map(|metadata| metadata.uid()).unwrap_or_default(),
    })
}

/// What kind of file system that is not of this machine the directory, or the nearest folder above it, lies on.
#[cfg(target_os = "linux")]
pub fn foreign_filesystem(dir: &Path) -> Option<&'static str> {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let folder = absolute.ancestors().find(|folder| folder.exists())?;
    // The width of the number depends on the machine; the numbers have 32 bits.
    let magic = rustix::fs::statfs(folder).ok()?.f_type as u32;
    foreign(magic)
}

/// What kind of file system that is not of this machine the directory lies on; only Linux tells.
#[cfg(not(target_os = "linux"))]
pub fn foreign_filesystem(_dir: &Path) -> Option<&'static str> {
    None
}

/// What is said of such a file system.
pub fn foreign_warning(dir: &Path, kind: &str) -> String {
    format!(
        "the data directory {} is on a file system of another machine ({kind}): SQLite's write-ahead log does not work there, \
         and the log can be damaged; set ORION_DATA_DIR to a folder on a disk of this machine, and keep copies elsewhere with \
         `orion-server backup`",
        dir.display()
    )
}

/// By the numbers of statfs(2), `f_type`.
#[cfg(any(target_os = "linux", test))]
fn foreign(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => "SMB",
        0x0102_1997 => "9P, a folder of the host",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x7375_7245 => "Coda",
        0x564C => "NetWare",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_told_apart() {
        // The numbers are those of statfs(2).
        for (magic, kind) in [
            (0x6969, Some("NFS")),
            (0xFF53_4D42, Some("SMB")),
            (0xFE53_4D42, Some("SMB")),
            (0x517B, Some("SMB")),
            (0xEF53, None),      // ext4
            (0x9123_683E, None), // btrfs
            (0x5846_5342, None), // XFS
            (0x794C_7630, None), // overlayfs
            (0x0102_1994, None), // tmpfs
        ] {
            assert_eq!(foreign(magic), kind, "{magic:x}");
        }
        assert_eq!(foreign_filesystem(&std::env::temp_dir().join("not/there")), None);
    }

    #[test]
    fn what_this_user_may_write_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(DATABASE_FILE), "").unwrap();
        assert_eq!(check_writable(dir.path()), Ok(()));
        assert_eq!(check_writable(&dir.path().join("a/b")), Ok(()));
    }

    #[test]
    fn the_user_and_the_command_are_named() {
        let path = PathBuf::from("/data/orion.db");
        let said = NotWritable { path, folder: "/data".into(), user: 10001, owner: 0 }.to_string();
        assert!(said.starts_with("cannot write /data/orion.db as user 10001: it belongs to user 0"), "{said}");
        assert!(said.contains("`chown -R 10001 /data`") && said.contains("ORION_DATA_DIR"), "{said}");
    }
}
