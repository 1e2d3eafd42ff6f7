use core::cell::Cell;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use strait::bridge::Outcome;

use crate::serve::Ended;

/// What a gateway has done since it was started. Numbers begin again at 0 behind their largest value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that were accepted.
    pub connections: u32,
    /// Connections that are open.
    pub open: u32,
    /// Sessions that came to their own end: their status reached the client.
    pub completed: u32,
    /// Sessions that ended in another way.
    pub failed: u32,
    /// Sessions that were passed on as they are.
    pub passed_on: u32,
    /// Requests that were no upgrades.
    pub plain: u32,
    /// Clients that got an answer of this gateway's own.
    pub refused: u32,
    /// Payload bytes from clients to commands.
    pub stdin: u64,
    /// Payload bytes from commands to clients, stdout and stderr.
    pub output: u64,
}

/// Counted at the ends of connections: a payload byte costs nothing.
#[derive(Debug)]
pub(crate) struct Count(Mutex<CriticalSectionRawMutex, Cell<Counters>>);

impl Count {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Cell::new(Counters {
            connections: 0,
            open: 0,
            completed: 0,
            failed: 0,
            passed_on: 0,
            plain: 0,
            refused: 0,
            stdin: 0,
            output: 0,
        })))
    }

    pub(crate) fn read(&self) -> Counters {
        self.0.lock(Cell::get)
    }

    pub(crate) fn opened(&self) {
        self.change(|counters| {
            counters.connections = counters.connections.wrapping_add(1);
            counters.open = counters.open.wrapping_add(1);
        });
    }

    pub(crate) fn ended(&self, ended: &Ended) {
        self.change(|counters| {
            let number = match ended {
                Ended::Session(summary) => {
                    let carried = summary.carried;
                    let output = carried.stdout.wrapping_add(carried.stderr);
                    counters.stdin = counters.stdin.wrapping_add(carried.stdin);
                    counters.output = counters.output.wrapping_add(output);
                    match summary.outcome {
                        Outcome::Completed => &mut counters.completed,
                        _ => &mut counters.failed,
                    }
                }
                Ended::PassedOn(_) => &mut counters.passed_on,
                Ended::Plain(_) => &mut counters.plain,
                Ended::Refused(_) => &mut counters.refused,
                Ended::Left => return,
            };
            *number = number.wrapping_add(1);
        });
    }

    pub(crate) fn closed(&self) {
        self.change(|counters| counters.open = counters.open.wrapping_sub(1));
    }

    fn change(&self, change: impl FnOnce(&mut Counters)) {
        self.0.lock(|cell| {
            let mut counters = cell.get();
            change(&mut counters);
            cell.set(counters);
        });
    }
}
