//! What the servers hold of the system: before, at most, and at the end.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use strait_tests::{Counters, Held, eventually_async};

use crate::servers::Servers;

/// What the last of a session may take: whoever is left waits a minute for a client that does not close.
const SETTLE: Duration = Duration::from_secs(90);

/// What sessions may take of one server, for each worker: its own, and those that are still ending.
const DESCRIPTORS: usize = 60;
const TASKS: usize = 30;
const CHILDREN: usize = 10;
/// Lanes, blocks, 256 KiB of waiting input, and what an allocator keeps, in KiB.
const MEMORY_KIB: u64 = 4096;
/// Threads do not grow with sessions.
const THREADS: usize = 8;

pub(crate) struct Watch {
    before: [Held; 4],
    most: [Held; 4],
    workers: usize,
}

impl Watch {
    pub(crate) fn begin(servers: &Servers, workers: usize) -> Self {
        let before = held(servers);
        Self { before, most: before, workers }
    }

    /// Looks once.
    pub(crate) fn look(&mut self, servers: &Servers) {
        for (most, now) in self.most.iter_mut().zip(held(servers)) {
            *most = Held {
                counters: Counters {
                    descriptors: most.counters.descriptors.max(now.counters.descriptors),
                    threads: most.counters.threads.max(now.counters.threads),
                    children: most.counters.children.max(now.counters.children),
                },
                tasks: most.tasks.max(now.tasks),
                resident_kib: most.resident_kib.max(now.resident_kib),
            };
        }
    }

    /// Waits until all is given back. What is not, and what was too much meanwhile, is a finding.
    pub(crate) async fn end(self, servers: &Servers) -> (String, Vec<String>) {
        let mut findings = Vec::new();
        let mut table = "| server | | before | at most | at the end |\n|---|---|--:|--:|--:|\n".to_owned();
        for (index, (name, server)) in servers.steady().into_iter().enumerate() {
            let (before, most) = (self.before[index], self.most[index]);
            let returned = eventually_async(SETTLE, || {
                let now = server.held();
                if now.is_within(&before) { Ok(()) } else { Err(format!("{now:?} is more than {before:?}")) }
            })
            .await;
            findings.extend(returned.err().map(|error| format!("{name}: {error}")));
            findings.extend(self.is_bounded(&before, &most).err().map(|error| format!("{name}: {error}")));
            let after = server.held();
            for (what, value) in COLUMNS {
                // Writing to a String does not fail.
                let _ = writeln!(
                    table,
                    "| {name} | {what} | {} | {} | {} |",
                    value(&before),
                    value(&most),
                    value(&after)
                );
            }
        }
        (table, findings)
    }

    fn is_bounded(&self, before: &Held, most: &Held) -> Result<()> {
        let workers = self.workers;
        let bound = Held {
            counters: Counters {
                descriptors: before.counters.descriptors + DESCRIPTORS * workers,
                threads: before.counters.threads + THREADS,
                children: before.counters.children + CHILDREN * workers,
            },
            tasks: before.tasks + TASKS * workers,
            resident_kib: before.resident_kib + MEMORY_KIB * workers as u64,
        };
        ensure!(
            most.counters.is_within(bound.counters)
                && most.tasks <= bound.tasks
                && most.resident_kib <= bound.resident_kib,
            "{most:?} is more than {bound:?}"
        );
        Ok(())
    }
}

type Column = (&'static str, fn(&Held) -> u64);

const COLUMNS: [Column; 5] = [
    ("memory, KiB", |held| held.resident_kib),
    ("descriptors", |held| held.counters.descriptors as u64),
    ("tasks", |held| held.tasks as u64),
    ("threads", |held| held.counters.threads as u64),
    ("child processes", |held| held.counters.children as u64),
];

fn held(servers: &Servers) -> [Held; 4] {
    servers.steady().map(|(_, server)| server.held())
}
