//! The pairs of streams that a SPDY port-forward opens, one pair for each forwarded connection.
//!
//! ```text
//! error stream   streamtype: error   port: 8080   requestid: 0     half-closed by the client at once
//! data stream    streamtype: data    port: 8080   requestid: 0     the bytes of the connection, both ways
//! ```
//!
//! A server checks each `SYN_STREAM` ([`StreamRequest::parse`]) and finds the pair that it belongs to ([`PairTable`]).
//! What is wrong with a pair is told as text on its error stream; the texts are the `Display` of [`AlreadyAssigned`],
//! [`TimedOut`] and [`ForwardFailed`], as upstream's servers word them.
//!
//! `port-forward.md` section 1. Streams are known here by their numbers alone.

use core::fmt;
use core::time::Duration;

use super::ports::{self, PortStream};
use crate::Instant;

/// What a `SYN_STREAM` of a port-forward asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRequest {
    /// Which half of its pair the stream is.
    pub stream: PortStream,
    /// The port to connect to.
    pub port: u16,
    /// Names the pair. Clients count from 0 on each connection.
    pub request: u64,
}

impl StreamRequest {
    /// Reads the headers of the stream `id`; `header` finds one by its name in lower case.
    ///
    /// Old clients send no `requestid`, and open the error stream right before the data stream: then the number of the
    /// error stream, which is lower by 2, names the pair.
    ///
    /// # Errors
    /// The answer to each is an `RST_STREAM` with CANCEL; the connection goes on.
    pub fn parse<'a>(id: u32, header: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, InvalidStream> {
        let port = header(ports::PORT).ok_or(InvalidStream::NoPort)?;
        let port = ports::parse_port(port.iter().copied()).ok_or(InvalidStream::Port)?;
        let stream = header(ports::STREAM_TYPE).ok_or(InvalidStream::NoStreamType)?;
        let stream = PortStream::from_stream_type(stream).ok_or(InvalidStream::StreamType)?;
        let request = match header(ports::REQUEST_ID).filter(|digits| !digits.is_empty()) {
            Some(digits) => decimal(digits).ok_or(InvalidStream::RequestId)?,
            None if stream == PortStream::Error => id.into(),
            None => id.wrapping_sub(2).into(),
        };
        Ok(Self { stream, port, request })
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, &byte| {
        let digit = char::from(byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Why a stream is none of a port-forward's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidStream {
    /// There is no `port`.
    NoPort,
    /// The `port` is no decimal number from 1 to 65,535.
    Port,
    /// There is no `streamtype`.
    NoStreamType,
    /// The `streamtype` is neither `error` nor `data`.
    StreamType,
    /// The `requestid` is no decimal number of 64 bits.
    RequestId,
}

impl fmt::Display for InvalidStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "\"port\" header is required",
            Self::Port => "\"port\" must be a number from 1 to 65535",
            Self::NoStreamType => "\"streamtype\" header is required",
            Self::StreamType => "\"streamtype\" must be error or data",
            Self::RequestId => "\"requestid\" must be a decimal number",
        })
    }
}

impl core::error::Error for InvalidStream {}

/// A complete pair: the port can be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// What names it on the wire.
    pub request: u64,
    /// The port, as the data stream has it.
    pub port: u16,
    /// Number of its error stream.
    pub error: u32,
    /// Number of its data stream.
    pub data: u32,
}

/// A pair of which one stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfPair {
    /// What names it on the wire.
    pub request: u64,
    /// Which of its streams is there.
    pub stream: PortStream,
    /// The number of that stream.
    pub id: u32,
    port: u16,
    since: Instant,
}

/// The pairs of a connection that are not complete, at most `N`. A pair leaves it when it is.
#[derive(Debug, Clone)]
pub struct PairTable<const N: usize> {
    halves: [Option<HalfPair>; N],
    /// How many of them there are: mostly none.
    count: usize,
    completion: Duration,
}

/// What an opened stream means for its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// The other stream of the pair is to come.
    Waiting,
    /// The pair is complete.
    Complete(Pair),
    /// The pair has such a stream already. The new one is reset with CANCEL, and the pair goes on; if its
    /// error stream is there, it is told with the text of [`AlreadyAssigned`].
    Duplicate {
        /// Number of the pair's error stream, if it is there.
        error: Option<u32>,
    },
    /// There are too many pairs that are not complete: the stream is refused with `REFUSED_STREAM`.
    Full,
}

impl<const N: usize> PairTable<N> {
    /// An empty table whose pairs have `completion` to become complete
    /// ([`Limits::stream_creation`](crate::Limits), 30 s upstream).
    pub const fn new(completion: Duration) -> Self {
        Self { halves: [None; N], count: 0, completion }
    }

    /// The client has opened the stream `id`.
    pub fn add(&mut self, id: u32, asked: StreamRequest, now: Instant) -> Added {
        let StreamRequest { stream, port, request } = asked;
        let mut free = None;
        for slot in &mut self.halves {
            match *slot {
                Some(half) if half.request == request && half.stream == stream => {
                    let error = (stream == PortStream::Error).then_some(half.id);
                    return Added::Duplicate { error };
                }
                Some(half) if half.request == request => {
                    *slot = None;
                    self.count -= 1;
                    return Added::Complete(match stream {
                        PortStream::Error => Pair { request, port: half.port, error: id, data: half.id },
                        PortStream::Data => Pair { request, port, error: half.id, data: id },
                    });
                }
                Some(_) => {}
                None => free = free.or(Some(slot)),
            }
        }
        let Some(free) = free else { return Added::Full };
        *free = Some(HalfPair { request, stream, id, port, since: now });
        self.count += 1;
        Added::Waiting
    }

    /// The client has reset the stream `id`: a pair that was waiting for its other stream is forgotten.
    pub fn forget(&mut self, id: u32) {
        for slot in &mut self.halves {
            if slot.is_some_and(|half| half.id == id) {
                *slot = None;
                self.count -= 1;
            }
        }
    }

    /// When a pair will have waited too long, if there are any.
    pub fn deadline(&self) -> Option<Instant> {
        if self.count == 0 {
            return None;
        }
        self.halves.iter().flatten().map(|half| half.since.after(self.completion)).min()
    }

    /// Forgets a pair that has waited too long, and says which it was: its stream is told with the text of [`TimedOut`], if it is the error
    /// stream, and reset. To be called until there is none.
    pub fn expired(&mut self, now: Instant) -> Option<HalfPair> {
        let completion = self.completion;
        let is_late = |half: &HalfPair| now.since(half.since) >= completion;
        let late = self.halves.iter_mut().find(|slot| slot.as_ref().is_some_and(is_late))?.take()?;
        self.count -= 1;
        Some(late)
    }
}

/// What the error stream of a pair is told about a second stream of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyAssigned {
    /// What names the pair.
    pub request: u64,
    /// The type.
    pub stream: PortStream,
}

impl fmt::Display for AlreadyAssigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, stream } = self;
        let stream = stream.stream_type();
        write!(f, "error processing stream for request {request}: {stream} stream already assigned")
    }
}

/// What the error stream of a pair is told when its data stream was not opened in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut {
    /// Tells the connections of this server apart (upstream prints an address).
    pub connection: u64,
    /// What names the pair.
    pub request: u64,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, request } = self;
        write!(f, "(conn={connection:#x}, request={request}) timed out waiting for streams")
    }
}

/// What the error stream of a pair is told when its connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardFailed<'a, E> {
    /// The port.
    pub port: u16,
    /// The pod that it belongs to.
    pub pod: &'a str,
    /// The pod's UID.
    pub uid: &'a str,
    /// What failed.
    pub error: E,
}

impl<E: fmt::Display> fmt::Display for ForwardFailed<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, pod, uid, error } = self;
        write!(f, "error forwarding port {port} to pod {pod}, uid {uid}: {error}")
    }
}

#[cfg(test)]
mod tests;
