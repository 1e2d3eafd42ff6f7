//! Strait's engine: Kubernetes streams between WebSocket and SPDY/3.1, without an allocator.
//!
//! `kubectl exec`, `attach` and `cp` speak WebSocket to an API server, and most of what is behind it speaks
//! SPDY/3.1. This crate is what stands between, as a library: it has no socket, no clock and no
//! memory of its own, so that it runs in a server as in a microcontroller.
//!
//! * A [leg] turns bytes into stream events and stream events into bytes.
//! * A [bridge] joins two legs.
//! * A *driver*, which is yours, moves bytes between sockets and a bridge, and owns time and memory.
//!
//! # One shape
//!
//! Every state machine here is fed in the same way: `receive` takes all bytes that were received and not yet
//! consumed, and answers with a [`Step`]: how many of them it took, and at most one event, whose ranges
//! are indices into these very bytes. Nothing taken and no event means that more bytes are needed.
//! What has to be written in answer waits as `pending` bytes until the driver tells that they were `sent`.
//! There are no callbacks, and no queue grows.
//!
//! # Rooms
//!
//! | module | what | knows |
//! |---|---|---|
//! | [`http`] | heads of requests and responses, the upgrade | |
//! | [`ws`] | RFC 6455: frames, masks, closing | |
//! | [`spdy`] | SPDY/3.1: frames, header blocks, streams | |
//! | [`k8s`] | subprotocols, channels, statuses, terminal sizes, request targets, ports | [`http`] |
//! | [`upgrade`] | upgrades with a subprotocol of Kubernetes, from either end | [`http`], [`ws`], [`k8s`] |
//! | [`gateway`] | what a gateway asks upstream for, and what it answers | [`upgrade`] |
//! | [`leg`] | Kubernetes channels on one connection | [`ws`], [`spdy`], [`k8s`] |
//! | [`bridge`] | two connections joined | legs |
//!
//! [`ws`] and [`spdy`] are of use alone: each has an example of its own.
//!
//! # A run loop
//!
//! A whole driver, with byte strings for sockets. A real one reads and writes where this one copies,
//! and sleeps where this one returns.
//!
//! ```
//! use strait::bridge::{Bridge, ExecBridge, Flow, Lane, Outcome, Side};
//! use strait::k8s::{StreamSet, Subprotocol};
//! use strait::leg::{SpdyLeg, WebSocketLeg};
//! use strait::{Instant, Limits};
//!
//! /// Joins what a WebSocket client and a SPDY server send; returns what they get.
//! fn join<'a>(
//!     streams: StreamSet,
//!     mut client: &'a [u8],
//!     mut upstream: &'a [u8],
//! ) -> (Vec<u8>, Vec<u8>, Option<Outcome>) {
//!     let now = Instant::ZERO; // a real driver reads its clock once a round
//!     let websocket = WebSocketLeg::server(Subprotocol::V5, &Limits::HOST);
//!     let spdy = SpdyLeg::client(streams, Subprotocol::V4, &Limits::HOST);
//!     let mut bridge: ExecBridge<_, _> = ExecBridge::new(websocket, streams, &Limits::HOST);
//!     bridge.connected(spdy, now);
//!     // One lane a direction: the memory in which bytes are read, translated and written.
//!     let (mut up, mut down) = (Lane::<_>::new([0; 1024]), Lane::<_>::new([0; 1024]));
//!     let (mut to_client, mut to_upstream) = (Vec::new(), Vec::new());
//!     bridge.greet(&mut down);
//!     loop {
//!         let mut moved = 0;
//!         let flows = [
//!             bridge.translate(Side::Upstream, &mut down, now),
//!             bridge.translate(Side::Client, &mut up, now),
//!         ];
//!         for (side, lane, socket) in
//!             [(Side::Client, &mut down, &mut to_client), (Side::Upstream, &mut up, &mut to_upstream)]
//!         {
//!             let before = socket.len();
//!             socket.extend(bridge.output(side, lane).flatten());
//!             bridge.written(side, lane, socket.len() - before);
//!             moved += socket.len() - before;
//!         }
//!         for (flow, lane, socket) in [(flows[0], &mut down, &mut upstream), (flows[1], &mut up, &mut client)] {
//!             if flow != Flow::NeedWrite {
//!                 let space = lane.space();
//!                 let (bytes, rest) = socket.split_at(space.len().min(socket.len()));
//!                 space[..bytes.len()].copy_from_slice(bytes);
//!                 lane.received(bytes.len());
//!                 *socket = rest;
//!                 moved += bytes.len();
//!             }
//!         }
//!         // At the end of a connection: `bridge.eof(side, now)`. Before sleeping: `bridge.deadline()`.
//!         if moved == 0 || bridge.is_finished() {
//!             return (to_client, to_upstream, bridge.outcome());
//!         }
//!     }
//! }
//!
//! # fn reply(first: bool, stream: u8) -> Vec<u8> {
//! #     let zlib: &[u8] = if first { b"\x78\x20\xe3\xc6\xa7\xc2" } else { b"" };
//! #     let block: &[u8] = b"\x00\x04\x00\xfb\xff\x00\x00\x00\x00\x00\x00\x00\xff\xff";
//! #     let length = (4 + zlib.len() + block.len()) as u8;
//! #     [b"\x80\x03\x00\x02\x00\x00\x00", &[length, 0, 0, 0, stream][..], zlib, block].concat()
//! # }
//! // Upstream accepts the streams error (1) and stdout (3), writes "hello" and ends well.
//! let streams = StreamSet { stdout: true, ..StreamSet::default() };
//! let hello = b"\0\0\0\x03\0\0\0\x05hello\0\0\0\x03\x01\0\0\0".to_vec();
//! let status = b"\0\0\0\x01\x01\0\0\x14{\"status\":\"Success\"}".to_vec();
//! let upstream = [reply(true, 1), reply(false, 3), hello, status].concat();
//! let (to_client, _, outcome) = join(streams, b"", &upstream);
//! // The greeting, channel 1, channel 3, and the Close with code 1000.
//! assert_eq!(to_client, b"\x82\x01\x01\x82\x06\x01hello\x82\x15\x03{\"status\":\"Success\"}\x88\x02\x03\xe8");
//! assert_eq!(outcome, Some(Outcome::Completed));
//! ```
//!
//! # Invariants
//!
//! * **In place.** Payload is unmasked where it was read, and the header of the frame that it becomes is
//!   written over that of the frame that it was. Only payloads of fewer than [`bridge::SMALL`] bytes may
//!   move, so that many of them leave in one piece. A frame larger than the memory passes piece by piece.
//! * **In order, once.** Every payload byte comes out once, in order, on its stream; how the input was cut
//!   into reads makes no difference. A half-close stays a half-close.
//! * **The end is told.** A status is sent after all output, exactly once, before the Close. A session that
//!   ends without one is an error for the client, never a silent success.
//! * **Bounded.** No input makes the engine panic, or loop without taking bytes. What peers may send is bounded
//!   by one value of [`Limits`], whose fields say what they guard against; tables and buffers have const
//!   sizes. A peer that does not read its answers is not read from.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod base64;
mod limits;
mod outbox;
mod shift;
mod step;
#[cfg(test)]
mod text;
mod time;

pub use limits::Limits;
pub use outbox::{Full, Outbox};
pub use step::{Role, Step};
pub use time::Instant;

pub mod bridge;
pub mod gateway;
pub mod http;
pub mod k8s;
pub mod leg;
pub mod spdy;
pub mod upgrade;
pub mod ws;
