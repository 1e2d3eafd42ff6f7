//! Short sessions that are cut behind every byte.

use std::env;
use std::fmt::Write as _;

use strait::k8s::Subprotocol::{self, None as Unnamed, V1, V1Base64, V2, V3, V4, V4Base64, V5};
use strait_tests::{long_tests_are_wanted, write_down};

use super::transport::{Fault, Pace};
use super::{Case, WRITERS, Way, Work};

/// What is done behind each byte, and the heading of its column.
const CUTS: [(&str, Fault); 3] = [
    ("FIN", Fault::Cut { reset: false, at: 0 }),
    ("RST", Fault::Cut { reset: true, at: 0 }),
    ("half-close", Fault::HalfClose { at: 0 }),
];

const INPUT: &[u8] = b"some input\n";

/// Protocols that are not the newest of their way, on the client's side and on the server's.
const OLDER: [(Work, Way, Subprotocol, Subprotocol); 17] = [
    (Work::Exec, Way::Translated, V4, V4),
    (Work::Exec, Way::Translated, V4Base64, V3),
    (Work::Exec, Way::Translated, V1, V1),
    (Work::Exec, Way::Translated, Unnamed, V2),
    (Work::Exec, Way::TranslatedBack, V3, V4),
    (Work::Exec, Way::TranslatedBack, V1, V5),
    (Work::Exec, Way::WebSocketPassedOn, V5, V4),
    (Work::Exec, Way::WebSocketToNode, V4Base64, V4Base64),
    (Work::Exec, Way::WebSocketToNode, V1Base64, V1Base64),
    (Work::Exec, Way::SpdyToNode, V1, V1),
    (Work::Terminal, Way::Translated, V5, V4),
    (Work::Terminal, Way::TranslatedBack, V4, V5),
    (Work::Channels, Way::Translated, V4, V4),
    (Work::Channels, Way::Translated, V4Base64, V4Base64),
    (Work::Channels, Way::ToTunnel, V4, V4),
    (Work::Channels, Way::WebSocketPassedOn, V4, V4),
    (Work::Channels, Way::WebSocketToNode, V4Base64, V4Base64),
];

/// The lines of a table: `name` is the first column of all. Where not all cuts are tried, `few` are, of each half.
async fn cut_everywhere(name: &str, uncut: &Case, few: Option<u64>) -> String {
    let mut lines = String::new();
    let lengths = uncut.run().await.written;
    for &index in uncut.way.halves() {
        let writer = WRITERS[index];
        // Writing to a String does not fail.
        let _ = write!(lines, "| {name} | {:?} | {writer:?} | {} |", uncut.way, lengths[index]);
        let step = few.map_or(1, |few| 1 + lengths[index] / few);
        for (name, fault) in CUTS {
            let (mut complete, mut errors) = (0, 0);
            for at in (0..=lengths[index]).step_by(step as usize) {
                let mut case = uncut.clone();
                case.faults[index] = fault.at(at);
                *(if case.is_complete().await { &mut complete } else { &mut errors }) += 1;
            }
            assert!(errors > 0, "nothing was cut: {uncut}, {writer:?}, {name}");
            let _ = write!(lines, " {complete} | {errors} |");
        }
        lines.push('\n');
    }
    lines
}

/// A table, which is written down with `STRAIT_WRITE=1`: `cargo xtask cuts --write`.
fn tell(table: &str, lines: &str, is_whole: bool) {
    let mut text = "| session | way | who writes the half that is cut | bytes |".to_owned();
    text.extend(CUTS.map(|(name, _)| format!(" {name}: complete | an error |")));
    text.push_str("\n|---|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
    text.push_str(lines);
    println!("{text}");
    if is_whole && env::var_os("STRAIT_WRITE").is_some() {
        write_down("ROBUSTNESS.md", table, &format!("`cargo xtask cuts --write`:\n\n{text}"));
    }
}

/// Covers: KEP4006-10
#[tokio::test(start_paused = true)]
async fn a_session_cut_at_every_byte_is_complete_or_an_error() {
    let is_long = long_tests_are_wanted("a session cut at every byte, and not at 25 for each half,");
    let mut lines = String::new();
    for work in [Work::Exec, Work::Forward] {
        for way in Way::ALL {
            let uncut = Case::new(work, way, INPUT.to_vec());
            lines += &cut_everywhere(&format!("{work:?}"), &uncut, (!is_long).then_some(25)).await;
        }
    }
    tell("cuts", &lines, is_long);
}

/// Where silence is success, the command has none: nothing may look like it.
#[tokio::test(start_paused = true)]
async fn a_session_of_an_older_protocol_cut_at_every_byte_is_complete_or_an_error() {
    let is_long = long_tests_are_wanted("older protocols cut at every byte, and not at 5 for each half,");
    let mut lines = String::new();
    for (work, way, spoken, chosen) in OLDER {
        for code in [0, 5] {
            let uncut = Case { protocols: [spoken, chosen], code, ..Case::new(work, way, INPUT.to_vec()) };
            // A code is told apart where it is told at all.
            if code == 0 || (work == Work::Exec && uncut.has_text_status()) {
                let [spoken, chosen] = [spoken, chosen].map(|protocol| format!("{protocol:?}"));
                let name = match work {
                    Work::Channels => format!("{work:?}, {spoken}"),
                    _ => format!("{work:?}, code {code}, {spoken} to {chosen}"),
                };
                lines += &cut_everywhere(&name, &uncut, (!is_long).then_some(5)).await;
            }
        }
    }
    tell("older cuts", &lines, is_long);
}

/// It was sent the end of its output in front of the answer to the opening of the stream, ignored it, and waited.
///
/// Covers: SPDY-2.2.2-2
#[tokio::test(start_paused = true)]
async fn a_spdy_client_that_reads_slowly_gets_the_answers_before_the_output() {
    let stall = Fault::Stall { at: 7, seconds: 200 };
    let cut = Fault::Cut { reset: true, at: 5 };
    let faults = [Fault::None, stall, Fault::None, cut];
    let pace = Pace::Pieces { seed: 315, most: 16 };
    let case = Case { faults, pace, ..Case::new(Work::Exec, Way::TranslatedBack, vec![b'x'; 81]) };
    assert!(!case.is_complete().await);
}

/// It waited for ever: its timer was looked at only while it had not run out.
#[tokio::test(start_paused = true)]
async fn a_client_whose_streams_are_not_accepted_in_time_says_so() {
    let stall = Fault::Stall { at: 0, seconds: 200 };
    let faults = [Fault::None, Fault::None, Fault::None, stall];
    let case = Case { faults, ..Case::new(Work::Exec, Way::SpdyToNode, INPUT.to_vec()) };
    let error = case.run().await.result.expect_err("nothing has come");
    assert_eq!(error, "the server did not accept the streams in time");
}
