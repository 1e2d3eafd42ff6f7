use super::{Failure, Lossy, Outcome, StatusError};

/// What the end of a session says to a client of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled<'a> {
    /// The command has ended by itself, with this exit code.
    Exit(u32),
    /// The server says that the command was not run, or that it is not known what became of it.
    Failed(Failure<'a>),
    /// The same, in the words of a server before v4.
    FailedText(Lossy<'a>),
    /// There is no status, which is no success.
    Missing,
    /// There is one that cannot be read.
    Malformed(StatusError),
}

impl<'a> Settled<'a> {
    /// What `status`, all that came on the error channel, says: JSON from v4 on. Before, silence was success, if the session
    /// ended `in_order`.
    pub fn of(status: &'a [u8], is_json: bool, in_order: bool) -> Self {
        match (status, is_json) {
            ([], false) if in_order => Self::Exit(0),
            ([], _) => Self::Missing,
            (text, false) if text.trim_ascii().is_empty() => Self::of(&[], false, in_order),
            (text, false) => Self::FailedText(Lossy(text.trim_ascii())),
            (json, true) => match Outcome::parse(json) {
                Ok(Outcome::Success) => Self::Exit(0),
                Ok(Outcome::ExitCode(code)) => Self::Exit(code),
                Ok(Outcome::Failure(failure)) => Self::Failed(failure),
                Err(error) => Self::Malformed(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_status_is_never_a_success_from_v4_on() {
        let of = |text: &'static str, is_json, in_order| Settled::of(text.as_bytes(), is_json, in_order);
        assert_eq!(of(r#"{"metadata":{},"status":"Success"}"#, true, false), Settled::Exit(0));
        let seven = r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;
        assert_eq!(of(seven, true, true), Settled::Exit(7));
        assert_eq!(of("", true, true), Settled::Missing);
        assert!(matches!(of("{", true, true), Settled::Malformed(_)));
        for silence in ["", " \n"] {
            assert_eq!(of(silence, false, true), Settled::Exit(0));
            assert_eq!(of(silence, false, false), Settled::Missing);
        }
        assert_eq!(of("no such\n", false, true), Settled::FailedText(Lossy(b"no such")));
    }
}
