use heapless::Vec;

use crate::k8s::{Lossy, Outcome, status};

const TOO_LONG: &str = "the exit status of the command is longer than the gateway can hold";

/// The status of a session, held until all output before it is sent.
///
/// What upstream sends on its error stream is collected as it comes; when upstream has ended it becomes a
/// Status in JSON, whatever it was, and is written as the client's protocol has it.
#[derive(Debug)]
pub(super) struct HeldStatus<const N: usize> {
    bytes: Vec<u8, N>,
    is_too_long: bool,
}

/// How upstream ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpstreamEnd {
    /// It ended its streams, rather than that its connection ended.
    pub(super) in_order: bool,
    /// The streams of all output were ended before.
    pub(super) all_output: bool,
    /// Its protocol has a status in JSON, always.
    pub(super) is_json: bool,
}

impl<const N: usize> HeldStatus<N> {
    pub(super) const fn new() -> Self {
        const { assert!(N >= status::MIN_OUT, "the bridge holds the statuses that it writes itself") }
        Self { bytes: Vec::new(), is_too_long: false }
    }

    /// Adds what came on the error stream.
    pub(super) fn collect(&mut self, piece: &[u8]) {
        self.is_too_long |= self.bytes.extend_from_slice(piece).is_err();
    }

    /// Makes what was collected the session's status: true if it is one, false if it had to be replaced by an
    /// error, because a session without a status has failed.
    pub(super) fn settle(&mut self, end: UpstreamEnd) -> bool {
        let missing = match Outcome::parse(&self.bytes) {
            _ if self.is_too_long => TOO_LONG,
            _ if !end.all_output => "connection to upstream closed before the end of the output was received",
            // Text has no success, only an end in order without a failure.
            _ if !end.is_json && (end.in_order || !self.bytes.is_empty()) => {
                self.set_text();
                return true;
            }
            Ok(_) => return true,
            Err(_) if self.bytes.is_empty() => {
                "connection to upstream closed before the exit status was received"
            }
            Err(_) => "upstream sent an exit status that is not a Status",
        };
        self.set_error(missing);
        false
    }

    /// The status is an `InternalError`.
    pub(super) fn set_error(&mut self, message: &str) {
        self.set(|json| status::internal_error(message, json).unwrap_or(0));
    }

    /// The status is `json`, which must be a failure; one that cannot be held is cut, and anything else replaced.
    pub(super) fn set_failure(&mut self, json: &[u8]) {
        match Outcome::parse(json) {
            Ok(Outcome::Failure(_)) if json.len() <= N => {
                self.bytes.clear();
                let _ = self.bytes.extend_from_slice(json);
            }
            Ok(failure @ Outcome::Failure(_)) => self.set(|room| failure.write(room).unwrap_or(0)),
            _ => self.set_error("upstream refused the session"),
        }
    }

    /// Makes the text that upstream ended with a Status.
    fn set_text(&mut self) {
        let text = core::mem::take(&mut self.bytes);
        self.set(|json| {
            let written = if text.is_empty() {
                status::success(json)
            } else {
                let message = format_args!("error executing remote command: {}", Lossy(text.trim_ascii()));
                status::internal_error(message, json)
            };
            written.unwrap_or(0)
        });
    }

    fn set(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        // The assertion in `new` says that there is room for a status of ours.
        let mut json = [0; N];
        let len = write(&mut json);
        self.bytes.clear();
        let _ = self.bytes.extend_from_slice(json.get(..len).unwrap_or_default());
    }

    /// Writes it for a client with JSON, and returns its length.
    pub(super) fn write_json(&self, room: &mut [u8]) -> usize {
        if let Some(room) = room.get_mut(..self.bytes.len()) {
            room.copy_from_slice(&self.bytes);
            return self.bytes.len();
        }
        status::internal_error(TOO_LONG, room).unwrap_or(0)
    }

    /// Writes it for a client with text: nothing, or the message of the failure.
    pub(super) fn write_text(&self, room: &mut [u8]) -> usize {
        Outcome::parse(&self.bytes).map_or(0, |outcome| outcome.write_text(room))
    }
}
