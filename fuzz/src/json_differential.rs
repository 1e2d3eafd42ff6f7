use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use strait::k8s::status::Failure;
use strait::k8s::{Outcome, ResizeParser, TerminalSize};

/// A status (first byte even) or terminal sizes, read by the engine and by `serde_json` with the rules on top: both understand
/// the same, and refuse the same.
///
/// | difference | why |
/// |---|---|
/// | the engine takes a lone surrogate escape | it means U+FFFD, as in Go |
/// | it takes numbers that no double can hold | it computes with none but whole ones of 16 bit |
/// | it nests 32 deep | bounds its memory; `serde_json` 128 |
/// | a key of a size in escapes is not known | no client writes it so, and keys are compared where they lie |
/// | behind something that is no JSON it finds the next size | sizes are a stream that must not wedge: compared only where all is JSON |
///
/// # Panics
/// If they differ in another way.
pub fn json_differential(data: &[u8]) {
    let &[kind, ref text @ ..] = data else { return };
    if kind % 2 == 0 { status(text) } else { sizes(text) }
}

/// Any JSON, with the members of objects as they come, duplicates and all.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    /// `true`, `false`, and numbers that are not whole and positive.
    Other,
    Number(u64),
    /// A number that is not whole and positive.
    OddNumber,
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

const DEEPEST: usize = 32;

impl Json {
    fn depth(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(members) => 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// What is refused by `serde_json` alone.
fn is_stricter(error: &serde_json::Error) -> bool {
    let error = error.to_string();
    ["surrogate", "unexpected end of hex escape", "number out of range", "recursion limit"]
        .iter()
        .any(|known| error.contains(known))
}

fn status(text: &[u8]) {
    let ours = Outcome::parse(text);
    match (serde_json::from_slice::<Json>(text), ours) {
        (Ok(json), ours) if json.depth() > DEEPEST => assert!(ours.is_err(), "too deep"),
        (Ok(json), ours) => match (meaning(&json), ours) {
            (Ok(theirs), Ok(ours)) => assert_eq!(Meaning::of(ours), theirs),
            (Err(_), Err(_)) => {}
            (theirs, ours) => panic!("{theirs:?} and {ours:?}"),
        },
        (Err(error), Ok(_)) => assert!(is_stricter(&error), "only the engine takes it: {error}"),
        (Err(_), Err(_)) => {}
    }
}

/// What a status says.
#[derive(Debug, PartialEq)]
pub(crate) enum Meaning {
    Success,
    Exit(u32),
    Failure { code: Option<u16>, reason: String, message: String },
}

/// What these bytes say, if they are a status.
pub(crate) fn meaning_of(json: &[u8]) -> Option<Meaning> {
    serde_json::from_slice(json).ok().and_then(|json| meaning(&json).ok())
}

impl Meaning {
    fn of(outcome: Outcome<'_>) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::ExitCode(code) => Self::Exit(code),
            Outcome::Failure(Failure { code, reason, message }) => {
                Self::Failure { code, reason: reason.to_string(), message: message.to_string() }
            }
        }
    }
}

/// What a `Status` says (`websocket-channels.md` section 5).
fn meaning(json: &Json) -> Result<Meaning, &'static str> {
    let Json::Object(members) = json else { return Err("no object") };
    let (mut status, mut reason, mut message) = (String::new(), String::new(), String::new());
    let (mut code, mut details) = (None, None);
    for (name, value) in members {
        match &name[..] {
            "status" => status = text_of(value)?,
            "reason" => reason = text_of(value)?,
            "message" => message = text_of(value)?,
            "code" => code = number_of(value)?,
            "details" => details = details_of(value)?,
            _ => {}
        }
    }
    match (&status[..], &reason[..]) {
        ("Success", _) => Ok(Meaning::Success),
        ("Failure", "NonZeroExitCode") => {
            let digits = details.ok_or("no details")?.exit.ok_or("no exit code")?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number).map(Meaning::Exit).ok_or("no number")
        }
        ("Failure", _) => Ok(Meaning::Failure { code, reason, message }),
        _ => Err("no such status"),
    }
}

struct Details {
    /// The exit code in the last list of causes, if there is one.
    exit: Option<String>,
}

fn details_of(value: &Json) -> Result<Option<Details>, &'static str> {
    let members = match value {
        Json::Null => return Ok(None),
        Json::Object(members) => members,
        _ => return Err("details that are no object"),
    };
    let mut exit = None;
    for (_, value) in members.iter().filter(|(name, _)| name == "causes") {
        exit = None;
        let causes = match value {
            Json::Null => continue,
            Json::List(causes) => causes,
            _ => return Err("causes that are no list"),
        };
        for cause in causes {
            let members = match cause {
                Json::Null => continue,
                Json::Object(members) => members,
                _ => return Err("a cause that is no object"),
            };
            let (mut reason, mut message) = (String::new(), String::new());
            for (name, value) in members {
                match &name[..] {
                    "reason" => reason = text_of(value)?,
                    "message" => message = text_of(value)?,
                    _ => {}
                }
            }
            if reason == "ExitCode" && exit.is_none() {
                exit = Some(message);
            }
        }
    }
    Ok(Some(Details { exit }))
}

fn text_of(value: &Json) -> Result<String, &'static str> {
    match value {
        Json::Null => Ok(String::new()),
        Json::Text(text) => Ok(text.clone()),
        _ => Err("no text"),
    }
}

fn number_of(value: &Json) -> Result<Option<u16>, &'static str> {
    match value {
        Json::Null | Json::OddNumber => Ok(None),
        Json::Number(number) => Ok(u16::try_from(*number).ok()),
        _ => Err("no number"),
    }
}

fn sizes(text: &[u8]) {
    let values: Result<Vec<Json>, _> = serde_json::Deserializer::from_slice(text).into_iter().collect();
    let Ok(values) = values else { return };
    let are_objects = values.iter().all(|value| matches!(value, Json::Object(_)) && value.depth() <= DEEPEST);
    // The rule for lost newlines: an object begins with its line.
    let mut lines = text.split(|&byte| byte == b'\n');
    let begun = lines.by_ref().filter(|line| line.trim_ascii_start().starts_with(b"{")).count();
    let one_a_line = begun == values.len() || (begun <= 1 && !text.contains(&b'\n'));
    if !are_objects || !one_a_line || text.contains(&b'\\') {
        return;
    }
    let expected = values.iter().filter_map(size).next_back();
    assert_eq!(ResizeParser::new().feed(text), expected, "{}", text.escape_ascii());
}

/// The size in an object, if it is one (`websocket-channels.md` section 4).
fn size(value: &Json) -> Option<TerminalSize> {
    let Json::Object(members) = value else { return None };
    let mut size = TerminalSize::default();
    for (name, value) in members {
        let field = match name.to_ascii_lowercase().as_str() {
            "width" => &mut size.columns,
            "height" => &mut size.rows,
            _ => continue,
        };
        match value {
            Json::Null => {}
            Json::Number(number) => *field = u16::try_from(*number).ok()?,
            _ => return None,
        }
    }
    (!size.is_zero()).then_some(size)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::OddNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::OddNumber)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut items = vec![];
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut members = vec![];
        while let Some(member) = from.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}
