use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often files are looked at, at most.
const INTERVAL: Duration = Duration::from_secs(2);

/// A value that is made from files, and made anew when they change.
///
/// The files are looked at when the value is asked for, so nothing runs for a server that nobody uses.
pub(crate) struct Reloaded<T, E> {
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T, E> + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    stamps: Vec<Option<Stamp>>,
    checked: Instant,
    /// The files as they are cannot be used, and that was logged.
    failed: bool,
}

/// What changes with a file: when it was written, and its length.
type Stamp = (SystemTime, u64);

impl<T, E: fmt::Display> Reloaded<T, E> {
    /// Loads the value for the first time.
    pub(crate) fn new(
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        // Before they are read: a change in between is seen as one.
        let stamps = stamps(&files);
        let current = Arc::new(load()?);
        let state = State { current, stamps, checked: Instant::now(), failed: false };
        Ok(Self { files, load: Box::new(load), state: Mutex::new(state) })
    }

    /// The value as of the files of now, or of the last ones that could be used.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.checked.elapsed() >= INTERVAL {
            self.check(&mut state);
        }
        Arc::clone(&state.current)
    }

    fn check(&self, state: &mut State<T>) {
        state.checked = Instant::now();
        let stamps = stamps(&self.files);
        let changed = stamps != state.stamps;
        if !changed && !state.failed {
            return;
        }
        state.stamps = stamps;
        match (self.load)() {
            Ok(value) => {
                tracing::info!(files = ?self.files, "files have changed: loaded again");
                state.current = Arc::new(value);
                state.failed = false;
            }
            Err(error) => {
                if changed {
                    tracing::error!(%error, "changed files cannot be used: what was loaded stays in use");
                }
                state.failed = true;
            }
        }
    }
}

impl<T, E> fmt::Debug for Reloaded<T, E> {
    /// Files only: the value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloaded").field(&self.files).finish()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(stamp).collect()
}
