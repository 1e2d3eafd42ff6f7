//! SPDY/3.1: frames, header blocks and streams. Knows nothing of HTTP, WebSocket or Kubernetes.
//!
//! ```text
//! control frame   1 | version = 3 (15) | type (16) | flags (8) | length (24) | payload
//! data frame      0 | stream id (31)               | flags (8) | length (24) | payload
//! ```
//!
//! A [`Receiver`] turns received bytes into [`Event`]s and leaves payload where it lies. What is sent is
//! written by the functions of [`frame`], and by a [`HeaderWriter`] for frames that carry headers.
//! [`Streams`] keeps the book of which streams are open. The three are independent, so that a role takes
//! only what it needs: a client never reads a header block and runs a `Receiver<SkipBlocks>` of some
//! fifty bytes, a server needs the window of [`Inflate`] for as long as streams may be opened.
//!
//! Everything follows the SPDY/3.1 draft as spdystream, the peer in every Kubernetes component, practises
//! it. There is **no flow control**: SETTINGS and `WINDOW_UPDATE` are read and ignored, and never sent.
//!
//! ```
//! use strait::spdy::{Event, HeaderWriter, Inflate, Receiver, StreamId};
//! use strait::{Limits, Role};
//!
//! let mut wire = [0; 64];
//! let opened = StreamId::new(1).unwrap();
//! let length = HeaderWriter::new().syn_stream(opened, false, &[("streamtype", "error")], &mut wire)?;
//!
//! let inflate: Inflate = Inflate::new();
//! let mut receiver = Receiver::new(Role::Server, &Limits::HOST, inflate);
//! let step = receiver.receive(&wire[..length])?;
//! assert_eq!(step.consumed, length);
//! assert!(matches!(step.event, Some(Event::SynStream { stream, .. }) if stream == opened));
//! assert_eq!(receiver.headers().get("streamtype"), Some(&b"error"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod frame;

mod error;
mod header_block;
mod inflate;
mod receive;
mod streams;

pub use error::{ConnectionError, FrameError};
pub use frame::{GoawayStatus, RstStatus, StreamId};
pub use header_block::{HeaderBlock, HeaderBlockError, HeaderIter, HeaderRules, HeaderWriter, WriteError};
pub use inflate::Inflate;
pub use receive::{Event, HeaderBlocks, LentBlocks, MIN_INPUT, Receiver, SkipBlocks};
pub use streams::{DataVerdict, OpenError, Refusal, StreamState, Streams};
