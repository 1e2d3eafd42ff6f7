use core::fmt::Write as _;

use heapless::{String, Vec};

use super::LINGER;
use crate::leg::MAX_TEXT;
use crate::time::{Instant, Millis};

/// One forwarded connection: which of its streams are open.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "five facts, of which many combinations occur")]
pub(super) struct Port {
    /// Streams that upstream has not accepted.
    pub(super) unaccepted: u8,
    /// The client's half of the data stream is open.
    pub(super) input: bool,
    /// Upstream's half is.
    pub(super) output: bool,
    /// Upstream's half of the error stream is.
    pub(super) error: bool,
    /// Upstream ended a stream as one does in failure.
    pub(super) was_reset: bool,
    /// The client is told why.
    pub(super) is_told: bool,
    /// What it still has to be told.
    pub(super) notice: Option<Notice>,
    /// When what is left of the connection is ended by this end.
    pub(super) until: Option<Instant>,
}

/// What this end itself has to say about a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    Reset,
    TimedOut,
    Lost,
}

impl Port {
    pub(super) const OPENING: Self = Self {
        unaccepted: 2,
        input: true,
        output: true,
        error: true,
        was_reset: false,
        is_told: false,
        notice: None,
        until: None,
    };

    pub(super) const fn has_ended(&self) -> bool {
        !self.input && !self.output && !self.error
    }

    /// Only the client's half is left, which it cannot end.
    pub(super) const fn lingers(&self) -> bool {
        self.input && !self.output
    }

    /// The client has sent something.
    pub(super) fn sent(&mut self, now: Instant) {
        if self.lingers() {
            self.until = Some(now.plus(LINGER));
        }
    }

    /// Ends what is open, and tells the client why unless it knows.
    pub(super) fn end_with(&mut self, notice: Notice) {
        (self.input, self.output, self.error) = (false, false, false);
        if !self.is_told {
            self.notice = Some(notice);
            self.is_told = true;
        }
    }

    /// One of its streams has ended. Nothing that is left over may stay for ever: `patience` is for what upstream has to
    /// end.
    pub(super) fn settle(&mut self, now: Instant, patience: Millis) {
        self.until = if self.has_ended() {
            if self.was_reset {
                self.end_with(Notice::Reset);
            }
            None
        } else if self.lingers() {
            Some(now.plus(LINGER))
        } else if !self.input || (!self.error && self.is_told) {
            Some(now.plus(patience))
        } else {
            None
        };
    }
}

impl Notice {
    pub(super) fn text(self, port: u16) -> String<96> {
        let mut text = String::new();
        let why = match self {
            Self::Reset => "upstream has reset the connection",
            Self::TimedOut => "timed out waiting for upstream to accept the streams",
            Self::Lost => "lost connection to upstream",
        };
        let _ = write!(text, "error forwarding port {port}: {why}");
        text
    }
}

/// What upstream says on an error stream, held until all of it is there: the client gets it as one message.
#[derive(Debug)]
pub(super) struct Text {
    /// Which port it is about.
    pub(super) port: Option<u8>,
    pub(super) bytes: Vec<u8, MAX_TEXT>,
    /// It is whole.
    pub(super) is_due: bool,
    /// When it is taken for whole.
    pub(super) until: Option<Instant>,
}

impl Text {
    pub(super) const fn new() -> Self {
        Self { port: None, bytes: Vec::new(), is_due: false, until: None }
    }

    /// Adds a piece; what is too long is left out.
    pub(super) fn collect(&mut self, port: u8, piece: &[u8], now: Instant) {
        self.port = Some(port);
        self.until.get_or_insert(now.plus(LINGER));
        let room = MAX_TEXT - self.bytes.len();
        let _ = self.bytes.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }
}
