use super::*;
use crate::text::{any_text, text_of};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::string::{String, ToString};
use std::vec::Vec;

fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, Full>) -> String {
    let mut out = std::vec![0; 64 * 1024];
    let length = write(&mut out).unwrap();
    out.truncate(length);
    String::from_utf8(out).unwrap()
}

/// Outcome as text that outlives the JSON.
fn outcome(json: &str) -> Result<(&'static str, u32, String, String), StatusError> {
    Ok(match Outcome::parse(json.as_bytes())? {
        Outcome::Success => ("success", 0, String::new(), String::new()),
        Outcome::ExitCode(code) => ("exit", code, String::new(), String::new()),
        Outcome::Failure(Failure { code, reason, message }) => {
            ("failure", code.unwrap_or_default().into(), reason.to_string(), message.to_string())
        }
    })
}

fn exit(causes: &str) -> Result<Outcome<'static>, StatusError> {
    let text = std::format!("{{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\"{causes}}}");
    match Outcome::parse(text.as_bytes())? {
        Outcome::ExitCode(code) => Ok(Outcome::ExitCode(code)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_writers_write_what_the_translator_writes() {
    assert_eq!(written(success), r#"{"metadata":{},"status":"Success"}"#);
    assert_eq!(written(|out| exit_code(0, out)), written(success));
    assert_eq!(
        written(|out| exit_code(3, out)),
        concat!(
            r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: "#,
            r#"command terminated with exit code 3","reason":"NonZeroExitCode","#,
            r#""details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#
        )
    );
    assert_eq!(
        written(|out| internal_error("no \"route\"", out)),
        concat!(
            r#"{"metadata":{},"status":"Failure","message":"Internal error occurred: no \"route\"","#,
            r#""reason":"InternalError","code":500}"#
        )
    );
    assert_eq!(
        written(|out| response(400, "BadRequest", "Upgrade request required", out)),
        concat!(
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
            r#""message":"Upgrade request required","reason":"BadRequest","code":400}"#
        )
    );
    assert_eq!(
        written(|out| failure(None, "", "why", out)),
        r#"{"metadata":{},"status":"Failure","message":"why"}"#
    );
}

#[test]
fn the_prefix_of_an_internal_error_is_never_doubled() {
    for message in ["boom", "Internal error occurred: boom"] {
        let text = written(|out| internal_error(message, out));
        assert_eq!(outcome(&text).unwrap().3, "Internal error occurred: boom");
    }
    // What came over two hops upstream is left as it is.
    let twice = "Internal error occurred: Internal error occurred: boom";
    assert_eq!(outcome(&written(|out| internal_error(twice, out))).unwrap().3, twice);
    let close = "Internal error occurred:boom";
    let text = written(|out| internal_error(close, out));
    assert_eq!(outcome(&text).unwrap().3, std::format!("Internal error occurred: {close}"));
}

#[test]
fn control_characters_are_escaped() {
    let text = written(|out| failure(1, "r", "\0\u{1f}\n\r\t\u{8}\u{7f}\\\"/\u{2028}😀", out));
    assert!(
        text.contains(concat!(r#""\u0000\u001f\n\r\t\u0008"#, "\u{7f}", r#"\\\"/"#, "\u{2028}😀\"")),
        "{text}"
    );
}

#[test]
fn a_long_message_is_cut_behind_a_whole_character_and_stays_json() {
    let long = "€\"\\\u{1}😀".repeat(100);
    let reason = "R\"".repeat(100);
    for room in MIN_OUT..MIN_OUT + 16 {
        let mut out = std::vec![0; room];
        let length = failure(u16::MAX, &reason, &long, &mut out).unwrap();
        assert!(room - length < 6, "{room} {length}");
        let Ok(Outcome::Failure(Failure { code, message, reason: cut, .. })) = Outcome::parse(&out[..length])
        else {
            panic!("{}", Lossy(&out));
        };
        assert_eq!(code, Some(u16::MAX));
        assert!(long.starts_with(&message.to_string()));
        assert!(reason.starts_with(&cut.to_string()) && cut.raw().len() >= MAX_REASON - 1);
    }
}

#[test]
fn a_cut_text_never_goes_on_behind_the_cut() {
    struct Careless;
    impl Display for Careless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let _ = f.write_str(&"€".repeat(200));
            let _ = f.write_str("a");
            Ok(())
        }
    }
    for room in MIN_OUT..MIN_OUT + 3 {
        let mut out = std::vec![0; room];
        let length = internal_error(Careless, &mut out).unwrap();
        assert!(!out[..length].ends_with(b"a\",\"reason\":\"InternalError\",\"code\":500}"));
    }
}

#[test]
fn no_writer_fails_with_the_smallest_promised_buffer() {
    let long = "x".repeat(1000);
    let mut out = [0; MIN_OUT];
    for write in [
        success(&mut out),
        exit_code(u32::MAX, &mut out),
        internal_error(&long, &mut out),
        failure(u16::MAX, &long, &long, &mut out),
        response(u16::MAX, &long, &long, &mut out),
    ] {
        assert!(write.is_ok());
    }
    for room in 0..40 {
        let small = &mut out[..room];
        assert_eq!(internal_error("", small), Err(Full));
        assert_eq!(success(small).is_ok(), room >= 34);
    }
}

/// Covers: K8S-STATUS-1
#[test]
fn the_statuses_of_every_server_are_read() {
    assert_eq!(Outcome::parse(br#"{"status":"Success"}"#), Ok(Outcome::Success));
    assert_eq!(Outcome::parse(b" {\"metadata\":{},\"status\":\"Success\"}\n"), Ok(Outcome::Success));
    let cri = r#"{"metadata":{},"status":"Failure","message":"Internal error occurred: error executing command in
        container: x","reason":"InternalError","details":{"causes":[{"message":"error executing x"}]},"code":500}"#
        .replace("in\n        ", "in ");
    let (kind, code, reason, message) = outcome(&cri).unwrap();
    assert_eq!((kind, code, reason.as_str()), ("failure", 500, "InternalError"));
    assert_eq!(message, "Internal error occurred: error executing command in container: x");
}

#[test]
fn members_come_in_any_order_and_strange_ones_are_skipped() {
    let text = r#"{"details":{"x":[{"causes":[]}],"causes":[{"message":"a"},{"message":"7","field":{},"reason":"ExitCode"},
        {"reason":"ExitCode","message":"8"}],"name":null},"code":null,"reason":"NonZeroExitCode",
        "metadata":{"status":"Success","reason":"x","details":{"causes":3}},"st\u0061tus":"F\u0061ilure"}"#;
    assert_eq!(Outcome::parse(text.as_bytes()), Ok(Outcome::ExitCode(7)));
}

#[test]
fn the_last_of_equal_members_counts() {
    let text = r#"{"status":"Success","status":"Failure","message":"a","message":"b","code":1,"code":2.5}"#;
    let (kind, code, _, message) = outcome(text).unwrap();
    assert_eq!((kind, code, message.as_str()), ("failure", 0, "b"));
    let causes = r#","details":{"causes":[{"reason":"ExitCode","message":"1"}]},"details":{}"#;
    assert_eq!(exit(causes), Err(StatusError::NoExitCode));
    let causes = r#","details":{"causes":[{"reason":"ExitCode","message":"1"}],"causes":[]}"#;
    assert_eq!(exit(causes), Err(StatusError::NoExitCode));
    assert_eq!(outcome(r#"{"status":"Success","status":null}"#), Err(StatusError::UnknownStatus));
}

#[test]
fn exit_codes_have_32_bit_and_nothing_but_digits() {
    let cause = |code: &str| {
        exit(&std::format!(",\"details\":{{\"causes\":[{{\"reason\":\"ExitCode\",\"message\":{code}}}]}}"))
    };
    for (code, number) in
        [("1", 1), ("255", 255), ("0", 0), ("4294967295", u32::MAX), ("007", 7), ("\\u0035", 5)]
    {
        assert_eq!(cause(&std::format!("\"{code}\"")), Ok(Outcome::ExitCode(number)));
    }
    for code in ["", "-1", "+1", " 1", "1 ", "4294967296", "0x1", "one", "１"] {
        assert_eq!(cause(&std::format!("\"{code}\"")), Err(StatusError::InvalidExitCode), "{code}");
    }
    assert_eq!(cause("null"), Err(StatusError::InvalidExitCode));
    assert!(matches!(cause("5"), Err(StatusError::WrongType { .. })));
}

#[test]
fn a_cause_says_nothing_of_the_next_one() {
    let causes = r#","details":{"causes":[{"message":"5"},{"reason":"ExitCode"}]}"#;
    assert_eq!(exit(causes), Err(StatusError::InvalidExitCode));
    let causes = r#","details":{"causes":[{"reason":"ExitCode"},{"message":"5"}]}"#;
    assert_eq!(exit(causes), Err(StatusError::InvalidExitCode));
}

#[test]
fn an_exit_without_its_code_is_an_error() {
    assert_eq!(exit(""), Err(StatusError::NoDetails));
    assert_eq!(exit(",\"details\":null"), Err(StatusError::NoDetails));
    assert_eq!(exit(",\"details\":{}"), Err(StatusError::NoExitCode));
    assert_eq!(exit(",\"details\":{\"causes\":null}"), Err(StatusError::NoExitCode));
    assert_eq!(exit(",\"details\":{\"causes\":[]}"), Err(StatusError::NoExitCode));
    assert_eq!(exit(",\"details\":{\"causes\":[null,{\"message\":\"5\"}]}"), Err(StatusError::NoExitCode));
    // The key of the cause is `reason`, not `type`.
    let typed = ",\"details\":{\"causes\":[{\"type\":\"ExitCode\",\"message\":\"5\"}]}";
    assert_eq!(exit(typed), Err(StatusError::NoExitCode));
}

/// Covers: KEP4006-10
#[test]
fn what_is_no_status_is_never_a_success() {
    for (text, error) in [
        ("", StatusError::Empty),
        (" \n", StatusError::Empty),
        ("{", StatusError::Truncated),
        ("{\"status\":\"Success\"", StatusError::Truncated),
        ("{\"status\":\"Success\"}x", StatusError::NotJson { at: 20 }),
        ("{\"status\":\"Success\"}{}", StatusError::NotJson { at: 20 }),
        ("Success", StatusError::NotJson { at: 0 }),
        ("\"Success\"", StatusError::WrongType { at: 0 }),
        ("[{\"status\":\"Success\"}]", StatusError::WrongType { at: 0 }),
        ("null", StatusError::WrongType { at: 0 }),
        ("{}", StatusError::UnknownStatus),
        ("{\"status\":\"success\"}", StatusError::UnknownStatus),
        ("{\"Status\":\"Success\"}", StatusError::UnknownStatus),
        ("{\"status\":\"Unknown\"}", StatusError::UnknownStatus),
        ("{\"status\":1}", StatusError::WrongType { at: 10 }),
        ("{\"status\":\"Failure\",\"code\":\"5\"}", StatusError::WrongType { at: 27 }),
        ("{\"details\":[]}", StatusError::WrongType { at: 11 }),
        ("{\"details\":{\"causes\":{}}}", StatusError::WrongType { at: 21 }),
    ] {
        assert_eq!(Outcome::parse(text.as_bytes()), Err(error), "{text}");
        assert_eq!(error.code(), 500);
    }
    assert_eq!(Outcome::parse(b"{\"a\":\"\xff\"}"), Err(StatusError::NotUtf8 { at: 6 }));
}

#[test]
fn text_that_is_no_utf8_becomes_a_message() {
    let text = written(|out| internal_error(Lossy(b"a\xffb\xc3"), out));
    assert_eq!(outcome(&text).unwrap().3, "Internal error occurred: a\u{fffd}b\u{fffd}");
}

const WORDS: &[&str] =
    &["Success", "Failure", "NonZeroExitCode", "ExitCode", "InternalError", "5", "300", "x\"y", ""];

/// A `Status` with many of its members, of the right types and (rarely) of others.
fn status() -> impl Strategy<Value = Value> {
    let word = || prop_oneof![9 => prop::sample::select(WORDS).prop_map(Value::from), 1 => Just(json!(null))];
    let cause = (word(), word())
        .prop_map(|(reason, message)| json!({ "reason": reason, "message": message, "field": 1 }));
    let causes = prop::collection::vec(cause, 0..3).prop_map(Value::from);
    let details = prop_oneof![
        4 => causes.prop_map(|causes| json!({ "name": "n", "causes": causes })),
        1 => Just(json!({})),
        1 => Just(Value::Null),
    ];
    let code = prop_oneof![
        any::<u16>().prop_map(Value::from),
        Just(json!(1.5)),
        Just(json!(-1)),
        Just(json!(70000))
    ];
    (
        prop::option::of(word()),
        prop::option::of(word()),
        prop::option::of(any_text()),
        prop::option::of(details),
        prop::option::of(code),
    )
        .prop_map(|(status, reason, message, details, code)| {
            let mut object = serde_json::Map::new();
            let mut put = |name: &str, value: Option<Value>| {
                value.and_then(|value| object.insert(name.into(), value));
            };
            put("metadata", Some(json!({ "continue": [{}] })));
            put("status", status);
            put("reason", reason);
            put("message", message.map(Value::from));
            put("details", details);
            put("code", code);
            Value::Object(object)
        })
}

/// What the client rules say of a `Status` that serde has read.
fn by_the_rules(status: &Value) -> Result<(&'static str, u32, String, String), StatusError> {
    let text = |value: &Value| String::from(value.as_str().unwrap_or_default());
    let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
    match (status["status"].as_str(), status["reason"].as_str()) {
        (Some("Success"), _) => Ok(("success", 0, String::new(), String::new())),
        (Some("Failure"), Some("NonZeroExitCode")) => {
            let details = status["details"].as_object().ok_or(StatusError::NoDetails)?;
            let causes = details.get("causes").and_then(Value::as_array).into_iter().flatten();
            let cause = causes
                .into_iter()
                .find(|cause| cause["reason"] == "ExitCode")
                .ok_or(StatusError::NoExitCode)?;
            let code = text(&cause["message"]).parse().map_err(|_| StatusError::InvalidExitCode)?;
            Ok(("exit", code, String::new(), String::new()))
        }
        (Some("Failure"), _) => {
            Ok(("failure", code.into(), text(&status["reason"]), text(&status["message"])))
        }
        _ => Err(StatusError::UnknownStatus),
    }
}

proptest! {
    #[test]
    fn any_failure_reads_as_it_was_written(code: u16, reason in text_of("aZé\u{20ac}😀 \"\\", 0..10), message in any_text()) {
        let text = written(|out| failure(code, &reason, &message, out));
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap()["message"], &Value::from(message.as_str()));
        prop_assume!(reason != "NonZeroExitCode");
        prop_assert_eq!(outcome(&text).unwrap(), ("failure", code.into(), reason, message));
        let parsed = Outcome::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(written(|out| parsed.write(out)), text);
    }

    #[test]
    fn any_exit_code_reads_as_it_was_written(code in 1..=u32::MAX) {
        let text = written(|out| exit_code(code, out));
        let parsed = Outcome::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(parsed, Outcome::ExitCode(code));
        prop_assert_eq!(written(|out| parsed.write(out)), text);
    }

    #[test]
    fn any_internal_error_keeps_its_message(message in any_text(), room in MIN_OUT..2 * MIN_OUT) {
        let text = written(|out| internal_error(&message, out));
        prop_assert_eq!(outcome(&text).unwrap().3, std::format!("{INTERNAL_ERROR}{message}"));
        let mut out = std::vec![0; room];
        let length = internal_error(&message, &mut out).unwrap();
        prop_assert!(Outcome::parse(&out[..length]).is_ok());
    }

    #[test]
    fn serde_agrees_on_every_status(status in status(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&status) } else { serde_json::to_string(&status) }.unwrap();
        prop_assert_eq!(outcome(&text), by_the_rules(&status));
    }

    #[test]
    fn serde_agrees_on_mutated_statuses(
        status in status(),
        at: prop::sample::Index,
        to in prop::sample::select(&["", "{", "}", "[", "]", "\"", ",", ":", "\\", "0", "null", "é", " "][..]),
    ) {
        let mut text: Vec<_> = status.to_string().chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, to.chars());
        let text: String = text.into_iter().collect();
        match serde_json::from_str::<Value>(&text) {
            // A string may have become a number: types are checked by us, and not by the rules above.
            Ok(status) => match outcome(&text) {
                Err(StatusError::WrongType { at }) => prop_assert!(at < text.len()),
                ours => prop_assert_eq!(ours, by_the_rules(&status), "{}", text),
            },
            Err(_) if text.to_ascii_lowercase().contains("\\ud") => {}
            Err(_) => prop_assert!(outcome(&text).is_err(), "{}", text),
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(json: Vec<u8>) {
        prop_assert_ne!(Outcome::parse(&json), Ok(Outcome::Success));
    }
}
