use super::{Failure, Outcome, StatusError};
use crate::k8s::json::{Event, JsonStr, Scanner};

/// The members of a `Status` that count, filled while the scanner passes over it.
pub(super) struct Reader<'a> {
    /// What the values directly inside each open container are, by its depth.
    path: [Field; 5],
    /// Offset behind the opening quote of the string that is being read.
    start: usize,
    status: JsonStr<'a>,
    reason: JsonStr<'a>,
    message: JsonStr<'a>,
    code: Option<u16>,
    details: bool,
    cause_reason: JsonStr<'a>,
    cause_message: JsonStr<'a>,
    exit_code: Option<JsonStr<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Root,
    Status,
    Reason,
    Message,
    Code,
    Details,
    Causes,
    Cause,
    CauseReason,
    CauseMessage,
    Other,
}

impl Field {
    fn member(self, name: JsonStr<'_>) -> Self {
        match self {
            Self::Root if name == "status" => Self::Status,
            Self::Root if name == "reason" => Self::Reason,
            Self::Root if name == "message" => Self::Message,
            Self::Root if name == "code" => Self::Code,
            Self::Root if name == "details" => Self::Details,
            Self::Details if name == "causes" => Self::Causes,
            Self::Cause if name == "reason" => Self::CauseReason,
            Self::Cause if name == "message" => Self::CauseMessage,
            _ => Self::Other,
        }
    }

    const fn element(self) -> Self {
        match self {
            Self::Causes => Self::Cause,
            _ => Self::Other,
        }
    }

    /// How a value of this field must begin.
    const fn kind(self) -> Option<Event> {
        match self {
            Self::Root | Self::Details | Self::Cause => Some(Event::Object),
            Self::Causes => Some(Event::Array),
            Self::Code => Some(Event::Number),
            Self::Other => None,
            _ => Some(Event::Text),
        }
    }
}

impl<'a> Reader<'a> {
    /// What the scanner made of the byte at `at` of `text`.
    pub(super) fn take(
        &mut self,
        text: &'a str,
        at: usize,
        byte: u8,
        event: Event,
        scanner: Scanner,
    ) -> Result<(), StatusError> {
        let depth = usize::from(scanner.depth());
        match event {
            Event::Object | Event::Array => {
                let field = self.begin(depth.saturating_sub(1), event, at)?;
                self.set_field(depth, if event == Event::Array { field.element() } else { Field::Other });
            }
            Event::Literal if byte == b'n' && self.field(depth) != Field::Root => {
                self.reset(self.field(depth));
            }
            Event::Literal | Event::Number => {
                self.begin(depth, event, at)?;
            }
            Event::Text => {
                self.begin(depth, event, at)?;
                self.start = at + 1;
            }
            Event::Key => self.start = at + 1,
            Event::EndKey => {
                let member = self.field(depth.saturating_sub(1)).member(self.string(text, at));
                self.set_field(depth, member);
            }
            Event::EndText => self.set_string(self.field(depth), self.string(text, at)),
            Event::EndObject if self.field(depth) == Field::Cause => self.end_cause(),
            Event::Inside | Event::EndObject | Event::EndArray => {}
        }
        if scanner.in_number() && self.field(depth) == Field::Code {
            let digit = char::from(byte).to_digit(10).and_then(|digit| u16::try_from(digit).ok());
            self.code = self.code.and_then(|code| code.checked_mul(10)?.checked_add(digit?));
        }
        Ok(())
    }

    /// A value begins in the container at `depth`.
    fn begin(&mut self, depth: usize, event: Event, at: usize) -> Result<Field, StatusError> {
        let field = self.field(depth);
        if field.kind().is_some_and(|kind| kind != event) {
            return Err(StatusError::WrongType { at });
        }
        self.reset(field);
        match field {
            Field::Details => self.details = true,
            Field::Code => self.code = Some(0),
            _ => {}
        }
        Ok(field)
    }

    /// Forgets what an earlier member of the same name said.
    fn reset(&mut self, field: Field) {
        match field {
            Field::Details => {
                self.details = false;
                self.exit_code = None;
            }
            Field::Causes => self.exit_code = None,
            Field::Code => self.code = None,
            Field::Cause => {
                self.cause_reason = JsonStr::default();
                self.cause_message = JsonStr::default();
            }
            _ => self.set_string(field, JsonStr::default()),
        }
    }

    fn set_string(&mut self, field: Field, string: JsonStr<'a>) {
        match field {
            Field::Status => self.status = string,
            Field::Reason => self.reason = string,
            Field::Message => self.message = string,
            Field::CauseReason => self.cause_reason = string,
            Field::CauseMessage => self.cause_message = string,
            _ => {}
        }
    }

    fn end_cause(&mut self) {
        if self.exit_code.is_none() && self.cause_reason == "ExitCode" {
            self.exit_code = Some(self.cause_message);
        }
    }

    fn string(&self, text: &'a str, end: usize) -> JsonStr<'a> {
        JsonStr::new(text.get(self.start..end).unwrap_or_default())
    }

    fn field(&self, depth: usize) -> Field {
        self.path.get(depth).copied().unwrap_or(Field::Other)
    }

    fn set_field(&mut self, depth: usize, field: Field) {
        if let Some(place) = self.path.get_mut(depth) {
            *place = field;
        }
    }

    pub(super) fn outcome(self) -> Result<Outcome<'a>, StatusError> {
        if self.status == "Success" {
            return Ok(Outcome::Success);
        }
        if self.status != "Failure" {
            return Err(StatusError::UnknownStatus);
        }
        if self.reason != "NonZeroExitCode" {
            let Self { code, reason, message, .. } = self;
            return Ok(Outcome::Failure(Failure { code, reason, message }));
        }
        if !self.details {
            return Err(StatusError::NoDetails);
        }
        let code = self.exit_code.ok_or(StatusError::NoExitCode)?;
        decimal(code).map(Outcome::ExitCode).ok_or(StatusError::InvalidExitCode)
    }
}

impl Default for Reader<'_> {
    fn default() -> Self {
        let mut path = [Field::Other; 5];
        path[0] = Field::Root;
        Self {
            path,
            start: 0,
            status: JsonStr::default(),
            reason: JsonStr::default(),
            message: JsonStr::default(),
            code: None,
            details: false,
            cause_reason: JsonStr::default(),
            cause_message: JsonStr::default(),
            exit_code: None,
        }
    }
}

/// Digits only: no sign, no space.
fn decimal(text: JsonStr<'_>) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0_u32, |number, digit| number.checked_mul(10)?.checked_add(digit.to_digit(10)?))
}
