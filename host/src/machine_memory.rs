//! How much memory this process may use: what the machine has, or what its control groups allow, whichever is less.
//!
//! Asked once, when a host is built. Files that can't be read say nothing.

use std::fs;
use std::path::Path;

/// Where the kernel shows control groups.
const GROUPS: &str = "/sys/fs/cgroup";
/// Taken where nothing is known.
const UNKNOWN: u64 = 2 << 30;

/// Bytes that this process may use.
pub(crate) fn machine_memory() -> u64 {
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| limit(&text, Path::new(GROUPS)));
    [installed(), group].into_iter().flatten().min().unwrap_or(UNKNOWN)
}

/// Bytes that the machine has.
fn installed() -> Option<u64> {
    // SAFETY: both take a constant and return a number.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    u64::try_from(pages).ok()?.checked_mul(u64::try_from(page).ok()?).filter(|bytes| *bytes > 0)
}

/// The least limit of the control groups in `/proc/self/cgroup`, and of those above them. Version 2 has one line, `0::/path`; version 1 a line for each
/// controller. Within a container, the path may be that of the machine outside: then the limit is that of the root which the container sees.
fn limit(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let (root, file) = if controllers.is_empty() {
            (root.to_path_buf(), "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return Vec::new();
        };
        let folder = root.join(path.trim_start_matches('/'));
        let above = folder.ancestors().take_while(|above| above.starts_with(&root));
        // "max" is no number. Version 1 says a very large one.
        above.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()).collect::<Vec<u64>>()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_counts_of_either_version() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a.slice/memory.max", "3000\n");
        write("a.slice/b.service/memory.max", "max\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/docker/memory.limit_in_bytes", "2000\n");
        for (groups, expected) in [
            ("0::/a.slice/b.service\n", Some(3_000)),
            ("0::/elsewhere\n", None),
            ("12:pids:/docker\n4:cpu,memory:/docker\n0::/\n", Some(2_000)),
            ("4:memory:/of/the/machine/outside\n", Some(9_223_372_036_854_771_712)),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(limit(groups, root.path()), expected, "{groups:?}");
        }
        assert!(machine_memory() > 0);
    }
}
