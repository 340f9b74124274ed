//! Checks that SQLite can work in a data directory: writable by this user, and on a local disk.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::{DATABASE_FILE, LOCK_FILE, WATERMARK_FILE};

/// A file or folder that this process has to write, without the permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot write {} as user {user}: it belongs to user {owner}. {}, or set ORION_DATA_DIR to a folder of this user's",
    path.display(),
    remedy(folder, *user, *owner)
)]
pub struct NotWritable {
    /// What cannot be written.
    pub path: PathBuf,
    /// The data directory, or the folder in which it would be created.
    pub folder: PathBuf,
    /// The user id of this process.
    pub user: u32,
    /// The user id of the owner of `path`.
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

/// Checks that this user may write the data directory and the files in it, without writing anything. SQLite needs both,
/// because it creates two files beside the database.
///
/// # Errors
/// The first file or folder that this user may not write. A read-only file system is not an error here.
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

/// Returns the kind of network file system that holds the directory, or its nearest existing parent; `None` for a local
/// one.
#[cfg(target_os = "linux")]
pub fn foreign_filesystem(dir: &Path) -> Option<&'static str> {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let folder = absolute.ancestors().find(|folder| folder.exists())?;
    // The width of the field depends on the platform; the magic numbers have 32 bits.
    let magic = rustix::fs::statfs(folder).ok()?.f_type as u32;
    foreign(magic)
}

/// Returns the kind of network file system that holds the directory. Always `None`: only Linux has this information.
#[cfg(not(target_os = "linux"))]
pub fn foreign_filesystem(_dir: &Path) -> Option<&'static str> {
    None
}

/// Returns the warning about a data directory on a network file system.
pub fn foreign_warning(dir: &Path, kind: &str) -> String {
    format!(
        "the data directory {} is on a file system of another machine ({kind}): SQLite's write-ahead log does not work there, \
         and the log can be damaged; set ORION_DATA_DIR to a folder on a disk of this machine, and keep copies elsewhere with \
         `orion-server backup`",
        dir.display()
    )
}

/// Names a network file system by the `f_type` of statfs(2).
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
    fn network_file_systems_are_recognized() {
        // The numbers of statfs(2).
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
    fn a_writable_directory_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(DATABASE_FILE), "").unwrap();
        assert_eq!(check_writable(dir.path()), Ok(()));
        assert_eq!(check_writable(&dir.path().join("a/b")), Ok(()));
    }

    #[test]
    fn the_error_names_user_and_command() {
        let path = PathBuf::from("/data/orion.db");
        let message = NotWritable { path, folder: "/data".into(), user: 10001, owner: 0 }.to_string();
        assert!(message.starts_with("cannot write /data/orion.db as user 10001: it belongs to user 0"), "{message}");
        assert!(message.contains("`chown -R 10001 /data`") && message.contains("ORION_DATA_DIR"), "{message}");
    }
}
