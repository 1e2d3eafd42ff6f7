use std::fs;
use std::path::PathBuf;

/// What a process holds of the system, as `/proc` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Open file descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// Child processes, zombies included.
    pub children: usize,
}

impl Counters {
    /// What the process `pid` holds now.
    pub fn of(pid: u32) -> Self {
        Self {
            descriptors: entries(pid, "fd").count(),
            threads: entries(pid, "task").count(),
            children: children(pid).len(),
        }
    }

    /// True if nothing is more than in `baseline`.
    pub const fn is_within(self, baseline: Self) -> bool {
        self.descriptors <= baseline.descriptors
            && self.threads <= baseline.threads
            && self.children <= baseline.children
    }
}

/// What the descriptors of `pid` stand for, one a line.
pub(crate) fn descriptors(pid: u32) -> String {
    let mut lines: Vec<String> = entries(pid, "fd")
        .map(|path| {
            let target = fs::read_link(&path).unwrap_or_default();
            format!("{} -> {}", path.display(), target.display())
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// Memory that `pid` occupies, in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The child processes of `pid`, zombies included.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc can be read").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| parent(*process) == Some(pid))
        .collect()
}

/// True while there is a process of that number, unless it is a zombie.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// The fields of `/proc/PID/stat` from the state on. The name before them may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(String::from).collect())
}

fn entries(pid: u32, kind: &str) -> impl Iterator<Item = PathBuf> {
    let directory = fs::read_dir(format!("/proc/{pid}/{kind}"));
    directory.into_iter().flatten().flatten().map(|entry| entry.path())
}
