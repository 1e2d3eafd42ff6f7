use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

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

/// All that a server holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What the system knows of.
    pub counters: Counters,
    /// Tasks of its runtime.
    pub tasks: usize,
    /// Memory, in KiB.
    pub resident_kib: u64,
}

impl Held {
    /// Where memory may have grown without a leak, in KiB: an allocator's habits.
    pub const GROWTH_KIB: u64 = 10 * 1024;

    /// True if nothing is more than in `baseline`, but for some memory.
    pub const fn is_within(&self, baseline: &Self) -> bool {
        self.counters.is_within(baseline.counters)
            && self.tasks <= baseline.tasks
            && self.resident_kib <= baseline.resident_kib + Self::GROWTH_KIB
    }
}

/// The value of a metric without labels, from a server's listener for metrics.
pub(crate) fn metric(listener: SocketAddr, name: &str) -> std::io::Result<Option<usize>> {
    let mut socket = TcpStream::connect(listener)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()))
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
    memory(pid, "VmRSS:")
}

/// The most memory that `pid` has occupied, in KiB.
pub(crate) fn peak_kib(pid: u32) -> Option<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The CPU time that `pid` has taken, in user mode and in the kernel.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    // `proc(5)`: fields 14 and 15, of which the state is the third.
    let fields = stat(pid)?;
    let ticks: u64 = fields.get(11..13)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(1000 * ticks / rustix::param::clock_ticks_per_second()))
}

/// The child processes of `pid`, zombies included.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let lists = entries(pid, "task").filter_map(|thread| fs::read_to_string(thread.join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// True while there is a process of that number, unless it is a zombie.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
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
