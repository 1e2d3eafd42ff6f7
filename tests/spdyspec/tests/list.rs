//! The list of cases is in order, and is the one in the document.

use std::collections::BTreeSet;
use std::{env, fs};

use spdyspec::{PROFILES, Verdict};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONFORMANCE.md");
const BEGIN: &str = "<!-- cases -->\n";
const END: &str = "<!-- end of cases -->\n";

#[test]
fn the_document_lists_all_cases() {
    let text = fs::read_to_string(DOCUMENT).expect("docs/CONFORMANCE.md");
    let (above, rest) = text.split_once(BEGIN).expect("the mark in front of the cases");
    let (listed, below) = rest.split_once(END).expect("the mark behind the cases");
    let list = spdyspec::list();
    if env::var_os("STRAIT_RECORD").is_some() {
        fs::write(DOCUMENT, format!("{above}{BEGIN}{list}{END}{below}")).expect("it can be written");
        return;
    }
    assert!(listed == list, "docs/CONFORMANCE.md is old: STRAIT_RECORD=1 cargo test -p spdyspec writes it");
}

#[test]
fn numbers_are_consecutive_within_each_section() {
    let mut before = (0, 0);
    for case in spdyspec::cases() {
        let (section, number) = case.number.split_once('.').expect("SECTION.NUMBER");
        let number: (u32, u32) = (section.parse().expect("a number"), number.parse().expect("a number"));
        let next = [(before.0, before.1 + 1), (before.0 + 1, 1)];
        assert!(next.contains(&number), "{number:?} behind {before:?}");
        before = number;
    }
}

#[test]
fn every_case_cites_its_source_and_knows_what_conforms() {
    for case in spdyspec::cases() {
        assert!(!case.source.is_empty() && !case.conforms.is_empty(), "{}", case.number);
        let cites =
            ["RFC ", "draft", ".md section", "CVE-"].iter().any(|source| case.source.contains(source));
        assert!(cites, "{}: {}", case.number, case.source);
    }
}

#[test]
fn a_profile_names_cases_that_exist_once_and_behaviours_that_do_not_conform() {
    for profile in PROFILES {
        let mut seen = BTreeSet::new();
        for deviation in profile.deviations {
            let case = spdyspec::cases().find(|case| case.number == deviation.case);
            let case = case.unwrap_or_else(|| panic!("{}: no case {}", profile.name, deviation.case));
            assert!(seen.insert(case.number), "{}: {} twice", profile.name, case.number);
            let conforms = |behaviour: &&&str| case.conforms.contains(*behaviour);
            assert_eq!(deviation.seen.iter().find(conforms), None, "{}: {}", profile.name, case.number);
        }
    }
}

#[test]
fn a_server_that_is_not_there_conforms_in_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    outcomes_of(&address, &[Verdict::Unexpected, Verdict::NotRun]);
}

#[test]
fn a_server_that_says_nothing_conforms_in_nothing_and_hangs_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for connection in listener.incoming() {
            silent.push(connection);
        }
    });
    outcomes_of(&address, &[Verdict::Unexpected]);
}

#[test]
fn a_server_that_closes_at_once_conforms_in_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    outcomes_of(&address, &[Verdict::Unexpected]);
}

/// Runs all cases for servers there: each is to have one of these verdicts.
fn outcomes_of(address: &str, verdicts: &[Verdict]) {
    let target = spdyspec::Target {
        address: address.into(),
        exec: "/exec".into(),
        forward: "/portforward".into(),
        dialect: spdyspec::Dialect::Api,
        fields: Vec::new(),
        http_headers: false,
        limit: std::time::Duration::from_millis(300),
    };
    let cases: Vec<_> = spdyspec::cases().filter(|case| !case.kind.is_client()).collect();
    let programs = spdyspec::Programs::default();
    let profile = spdyspec::Profile::named("none").expect("a profile");
    for outcome in spdyspec::run(&cases, Some(&target), &programs, profile, |_| {}) {
        assert!(verdicts.contains(&outcome.verdict), "{}: {}", outcome.case.number, outcome.seen);
    }
}
