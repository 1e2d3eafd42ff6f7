//! Strait's gateway on microcontrollers.
#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod fmt;

mod connection;
mod counters;
mod gateway;
mod head;
mod pass_on;
mod serve;
mod session;
mod socket;

pub use self::connection::{Connection, Halves, Io};
pub use self::counters::Counters;
pub use self::gateway::{Gateway, Place, Runner, State, new};
pub use self::pass_on::{PassEnd, PassedOn, pass_on};
pub use self::serve::{Ended, Options, serve};
pub use self::session::{Filled, SEGMENTS, Session, Summary};
pub use self::socket::Dial;
