use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use strait::k8s::TerminalSize;

/// What tells a session something while it runs, from any thread.
#[derive(Debug, Clone)]
pub struct Control(Arc<State>);

#[derive(Debug)]
struct State {
    /// Wakes the session's thread.
    wake: OwnedFd,
    orders: Mutex<Orders>,
}

/// What the session was told since it looked last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Orders {
    pub(super) size: Option<TerminalSize>,
    pub(super) detach: bool,
}

impl Control {
    pub(super) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(State { wake, orders: Mutex::default() })))
    }

    /// Tells the command that its terminal has another size. Of sizes that follow each other quickly the last one counts.
    pub fn resize(&self, size: TerminalSize) {
        self.order(|orders| orders.size = Some(size));
    }

    /// Ends the session without waiting for the command, which is [`SessionError::Detached`](super::SessionError::Detached).
    pub fn detach(&self) {
        self.order(|orders| orders.detach = true);
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.0.orders.lock().unwrap_or_else(PoisonError::into_inner));
        // It fails only when the session has not looked for 2^64 orders, and then it is awake.
        let _ = rustix::io::write(&self.0.wake, &1_u64.to_ne_bytes());
    }

    /// What has been told.
    pub(super) fn take(&self) -> Orders {
        let _ = rustix::io::read(&self.0.wake, &mut [0; 8]);
        std::mem::take(&mut *self.0.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }
}
