use super::*;
use crate::text::any_text;
use proptest::prelude::*;
use serde_json::Value;
use std::string::{String, ToString};
use std::vec::Vec;

/// `None` where the two may differ: text that serde reads with other limits than we do.
fn serde_takes(text: &str) -> Option<bool> {
    let lone_surrogates_possible = text.to_ascii_lowercase().contains("\\ud");
    let result = serde_json::from_str::<Value>(text);
    let too_large = result.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
    (!lone_surrogates_possible && !too_large).then_some(result.is_ok())
}

fn scanner_takes(text: &str) -> bool {
    let mut scanner = Scanner::new();
    text.bytes().all(|byte| scanner.push(byte).is_ok()) && scanner.is_complete()
}

/// The first string value of a text.
fn first_string(text: &str) -> Option<JsonStr<'_>> {
    let mut scanner = Scanner::new();
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        match scanner.push(byte).ok()? {
            Event::Text => start = at + 1,
            Event::EndText => return Some(JsonStr::new(&text[start..at])),
            _ => {}
        }
    }
    None
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_text(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Bytes that make JSON more often than chance does.
fn json_bytes() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ \n0123.eE+-truefalsnu"[..]), 0..12)
        .prop_map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn the_grammar_of_rfc_8259_decides() {
    let good = [
        "0",
        "-0",
        "10",
        "-1.5e+3",
        "0.0E-0",
        "1e9",
        "null",
        "true",
        "false",
        "\"\"",
        "[]",
        "{}",
        " [ ] ",
        "[1,2]",
        "{\"a\":{\"b\":[null,{}]},\"c\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"}",
        "[[],[]]",
        "\t\r\n1 ",
    ];
    for text in good {
        assert_eq!((scanner_takes(text), serde_takes(text)), (true, Some(true)), "{text}");
    }
    let bad = [
        "",
        " ",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "--1",
        "tru",
        "truee",
        "nul",
        "nan",
        "\"",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "}",
        "{]",
        "[}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "1 1",
        "{}{}",
        "'a'",
        "{\"a\"::1}",
        "[\"a\":1]",
        "1,2",
        "{},{}",
        "[1}",
        "{\"a\":1]",
        "[-]",
        "[1.]",
        "[1e,2]",
        "{\"a\":-}",
    ];
    for text in bad {
        assert_eq!((scanner_takes(text), serde_takes(text)), (false, Some(false)), "{text}");
    }
}

#[test]
fn nesting_has_an_end() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(scanner_takes(&deep(Scanner::MAX_DEPTH.into())));
    assert!(!scanner_takes(&deep(usize::from(Scanner::MAX_DEPTH) + 1)));
}

#[test]
fn escapes_mean_their_characters() {
    let table = [
        (r#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u0041\u00e9\u20AC""#, "Aé€"),
        (r#""\ud83d\ude00!""#, "😀!"),
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ude00\ud83dx""#, "\u{fffd}\u{fffd}x"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
    ];
    for (text, meant) in table {
        let string = first_string(text).unwrap();
        assert_eq!(string, meant, "{text}");
        assert_eq!(std::format!("{string}"), meant);
    }
}

#[test]
fn strings_are_equal_that_mean_the_same() {
    let [plain, escaped, other] =
        ["\"A/\"", r#""\u0041\/""#, "\"B/\""].map(|text| first_string(text).unwrap());
    assert_eq!(plain, escaped);
    assert_ne!(plain, other);
    assert_ne!(plain, JsonStr::default());
}

#[test]
fn an_unescaped_text_is_cut_behind_a_whole_character() {
    let string = first_string(r#""a\u00e9\ud83d\ude00b""#).unwrap();
    let cut = |room: usize| String::from(string.unescape(&mut std::vec![0; room]));
    let all: Vec<_> = (0..=8).map(cut).collect();
    assert_eq!(all, ["", "a", "a", "aé", "aé", "aé", "aé", "aé😀", "aé😀b"]);
}

proptest! {
    #[test]
    fn what_serde_writes_is_taken_whole_and_no_shorter(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert!(scanner_takes(&text));
        if value.is_object() || value.is_array() || value.is_string() {
            prop_assert!(!scanner_takes(&text[..text.len() - 1]));
        }
    }

    #[test]
    fn serde_agrees_on_what_is_json(text in json_bytes()) {
        if let Some(expected) = serde_takes(&text) {
            prop_assert_eq!(scanner_takes(&text), expected);
        }
    }

    #[test]
    fn serde_agrees_on_mutated_json(value in json(), at: prop::sample::Index, to in json_bytes()) {
        let mut text: Vec<_> = value.to_string().chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, to.chars());
        let text: String = text.into_iter().collect();
        if let Some(expected) = serde_takes(&text) {
            prop_assert_eq!(scanner_takes(&text), expected, "{}", text);
        }
    }

    #[test]
    fn serde_agrees_on_what_a_string_means(meant in any_text()) {
        let text = Value::from(meant.clone()).to_string();
        let string = first_string(&text).unwrap();
        prop_assert_eq!(string, meant.as_str());
        let mut out = std::vec![0; string.raw().len()];
        prop_assert_eq!(string.unescape(&mut out), meant);
    }
}
