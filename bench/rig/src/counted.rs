//! A gateway whose allocations are counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;
use strait_tokio::gateway::Gateway;
use strait_tokio::{Shutdown, Upstream};
use tokio::net::TcpListener;

use crate::lockstep::calls;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, which counts how often it is asked for memory.
struct Counting;

#[expect(unsafe_code, reason = "nothing else counts the allocations of a whole program")]
// SAFETY: every call is handed on to the system's allocator, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated();
        // SAFETY: the caller's promises are those that it needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated();
        // SAFETY: likewise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        allocated();
        // SAFETY: likewise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: likewise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocated() {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    calls::allocated();
}

/// Serves until this program is killed. For each line of standard input it prints how many allocations there were so far.
pub(crate) fn serve(upstream: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    thread::spawn(|| {
        let mut line = String::with_capacity(64);
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read_line(&mut line), Ok(1..)) {
            // Printing allocates.
            let allocations = ALLOCATIONS.load(Ordering::Relaxed);
            println!("{allocations}");
            line.clear();
        }
    });
    runtime.block_on(async {
        let gateway = Gateway::new(Upstream::parse(&format!("http://{upstream}"))?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("ready http://{}", listener.local_addr()?);
        gateway.serve(listener, Shutdown::default()).await?;
        Ok(())
    })
}
