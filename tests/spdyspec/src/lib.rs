//! spdyspec: SPDY/3.1 and the streams of Kubernetes as a numbered list of behaviours, and a runner that looks at any server or client.
//!
//! A case says what it expects and where that is written, and its run says what was seen, in a few words. What was
//! seen is one of the behaviours that conform, or one that a [`Profile`] knows of this peer, or unexpected. The bytes are the suite's
//! own (`wire`), so that bad ones can be sent and no engine judges itself.
//!
//! ```text
//! spdyspec --target 127.0.0.1:8001            the suite is the client
//! spdyspec --role server --client-spdy CMD    the suite listens, CMD is the client
//! ```
//!
//! Every wait has a deadline, and so has every case as a whole.

mod case;
mod client;
mod profile;
mod report;
mod run;
mod server;
mod target;
mod wire;

pub use case::{Case, Kind};
pub use client::Programs;
pub use profile::{Deviation, PROFILES, Profile};
pub use report::{Report, list};
pub use run::{Outcome, Verdict, cases, run};
pub use target::{Dialect, Target};
