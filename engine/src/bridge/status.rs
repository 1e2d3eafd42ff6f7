use heapless::Vec;

use crate::k8s::{Lossy, Outcome, status};

const TOO_LONG: &str = "the exit status of the command is longer than the gateway can hold";

/// The status of a session, held until all output before it is sent.
///
/// What upstream sends on its error stream is collected as it comes, and passed on unchanged to a client whose
/// protocol has the status in the same form.
#[derive(Debug)]
pub(super) struct HeldStatus<const N: usize> {
    bytes: Vec<u8, N>,
    is_too_long: bool,
    /// It is the text of a protocol before v4, where nothing is a success.
    is_text: bool,
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
        Self { bytes: Vec::new(), is_too_long: false, is_text: false }
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
                self.is_text = true;
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

    fn set(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        // The assertion in `new` says that there is room for a status of ours.
        let mut json = [0; N];
        let len = write(&mut json);
        self.is_text = false;
        self.bytes.clear();
        let _ = self.bytes.extend_from_slice(json.get(..len).unwrap_or_default());
    }

    /// Writes it for a client with JSON, and returns its length; `None` if there is no room for any status.
    pub(super) fn write_json(&self, room: &mut [u8]) -> Option<usize> {
        let written = match room.get_mut(..self.bytes.len()) {
            _ if self.is_text && self.bytes.is_empty() => status::success(room),
            _ if self.is_text => {
                let text = self.bytes.trim_ascii();
                // What a Go client says, unless upstream has said as much.
                let said = text.starts_with(status::INTERNAL_ERROR.as_bytes());
                let prefix = if said { "" } else { "error executing remote command: " };
                status::internal_error(format_args!("{prefix}{}", Lossy(text)), room)
            }
            Some(room) => {
                room.copy_from_slice(&self.bytes);
                return Some(self.bytes.len());
            }
            None => status::internal_error(TOO_LONG, room),
        };
        written.ok()
    }

    /// Writes it for a client with text, and returns its length, which is 0 for success only; `None` if there is no
    /// room. What does not fit is cut.
    pub(super) fn write_text(&self, room: &mut [u8]) -> Option<usize> {
        if self.is_text {
            let len = self.bytes.len().min(room.len());
            room.get_mut(..len)?.copy_from_slice(self.bytes.get(..len)?);
            return (len > 0 || self.bytes.is_empty()).then_some(len);
        }
        let outcome = Outcome::parse(&self.bytes).ok()?;
        let len = outcome.write_text(room);
        (len > 0 || outcome == Outcome::Success).then_some(len)
    }
}
