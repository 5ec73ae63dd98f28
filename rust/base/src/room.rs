//! Whether there is room in memory: asked before much of it is taken, so that no model takes all of it.
//!
//! An allocator that overcommits hands out more than there is, and the process dies when it writes there. So the system is asked
//! how much is left, each time that a few dozen megabytes have been taken since it was asked last.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::{Result, ensure};

/// How many bytes may be taken before the system is asked again: asking costs some tens of microseconds, filling these more than that.
const STRIDE: usize = 64 << 20;

/// Bytes taken since the system was asked last.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Fails unless `bytes` more bytes can be taken and something is left for everyone else.
///
/// # Errors
/// `Fail` that says how many bytes were asked for.
pub fn ensure_room(bytes: usize) -> Result<()> {
    let taken = TAKEN.fetch_add(bytes.min(STRIDE), Relaxed).saturating_add(bytes);
    if taken < STRIDE {
        return Ok(());
    }
    TAKEN.store(0, Relaxed);
    let fits = system::available().is_none_or(|left| left.fits(bytes));
    ensure!(fits, Fail, "Failed to allocate memory for requested buffer of size {bytes}: the machine or its cgroup has too little left");
    Ok(())
}

/// What the system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    /// Bytes of memory, swap space included.
    total: u64,
    /// Bytes that can be had without taking them from a process.
    available: u64,
}

impl Left {
    /// Whether `bytes` can be taken: one part in thirty-two of the whole stays free.
    fn fits(self, bytes: usize) -> bool {
        (bytes as u64).saturating_add(self.total / 32) <= self.available
    }

    /// Whichever leaves less.
    fn tighter(self, other: Option<Left>) -> Left {
        other.filter(|o| o.available < self.available).unwrap_or(self)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::read_to_string;
    use std::path::{Path, PathBuf};

    use super::Left;

    /// What the machine has left, or the cgroup of the process if that is less.
    pub(super) fn available() -> Option<Left> {
        let machine = machine(&read_to_string("/proc/meminfo").ok()?)?;
        let groups = groups(&read_to_string("/proc/self/cgroup").unwrap_or_default());
        Some(groups.iter().fold(machine, |least, group| least.tighter(left_in(group))))
    }

    pub(super) fn machine(meminfo: &str) -> Option<Left> {
        let kib = |name: &str| number(meminfo, name).unwrap_or(0).saturating_mul(1024);
        let available = number(meminfo, "MemAvailable:")?.saturating_mul(1024);
        Some(Left { total: kib("MemTotal:") + kib("SwapTotal:"), available: available + kib("SwapFree:") })
    }

    /// The number after `name` in a list of names and numbers.
    pub(super) fn number(text: &str, name: &str) -> Option<u64> {
        let mut words = text.split_whitespace();
        words.find(|w| *w == name)?;
        words.next()?.parse().ok()
    }

    /// The folders of the cgroups that limit this process, of both versions, up to the roots.
    pub(super) fn groups(cgroup: &str) -> Vec<PathBuf> {
        let mut groups = Vec::new();
        for line in cgroup.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let root = match controllers {
                "" => "/sys/fs/cgroup",
                c if c.split(',').any(|c| c == "memory") => "/sys/fs/cgroup/memory",
                _ => continue,
            };
            // In a container the path may be that of the host, and only the root be there.
            let inside = Path::new(path.trim_start_matches('/'));
            groups.extend(inside.ancestors().map(|a| Path::new(root).join(a)));
        }
        groups
    }

    fn left_in(group: &Path) -> Option<Left> {
        let read = |names: [&str; 2]| names.iter().find_map(|n| read_to_string(group.join(n)).ok());
        let total: u64 = read(["memory.max", "memory.limit_in_bytes"])?.trim().parse().ok()?;
        let used: u64 = read(["memory.current", "memory.usage_in_bytes"])?.trim().parse().ok()?;
        let stat = read_to_string(group.join("memory.stat")).unwrap_or_default();
        // Pages of files that nobody uses are given up for whoever asks.
        let cached = number(&stat, "inactive_file").unwrap_or(0);
        Some(Left { total, available: total.saturating_sub(used.saturating_sub(cached)) })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    /// Not known here: what the allocator says counts alone.
    pub(super) fn available() -> Option<super::Left> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        assert!(ensure_room(1).is_ok());
        if cfg!(target_os = "linux") {
            let e = ensure_room(1 << 60).unwrap_err();
            assert!(e.detail().contains(&(1u64 << 60).to_string()), "{e}");
            assert!(ensure_room(usize::MAX).is_err());
        }
        assert!(ensure_room(1).is_ok());
    }

    #[test]
    fn something_is_left_for_others() {
        let left = Left { total: 320, available: 100 };
        assert!(left.fits(90) && !left.fits(91));
        assert_eq!(left.tighter(Some(Left { total: 64, available: 7 })).available, 7);
        assert_eq!(left.tighter(None), left);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_files_of_the_system_are_understood() {
        let meminfo = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    600 kB\nSwapTotal:  24 kB\nSwapFree:   16 kB\n";
        assert_eq!(system::machine(meminfo), Some(Left { total: 1024 * 1024, available: 616 * 1024 }));
        assert_eq!(system::machine("MemTotal: 5 kB"), None);
        let groups = system::groups("5:cpu,memory:/a/b\n4:pids:/x\n0::/c\n");
        let groups: Vec<_> = groups.iter().map(|p| p.to_str().unwrap().trim_end_matches('/')).collect();
        let (v1, v2) = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup");
        assert_eq!(groups, [format!("{v1}/a/b"), format!("{v1}/a"), v1.to_owned(), format!("{v2}/c"), v2.to_owned()]);
    }
}
