//! The functions of the C library that a gateway calls, under their own names: a program's symbols come before those of its libraries. Each
//! counts itself, on the thread that is watched, and hands its arguments to the kernel. Nobody's leave is needed for that, as
//! it would be for `perf`, `ptrace` or a filter of the kernel's.
//!
//! Not seen is what goes past the C library (`futex`, which waits for other threads, and `rustix`).

#![expect(unsafe_code, reason = "only a function of the same name sees who calls the C library's")]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::turns;

thread_local! {
    /// Neither made nor dropped by code, so that an allocator may look at it at any time.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

static CALLS: AtomicU64 = AtomicU64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The connection that was accepted last, and the one that was made last.
static ACCEPTED: AtomicI32 = AtomicI32::new(-1);
static CONNECTED: AtomicI32 = AtomicI32::new(-1);

static SPOILT: OnceLock<Spoilt> = OnceLock::new();

/// What the watched thread has asked the system for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) calls: u64,
    pub(crate) allocations: u64,
}

impl Asked {
    pub(crate) fn so_far() -> Self {
        Self { calls: CALLS.load(Ordering::SeqCst), allocations: ALLOCATIONS.load(Ordering::SeqCst) }
    }
}

/// What is done for nothing with each read: a gate has to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Spoilt {
    /// Memory is taken and given back.
    Allocation,
    /// The first byte is looked at before.
    Call,
}

/// From now on, on the watched thread.
pub(crate) fn spoil(how: Spoilt) {
    SPOILT.get_or_init(|| how);
}

/// This thread is the one that is watched.
pub(crate) fn watch() {
    IS_WATCHED.set(true);
}

/// Memory was asked for.
pub(crate) fn allocated() {
    if IS_WATCHED.get() {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
    }
}

/// Bytes that wait to be read from the connection that was accepted last, and from the one that was made last.
pub(crate) fn unread() -> [usize; 2] {
    [&ACCEPTED, &CONNECTED].map(|descriptor| {
        let mut count: c_int = 0;
        // SAFETY: the kernel writes one `int`, there, whatever the descriptor is.
        unsafe { libc::ioctl(descriptor.load(Ordering::SeqCst), libc::FIONREAD, &raw mut count) };
        usize::try_from(count).unwrap_or(0)
    })
}

fn called() {
    if IS_WATCHED.get() {
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the kernel is given for a pointer that the C library's function does not have.
const NOTHING: *const c_void = null();

macro_rules! counted {
    ($($name:ident($($argument:ident: $kind:ty),+) -> $result:ty = $number:ident($($passed:expr),+);)+) => {$(
        // SAFETY: it has the signature of the C library's function, and does what that does.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $kind),+) -> $result {
            called();
            // SAFETY: the caller's promises are those that the kernel needs.
            unsafe { libc::syscall(libc::$number, $($passed),+) as $result }
        }
    )+};
}

counted! {
    read(fd: c_int, to: *mut c_void, count: usize) -> isize = SYS_read(fd, to, count);
    write(fd: c_int, from: *const c_void, count: usize) -> isize = SYS_write(fd, from, count);
    readv(fd: c_int, to: *const libc::iovec, count: c_int) -> isize = SYS_readv(fd, to, count);
    writev(fd: c_int, from: *const libc::iovec, count: c_int) -> isize = SYS_writev(fd, from, count);
    send(fd: c_int, from: *const c_void, count: usize, flags: c_int) -> isize
        = SYS_sendto(fd, from, count, flags, NOTHING, 0);
    recvmsg(fd: c_int, to: *mut libc::msghdr, flags: c_int) -> isize = SYS_recvmsg(fd, to, flags);
    sendmsg(fd: c_int, from: *const libc::msghdr, flags: c_int) -> isize = SYS_sendmsg(fd, from, flags);
    epoll_ctl(epoll: c_int, what: c_int, fd: c_int, event: *mut libc::epoll_event) -> c_int
        = SYS_epoll_ctl(epoll, what, fd, event);
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut u32) -> c_int
        = SYS_getsockopt(fd, level, name, value, length);
    setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) -> c_int
        = SYS_setsockopt(fd, level, name, value, length);
    shutdown(fd: c_int, how: c_int) -> c_int = SYS_shutdown(fd, how);
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn recv(fd: c_int, to: *mut c_void, count: usize, flags: c_int) -> isize {
    if IS_WATCHED.get() {
        match SPOILT.get() {
            None => {}
            Some(Spoilt::Allocation) => drop(std::hint::black_box(Box::new(fd))),
            Some(Spoilt::Call) => {
                called();
                // SAFETY: as below, for a part of it.
                unsafe {
                    libc::syscall(libc::SYS_recvfrom, fd, to, count.min(1), libc::MSG_PEEK, NOTHING, NOTHING)
                };
            }
        }
    }
    called();
    // SAFETY: the caller's promises are those that the kernel needs.
    unsafe { libc::syscall(libc::SYS_recvfrom, fd, to, count, flags, NOTHING, NOTHING) as isize }
}

/// Where the watched thread waits, it waits for its turn.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    to: *mut libc::epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    if IS_WATCHED.get() && timeout != 0 {
        turns::wait();
    }
    called();
    // SAFETY: the caller's promises are those that the kernel needs.
    unsafe { libc::syscall(libc::SYS_epoll_pwait, epoll, to, most, timeout, NOTHING, 0) as c_int }
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn accept4(fd: c_int, from: *mut libc::sockaddr, length: *mut u32, flags: c_int) -> c_int {
    called();
    // SAFETY: the caller's promises are those that the kernel needs.
    let accepted = unsafe { libc::syscall(libc::SYS_accept4, fd, from, length, flags) as c_int };
    if IS_WATCHED.get() && accepted >= 0 {
        ACCEPTED.store(accepted, Ordering::SeqCst);
    }
    accepted
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn connect(fd: c_int, to: *const libc::sockaddr, length: u32) -> c_int {
    called();
    if IS_WATCHED.get() {
        CONNECTED.store(fd, Ordering::SeqCst);
    }
    // SAFETY: the caller's promises are those that the kernel needs.
    unsafe { libc::syscall(libc::SYS_connect, fd, to, length) as c_int }
}
