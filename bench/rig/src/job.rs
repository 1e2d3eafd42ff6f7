use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use strait_scenarios::{Direction, Fault, Scenario};

use crate::traffic::Traffic;

/// How long a session may take to begin, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a session is for. Both ends of it are threads of this program, so they need not tell each other on the wire.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    pub(crate) traffic: Traffic,
    /// Upstream has all streams.
    begun: Latch,
    /// Both ends may send.
    pub(crate) go: Latch,
    stop: AtomicBool,
    /// Payload of stdin.
    pub(crate) up: Count,
    /// Payload of stdout.
    pub(crate) down: Count,
    stalls: Option<Fault>,
    /// When one end has cut its connection off.
    cut: OnceLock<Instant>,
    /// The other end knows.
    known: Latch,
    news: Mutex<News>,
    failure: Mutex<Option<Error>>,
}

/// What upstream does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Takes stdin, and sends stdout until it is told to stop.
    Carry(Direction),
    /// Sends back what it gets.
    Echo,
    /// Sends the traffic once and ends the session.
    Short,
    /// Answers heartbeats.
    Idle,
    /// Is cut off by its client, after it has sent the traffic or while it takes some.
    ClientLost(Direction),
    /// Cuts its client off in the traffic's last frame.
    UpstreamLost,
}

/// What one end has been told when the other one has cut its connection off.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing: its connection has ended.
    #[default]
    Nothing,
    /// That something has gone wrong.
    Failure,
    /// That all is well, which it is not.
    Success,
}

/// Payload bytes of one direction.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

impl Job {
    pub(crate) fn new(kind: Kind, scenario: &Scenario) -> Arc<Self> {
        Arc::new(Self {
            kind,
            traffic: Traffic::of(scenario),
            begun: Latch::default(),
            go: Latch::default(),
            stop: AtomicBool::new(false),
            up: Count::default(),
            down: Count::default(),
            stalls: scenario.faults.iter().copied().find(|fault| matches!(fault, Fault::Stalls { .. })),
            cut: OnceLock::new(),
            known: Latch::default(),
            news: Mutex::default(),
            failure: Mutex::default(),
        })
    }

    pub(crate) fn begin(&self) {
        self.begun.open();
    }

    /// Waits until upstream has all streams, or has failed.
    pub(crate) fn has_begun(&self) -> Result<()> {
        let opened = self.begun.wait();
        self.is_good()?;
        if opened { Ok(()) } else { bail!("upstream has not got its streams within {PATIENCE:?}") }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// One end cuts its connection off now.
    pub(crate) fn cut(&self) {
        self.cut.get_or_init(Instant::now);
    }

    /// The other end knows, and has been told so much.
    pub(crate) fn knows(&self, news: News) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = news;
        self.known.open();
    }

    /// How long it took the other end to know, and what it was told. Waits for it.
    pub(crate) fn outcome(&self) -> Result<(Duration, News)> {
        let is_known = self.known.wait();
        self.is_good()?;
        let cut = self.cut.get().context("nobody was cut off")?;
        ensure!(is_known, "the other end does not know after {PATIENCE:?}");
        Ok((cut.elapsed(), *self.news.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// How whoever receives has to stall.
    pub(crate) fn stalls(&self) -> Stalls {
        Stalls { fault: self.stalls, taken: 0 }
    }

    pub(crate) fn failed(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop();
        self.begun.open();
        self.go.open();
        self.known.open();
    }

    /// Fails if anything has.
    pub(crate) fn is_good(&self) -> Result<()> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Fails unless all that was sent has arrived.
    pub(crate) fn is_complete(&self) -> Result<()> {
        self.is_good()?;
        for (name, count) in [("stdin", &self.up), ("stdout", &self.down)] {
            let (sent, received) = (count.sent.load(Ordering::SeqCst), count.received.load(Ordering::SeqCst));
            if sent != received {
                return Err(anyhow!("{received} of {sent} bytes of {name} have arrived"));
            }
        }
        Ok(())
    }

    /// Payload bytes that have arrived, both ways.
    pub(crate) fn arrived(&self) -> u64 {
        [&self.up, &self.down].map(|count| count.received.load(Ordering::Relaxed)).iter().sum()
    }
}

/// A reader that does something else every now and then, or never.
#[derive(Debug)]
pub(crate) struct Stalls {
    fault: Option<Fault>,
    taken: u64,
}

impl Stalls {
    /// So many bytes were read.
    pub(crate) fn took(&mut self, count: u64) {
        let Some(Fault::Stalls { every, milliseconds }) = self.fault else { return };
        self.taken += count;
        if self.taken >= every as u64 {
            self.taken = 0;
            thread::sleep(Duration::from_millis(milliseconds));
        }
    }
}

/// A door that is opened once.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Latch {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// False if it was not opened for very long.
    pub(crate) fn wait(&self) -> bool {
        let guard = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(guard, PATIENCE, |is_open| !*is_open);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Jobs by the number that stands in the session's command.
#[derive(Debug, Default, Clone)]
pub(crate) struct Jobs(Arc<Mutex<Numbered>>);

#[derive(Debug, Default)]
struct Numbered {
    last: u64,
    jobs: HashMap<u64, Arc<Job>>,
}

impl Jobs {
    pub(crate) fn add(&self, job: &Arc<Job>) -> u64 {
        let mut numbered = self.lock();
        numbered.last += 1;
        let number = numbered.last;
        numbered.jobs.insert(number, Arc::clone(job));
        number
    }

    pub(crate) fn find(&self, number: u64) -> Option<Arc<Job>> {
        self.lock().jobs.get(&number).cloned()
    }

    pub(crate) fn remove(&self, number: u64) {
        self.lock().jobs.remove(&number);
    }

    fn lock(&self) -> MutexGuard<'_, Numbered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
