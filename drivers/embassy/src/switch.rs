use core::cell::Cell;
use core::future::poll_fn;
use core::task::{Context, Poll};

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::waitqueue::AtomicWaker;

use crate::counters::Count;

/// What all parts of a gateway look at, from whatever task or thread: what it does and what it has done, and how the door and
/// `N` runners are woken.
pub(crate) struct Switch<const N: usize> {
    mode: Mutex<CriticalSectionRawMutex, Cell<Mode>>,
    door: AtomicWaker,
    runners: [AtomicWaker; N],
    pub(crate) count: Count,
}

/// What a gateway does. There is no way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Serving,
    /// Nobody new is let in.
    Draining,
    /// Sessions end, too.
    Closing,
}

impl<const N: usize> Switch<N> {
    pub(crate) const fn new() -> Self {
        Self {
            mode: Mutex::new(Cell::new(Mode::Serving)),
            door: AtomicWaker::new(),
            runners: [const { AtomicWaker::new() }; N],
            count: Count::new(),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode.lock(Cell::get)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.lock(|current| current.set(current.get().max(mode)));
        self.door.wake();
        for runner in &self.runners {
            runner.wake();
        }
    }

    /// Until sessions have to end. For a runner's task.
    pub(crate) fn closing(&self, runner: usize) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            self.register_runner(runner, cx);
            if self.mode() < Mode::Closing { Poll::Pending } else { Poll::Ready(()) }
        })
    }

    pub(crate) fn register_door(&self, cx: &Context<'_>) {
        self.door.register(cx.waker());
    }

    pub(crate) fn wake_door(&self) {
        self.door.wake();
    }

    pub(crate) fn register_runner(&self, runner: usize, cx: &Context<'_>) {
        if let Some(waker) = self.runners.get(runner) {
            waker.register(cx.waker());
        }
    }

    pub(crate) fn wake_runner(&self, runner: usize) {
        if let Some(waker) = self.runners.get(runner) {
            waker.wake();
        }
    }
}

impl<const N: usize> core::fmt::Debug for Switch<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Switch")
            .field("mode", &self.mode())
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
