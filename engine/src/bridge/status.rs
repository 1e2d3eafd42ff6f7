use super::{Lane, Memory};
use crate::k8s::{Lossy, Outcome, status};
use crate::shift::shift;

const TOO_LONG: &str = "the exit status of the command is longer than the gateway can hold";

/// The status of a session.
///
/// What upstream sends on its error stream is collected as it comes, and passed on unchanged to a client whose
/// protocol has the status in the same form. The lane to the client [holds](Lane::hold) it until all output is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionStatus {
    /// What the lane holds: JSON, or as much of it as has come.
    Json,
    /// What the lane holds: the text of a protocol before v4, where nothing is a success.
    Text,
    /// An `InternalError` with this message.
    Error(&'static str),
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

impl SessionStatus {
    /// Upstream has refused with `json`, which must be a failure; one that cannot be held is cut, and anything else replaced.
    pub(super) fn refused<B: Memory, const S: usize>(json: &[u8], lane: &mut Lane<B, S>) -> Self {
        let Ok(failure @ Outcome::Failure(_)) = Outcome::parse(json) else {
            return Self::Error("upstream refused the session");
        };
        let is_held = lane.hold_written(|room| match room.get_mut(..json.len()) {
            Some(place) => Some(place.iter_mut().zip(json).map(|(to, from)| *to = *from).count()),
            None => failure.write(room).ok(),
        });
        if is_held { Self::Json } else { Self::Error(TOO_LONG) }
    }

    /// A piece of the error stream was held, or could not be.
    pub(super) const fn collected(&mut self, is_held: bool) {
        if !is_held {
            *self = Self::Error(TOO_LONG);
        }
    }

    /// Makes what was `held` the session's status: true if it is one, false if it had to be replaced by an
    /// error, because a session without a status has failed.
    pub(super) fn settle(&mut self, held: &[u8], end: UpstreamEnd) -> bool {
        let settled = match Outcome::parse(held) {
            _ if *self != Self::Json => *self,
            _ if !end.all_output => {
                Self::Error("connection to upstream closed before the end of the output was received")
            }
            // Text has no success, only an end in order without a failure.
            _ if !end.is_json && (end.in_order || !held.is_empty()) => Self::Text,
            Ok(_) => Self::Json,
            Err(_) if held.is_empty() => {
                Self::Error("connection to upstream closed before the exit status was received")
            }
            Err(_) => Self::Error("upstream sent an exit status that is not a Status"),
        };
        *self = settled;
        !matches!(settled, Self::Error(_))
    }

    /// Writes it to the front of `room`, at whose end lie `held` bytes, for a client with JSON or with text, and returns its
    /// length: 0 for a success in text only; `None` if there is no room for any status. Text that does not fit is cut.
    pub(super) fn write(self, is_json: bool, room: &mut [u8], held: usize) -> Option<usize> {
        let free = room.len().checked_sub(held)?;
        match (self, is_json) {
            (Self::Json, true) | (Self::Text, false) => {
                shift(room, free..room.len(), 0);
                Some(held)
            }
            (Self::Error(message), _) => error(message, is_json, room),
            _ => {
                let (out, held) = room.split_at_mut_checked(free)?;
                let written = if is_json { to_json(held, out) } else { to_text(held, out) };
                written.or_else(|| error(TOO_LONG, is_json, room))
            }
        }
    }
}

fn to_json(text: &[u8], out: &mut [u8]) -> Option<usize> {
    if text.is_empty() {
        return status::success(out).ok();
    }
    let text = text.trim_ascii();
    // What a Go client says, unless upstream has said as much.
    let said = text.starts_with(status::INTERNAL_ERROR.as_bytes());
    let prefix = if said { "" } else { "error executing remote command: " };
    status::internal_error(format_args!("{prefix}{}", Lossy(text)), out).ok()
}

fn to_text(json: &[u8], out: &mut [u8]) -> Option<usize> {
    let outcome = Outcome::parse(json).ok()?;
    let len = outcome.write_text(out);
    (len > 0 || outcome == Outcome::Success).then_some(len)
}

fn error(message: &str, is_json: bool, out: &mut [u8]) -> Option<usize> {
    if is_json {
        return status::internal_error(message, out).ok();
    }
    let text = status::INTERNAL_ERROR.bytes().chain(message.bytes());
    let len = out.iter_mut().zip(text).map(|(to, byte)| *to = byte).count();
    (len > 0).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::testbed::EXIT_5;

    /// No text at all says that the command has succeeded.
    #[test]
    fn a_failure_that_finds_no_room_as_text_is_never_an_empty_one() {
        let told = |held: &mut [u8]| {
            let len = held.len();
            SessionStatus::Json.write(false, held, len).map(|len| held[..len].to_vec())
        };
        assert!(told(&mut EXIT_5.to_vec()).unwrap().starts_with(status::INTERNAL_ERROR.as_bytes()));
        assert_eq!(SessionStatus::Error("broken").write(false, &mut [], 0), None);
    }
}
