//! Whose turn it is: the gateway waits for input only when all of it is there, so that how often it wakes up does not depend on who
//! is quicker.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};

/// What a turn may take on a machine with much else to do.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct Turns {
    /// The gateway has to be told.
    is_held: bool,
    /// It was.
    is_told: bool,
    /// It waits for that.
    is_waiting: bool,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { is_held: false, is_told: false, is_waiting: false });
static CHANGED: Condvar = Condvar::new();

/// Called by the gateway's thread before it waits for input.
pub(super) fn wait() {
    let mut turns = lock();
    if !turns.is_held {
        return;
    }
    turns.is_waiting = true;
    CHANGED.notify_all();
    let told = CHANGED.wait_while(turns, |turns| turns.is_held && !turns.is_told);
    let mut turns = told.unwrap_or_else(PoisonError::into_inner);
    (turns.is_waiting, turns.is_told) = (false, false);
}

/// From now on the gateway has to be told. Something has to wake it up if it sleeps.
pub(crate) fn hold() {
    lock().is_held = true;
}

/// It goes on by itself.
pub(crate) fn release() {
    lock().is_held = false;
    CHANGED.notify_all();
}

/// Lets the gateway take what is there, and returns when it would wait again.
pub(crate) fn take() -> Result<()> {
    lock().is_told = true;
    CHANGED.notify_all();
    is_waiting()
}

/// Returns when the gateway waits to be told.
pub(crate) fn is_waiting() -> Result<()> {
    let waited = CHANGED.wait_timeout_while(lock(), PATIENCE, |turns| !turns.is_waiting || turns.is_told);
    let (turns, _) = waited.unwrap_or_else(PoisonError::into_inner);
    ensure!(turns.is_waiting && !turns.is_told, "the gateway's turn has not ended within {PATIENCE:?}");
    Ok(())
}

fn lock() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}
