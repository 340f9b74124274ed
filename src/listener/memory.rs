//! The memory that the process may use: the machine's, or the limit of a container or of the process.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

const CGROUPS: &str = "/sys/fs/cgroup";

/// Returns the bytes of memory that the process may use: the smallest of the machine's memory, the limits of its control
/// groups and its own resource limits. `None` where the system does not say.
pub fn memory_limit() -> Option<u64> {
    let own = [Resource::As, Resource::Data].map(|resource| getrlimit(resource).current);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory(&text));
    own.into_iter().flatten().chain(group_limit(&groups, Path::new(CGROUPS))).chain(machine).min()
}

/// Returns the smallest limit of the groups in `/proc/self/cgroup` and of their parents, in version 2 or 1. A container sees
/// its own group at the root.
fn group_limit(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (folder, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let own = Path::new(path.trim_start_matches('/'));
        let read = |group: &Path| fs::read_to_string(folder.join(group).join(file)).ok()?.trim().parse().ok();
        own.ancestors().filter_map(read).collect::<Vec<u64>>()
    });
    limits.min()
}

/// Parses `MemTotal` of `/proc/meminfo`, in bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_the_groups_applies() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(group_limit("0::/\n", root.path()), None);
        write("system.slice/memory.max", "1073741824\n");
        write("system.slice/orion.service/memory.max", "max\n");
        assert_eq!(group_limit("0::/system.slice/orion.service\n", root.path()), Some(1 << 30));
        write("memory.max", "536870912\n");
        assert_eq!(group_limit("0::/\n", root.path()), Some(1 << 29));
        write("memory/docker/memory.limit_in_bytes", "268435456\n");
        assert_eq!(group_limit("5:cpu:/docker\n4:memory:/docker\n", root.path()), Some(1 << 28));
    }

    #[test]
    fn the_machines_memory_is_read() {
        assert_eq!(total_memory("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total_memory("nonsense"), None);
        assert!(memory_limit().is_none_or(|bytes| bytes > 1 << 20));
    }
}
