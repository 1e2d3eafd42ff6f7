use super::*;
use crate::text::any_text;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

const fn size(columns: u16, rows: u16) -> TerminalSize {
    TerminalSize { columns, rows }
}

/// All sizes in the order in which they end.
fn sizes(input: &[u8]) -> Vec<TerminalSize> {
    let mut parser = ResizeParser::new();
    input.iter().filter_map(|byte| parser.feed(core::slice::from_ref(byte))).collect()
}

#[test]
fn every_client_is_understood() {
    for text in [
        "{\"Width\":80,\"Height\":24}\n",
        "{\"height\":24,\"width\":80}",
        "{\"WIDTH\":80,\"hEIGHT\":24}",
        " { \"Height\" : 24 ,\r\n \"Width\" : 80 } ",
        "{\n  \"Width\": 80,\n  \"Height\": 24\n}\n",
        "{\"x\":{\"Width\":1,\"Height\":[2,{\"Width\":3}]},\"Width\":80,\"y\":null,\"Height\":24,\"z\":\"{\\\"}\"}",
        "{\"Width\":1,\"Height\":24,\"width\":80}",
        "{\"Width\":80,\"Width\":null,\"Height\":24}",
    ] {
        assert_eq!(sizes(text.as_bytes()), [size(80, 24)], "{text}");
    }
}

#[test]
fn values_need_nothing_between_them() {
    let text = b"{\"Width\":1,\"Height\":2}{\"Width\":3,\"Height\":4}\n\n{\"Width\":65535,\"Height\":6}";
    assert_eq!(sizes(text), [size(1, 2), size(3, 4), size(65535, 6)]);
    assert_eq!(ResizeParser::new().feed(text), Some(size(65535, 6)));
}

/// Covers: K8S-RESIZE-1
#[test]
fn what_is_no_size_is_dropped_and_the_next_one_found() {
    for bad in [
        "{\"Width\":0,\"Height\":24}",
        "{\"Width\":80,\"Height\":0}",
        "{\"Width\":80}",
        "{}",
        "{\"Width\":null,\"Height\":null}",
        "{\"Width\":65536,\"Height\":24}",
        "{\"Width\":-80,\"Height\":24}",
        "{\"Width\":80.0,\"Height\":24}",
        "{\"Width\":8e1,\"Height\":24}",
        "{\"Width\":\"80\",\"Height\":24}",
        "{\"Width\":80,\"Width\":\"80\",\"Height\":24}",
        "{\"Width\":80,\"Width\":true,\"Height\":24}",
        "{\"Width\":80,\"Width\":[],\"Height\":24}",
        "{\"Width\":80,\"Width\":{},\"Height\":24}",
        "{\"Width\":true,\"Height\":24}",
        "{\"Width\":[80],\"Height\":24}",
        "{\"Width\":{},\"Height\":24}",
        "{\"Widths\":80,\"Height\":24}",
        "{\"Widt\":80,\"Height\":24}",
        "{\"Width\":99999999999999999999999,\"Height\":24}",
        "{\"Width\":080,\"Height\":24}",
        "{Width:80,Height:24}",
        "[80,24]",
        "null",
        "\"80x24\"",
        "}]\"",
        "{\"Width\":80,\"Height\":24",
        "{{{{",
        "\u{0}\u{7f}é",
    ] {
        let text = std::format!("{bad}\n{{\"Width\":80,\"Height\":25}}");
        assert_eq!(sizes(text.as_bytes()), [size(80, 25)], "{bad}");
    }
}

#[test]
fn a_value_that_begins_a_line_is_found_behind_blanks_too() {
    for broken in ["{\"x\":[", "{\"Width\":", "{\"x\":{"] {
        for blanks in ["", " ", "\t", "\r", " \t\r "] {
            let text = std::format!("{broken}\n{blanks}{{\"Width\":80,\"Height\":24}}");
            assert_eq!(sizes(text.as_bytes()), [size(80, 24)], "{text:?}");
        }
    }
}

#[test]
fn without_newlines_a_broken_value_costs_at_most_the_next_one() {
    for broken in
        ["{\"width\":8", "{\"width", "{\"width\":", "{\"x\":[", "{\"x\":\"", "{\"x\\", "{\"x\":[[[{\"y\":"]
    {
        let text = std::format!("{broken}{}", "{\"height\":24,\"width\":80}".repeat(2));
        assert_eq!(sizes(text.as_bytes()).last(), Some(&size(80, 24)), "{broken}");
    }
}

#[test]
fn endless_input_neither_ends_nor_fills_the_parser() {
    for unit in ["{\"Width\":", "[", "{\"", "\\", "9", "{\"Width\":9", "\n", "{\n", "{\"a\":\"x"] {
        let mut parser = ResizeParser::new();
        for _ in 0..1000 {
            assert_eq!(parser.feed(unit.as_bytes()), None, "{unit}");
        }
        assert_eq!(parser.feed(b"\n{\"Width\":80,\"Height\":24}"), Some(size(80, 24)), "{unit}");
    }
    let mut parser = ResizeParser::new();
    parser.feed(b"{\"Width\":80,\"");
    for _ in 0..1000 {
        parser.feed(b"width");
    }
    assert_eq!(parser.feed(b"\":1,\"Height\":24}"), Some(size(80, 24)));
}

#[test]
fn a_size_is_written_as_go_writes_it_or_not_at_all() {
    let mut out = [0; TerminalSize::MAX_WRITTEN];
    assert_eq!(size(80, 24).write(&mut out), Ok(25));
    assert_eq!(&out[..25], b"{\"Width\":80,\"Height\":24}\n");
    assert_eq!(size(u16::MAX, u16::MAX).write(&mut out), Ok(TerminalSize::MAX_WRITTEN));
    assert_eq!(size(u16::MAX, u16::MAX).write(&mut out[1..]), Err(Full));
    assert_eq!(size(0, 0).write(&mut out), Ok(23));
}

#[test]
fn the_parser_is_small() {
    assert!(size_of::<ResizeParser>() <= 32, "{}", size_of::<ResizeParser>());
}

const PIECES: &[&[u8]] = &[b"{", b"}", b"\"", b"\\", b"\n", b"[", b"{\"Width\":", b",", b"{\"x\":{"];

/// Bytes that get deep into the parser more often than chance does.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => (any::<u16>(), any::<u16>()).prop_map(|(w, h)| std::format!("{{\"Width\":{w},\"Height\":{h}}}\n").into()),
        2 => (1..300_u16, 1..100_u16).prop_map(|(w, h)| std::format!("{{\"height\":{h},\"width\":{w}}}").into()),
        2 => prop::sample::select(PIECES)
            .prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Covers: K8S-RESIZE-1
    #[test]
    fn every_split_gives_the_same_sizes(input in stream()) {
        let whole = sizes(&input);
        prop_assert_eq!(ResizeParser::new().feed(&input), whole.last().copied());
        for at in 0..=input.len() {
            let (front, back) = input.split_at(at);
            let mut parser = ResizeParser::new();
            let first = parser.feed(front);
            prop_assert_eq!(first, sizes(front).last().copied());
            prop_assert_eq!(parser.feed(back).or(first), whole.last().copied());
        }
    }

    #[test]
    fn garbage_and_a_newline_never_hide_a_value(garbage in stream(), columns in 1..=u16::MAX, rows in 1..=u16::MAX) {
        let mut parser = ResizeParser::new();
        parser.feed(&garbage);
        parser.feed(b"\n");
        let mut out = [0; TerminalSize::MAX_WRITTEN];
        let length = size(columns, rows).write(&mut out).unwrap();
        prop_assert_eq!(parser.feed(&out[..length]), Some(size(columns, rows)));
    }

    #[test]
    fn arbitrary_bytes_are_survived(input: Vec<u8>) {
        ResizeParser::new().feed(&input);
    }

    #[test]
    fn a_size_that_is_found_is_what_serde_reads(columns in 0..70_000_u32, rows in 0..70_000_u32, extra in any_text()) {
        let text = serde_json::json!({ "Width": columns, "Height": rows, (extra.clone()): [extra, { "Width": 1 }] });
        let member = |name| text[name].as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0);
        let expected = size(member("Width"), member("Height"));
        let found = ResizeParser::new().feed(text.to_string().as_bytes());
        let other_key = ["width", "height"].contains(&extra.to_ascii_lowercase().as_str());
        prop_assume!(!other_key);
        prop_assert_eq!(found, (!expected.is_zero()).then_some(expected));
    }

    #[test]
    fn sizes_in_range_round_trip(columns in 1..=u16::MAX, rows in 1..=u16::MAX) {
        let mut out = [0; TerminalSize::MAX_WRITTEN];
        let length = size(columns, rows).write(&mut out).unwrap();
        prop_assert_eq!(sizes(&out[..length]), [size(columns, rows)]);
    }
}
