//! The memory that this process uses.

/// Bytes of the process in memory.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Its own: heap and stacks.
    pub(crate) own: usize,
    /// Pages of files, such as mapped weights.
    pub(crate) files: usize,
    /// The most that both together ever were.
    pub(crate) peak: usize,
}

/// The memory of this process now; `None` where the system does not tell.
pub(crate) fn now() -> Option<Memory> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| -> Option<usize> {
        let line = status.lines().find(|l| l.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
    };
    Some(Memory { own: field("RssAnon:")?, files: field("RssFile:")?, peak: field("VmHWM:")? })
}
