//! One piece of work: which, on what way, and what came of it.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use strait_tests::Random;
use tokio::runtime::Handle;

use crate::forwards;
use crate::programs::{self, Front};
use crate::servers::{Gateway, MARK, Node, Servers};
use crate::sessions::Task;
use crate::standstill;
use crate::wire::{Fault, Plan, Wire};

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// Input that is sent back.
    Echo,
    /// Output without input, on both streams, to a reader that may be slow.
    Flood,
    /// An exit code alone.
    Code,
    /// A terminal, its sizes, a line.
    Terminal,
    /// A client that is gone in the middle of its output.
    Vanish,
    /// `strait exec`.
    Program,
    /// `kubectl exec`.
    Kubectl,
    /// Forwarded connections of the raw client.
    Forward,
    /// Connections through `strait port-forward`.
    ForwardProgram,
    /// `strait cp`, there and back.
    Copy,
}

impl Load {
    /// As often as it is tried.
    const ALL: [Self; 20] = [
        Self::Echo,
        Self::Echo,
        Self::Echo,
        Self::Echo,
        Self::Echo,
        Self::Flood,
        Self::Flood,
        Self::Flood,
        Self::Flood,
        Self::Code,
        Self::Code,
        Self::Terminal,
        Self::Vanish,
        Self::Vanish,
        Self::Program,
        Self::Program,
        Self::Kubectl,
        Self::Forward,
        Self::ForwardProgram,
        Self::Copy,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Echo => "input that comes back",
            Self::Flood => "output on two streams, to readers that may be slow",
            Self::Code => "exit codes",
            Self::Terminal => "terminals: sizes, a line",
            Self::Vanish => "clients that vanish",
            Self::Program => "`strait exec`",
            Self::Kubectl => "`kubectl exec`",
            Self::Forward => "forwarded connections, of a raw client",
            Self::ForwardProgram => "connections through `strait port-forward`",
            Self::Copy => "`strait cp`, there and back",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// Every byte, and the right code.
    All,
    /// An error that says so.
    Error(String),
    /// The client left.
    Left,
    /// The machine stood still meanwhile, and what needs time went wrong.
    NotJudged,
}

/// Bytes or an exit code that no fault and no time-out excuses.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// Fails with [`Wrong`] unless it is so.
macro_rules! right {
    ($is_so:expr, $($text:tt)*) => {
        if !$is_so {
            return Err($crate::job::Wrong(format!($($text)*)).into());
        }
    };
}
pub(crate) use right;

/// What came of it, and how much there was to check.
pub(crate) struct Done {
    pub(crate) load: Load,
    pub(crate) faults: [Fault; 2],
    pub(crate) came: Result<Came>,
    pub(crate) payload: usize,
}

/// Work that is laid out.
pub(crate) struct Job {
    pub(crate) load: Load,
    gateway: Gateway,
    front: Plan,
    back: u64,
    random: Random,
    name: String,
}

impl Job {
    /// The work of that number: nothing but the number decides which it is.
    pub(crate) fn of(number: u64, has_faults: bool, has_kubectl: bool) -> Self {
        let mut random = Random::new(number);
        let mut load = Load::ALL[random.below(Load::ALL.len())];
        if load == Load::Kubectl && !has_kubectl {
            load = Load::Program;
        }
        let mut gateway =
            [Gateway::ToSpdy, Gateway::ToSpdy, Gateway::ToWebSocket, Gateway::Replaced][random.below(4)];
        // The programs speak TLS, the clients of the tests' own do not.
        if matches!(load, Load::Program | Load::ForwardProgram | Load::Copy) && random.below(3) == 0 {
            gateway = Gateway::Tls;
        }
        let mut front = Plan::of(random.number() >> 1);
        let mut back = random.number() >> 1;
        if !has_faults || load == Load::Kubectl {
            while !front.is_harmless() {
                front = Plan::of(random.number() >> 1);
            }
            // kubectl speaks for itself where bytes are only passed on.
            if load == Load::Kubectl || gateway == Gateway::Replaced {
                gateway = Gateway::ToSpdy;
            }
        }
        while !has_faults && (!Plan::of(back).is_harmless() || Node::of(back) == Node::Replaced) {
            back = random.number() >> 1;
        }
        Self { load, gateway, front, back, random, name: format!("job {number}") }
    }

    pub(crate) fn run(mut self, servers: &Servers, runtime: &Handle) -> Done {
        let is_marked = !matches!(self.load, Load::Forward | Load::ForwardProgram);
        let (back, node) =
            if is_marked { (Plan::of(self.back), Node::of(self.back)) } else { (Plan::CLEAN, Node::Steady) };
        let before = servers.disturbances(self.gateway, node);
        let stands = standstill::Since::now();
        let mut payload = 0;
        let carried = catch_unwind(AssertUnwindSafe(|| self.carry(servers, runtime, &mut payload)));
        let came = carried.unwrap_or_else(|panic| Err(anyhow!("panic: {}", text(&*panic))));
        let is_certain = self.front.is_harmless() && back.is_harmless();
        let context = || {
            format!(
                "{}, {:?}, {:?} to {node:?}, in front {:?}, behind {:?}",
                self.name, self.load, self.gateway, self.front.fault, back.fault
            )
        };
        let came = came.and_then(|came| match came {
            Came::Error(why) if is_certain && servers.disturbances(self.gateway, node) == before => {
                bail!("an error without a fault: {why}")
            }
            came => Ok(came),
        });
        let came = came.or_else(|error| {
            // Wrong is wrong at any pace.
            if error.is::<Wrong>() || !stands.is_disturbed() { Err(error) } else { Ok(Came::NotJudged) }
        });
        let faults = [self.front.fault, back.fault];
        Done { load: self.load, faults, came: came.with_context(context), payload }
    }

    fn carry(&mut self, servers: &Servers, runtime: &Handle, payload: &mut usize) -> Result<Came> {
        let gateway = servers.address(self.gateway);
        let wire = runtime.block_on(Wire::to(gateway, self.front.clone()))?;
        let front = Front { address: wire.address, ca: servers.ca(self.gateway) };
        let mark = format!("{MARK}{}", self.back);
        let random = &mut self.random;
        match self.load {
            Load::Echo | Load::Flood | Load::Code | Load::Terminal | Load::Vanish => {
                let task = Task::of(self.load, &mark, random);
                *payload = task.payload();
                runtime.block_on(task.run(wire.address, random))
            }
            Load::Program | Load::Kubectl => {
                programs::exec(&front, self.load == Load::Kubectl, &mark, random, payload)
            }
            Load::Copy => programs::copy(&front, &mark, random, payload),
            Load::ForwardProgram => forwards::through_program(&front, random, payload),
            Load::Forward => {
                // This client panics when its connection breaks.
                let checked = catch_unwind(AssertUnwindSafe(|| forwards::raw(wire.address, random, payload)));
                match checked {
                    Ok(()) => Ok(Came::All),
                    Err(panic) => {
                        let text = text(&*panic);
                        right!(!text.contains("another echo"), "{text}");
                        // What tungstenite says of an answer in more than 64 small pieces.
                        Ok(if text.contains("AttackAttempt") { Came::NotJudged } else { Came::Error(text) })
                    }
                }
            }
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().cloned();
    said.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into())).unwrap_or_default()
}

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
