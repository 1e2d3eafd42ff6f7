//! Strait's gateway on microcontrollers.
#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod fmt;

mod connection;
mod session;

pub use self::connection::{Connection, Halves, Io};
pub use self::session::{Filled, SEGMENTS, Session, Summary};
