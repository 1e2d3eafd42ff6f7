//! The suite's own bytes. Nothing here knows the engine under test, and nothing refuses to write what a peer must refuse.

pub(crate) mod http;
pub(crate) mod spdy;
pub(crate) mod websocket;
