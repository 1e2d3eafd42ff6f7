//! Each case once, verified: what the benchmarks carry is right.

use strait::bridge::Side;
use strait_bench::{AVX2, MASKING, Traffic, cases, has_avx2};
use strait_scenarios::{SCENARIOS, Scenario};

#[test]
fn each_case_runs_again_and_again() {
    for case in cases() {
        let mut run = case.prepare();
        for _ in 0..3 {
            run();
        }
    }
}

#[test]
fn names_are_unique() {
    let cases = cases();
    for (index, case) in cases.iter().enumerate() {
        assert!(cases[..index].iter().all(|other| other.name != case.name), "{}", case.name);
    }
}

#[test]
fn what_masks_is_there_with_avx2_too() {
    if !has_avx2() {
        eprintln!("SKIPPED: this CPU has no AVX2");
        return;
    }
    let names: Vec<_> = cases().into_iter().map(|case| case.name).collect();
    let last: Vec<_> = names.iter().filter_map(|name| name.strip_prefix(AVX2)).collect();
    assert_eq!(last.len(), MASKING.len());
    assert!(names[names.len() - last.len()..].iter().all(|name| name.starts_with(AVX2)), "behind all others");
}

#[test]
fn every_scenario_of_one_session_is_a_case() {
    let cases = cases();
    let names: Vec<_> = cases.iter().filter_map(|case| case.name.strip_prefix("bridge/")).collect();
    for scenario in SCENARIOS {
        // Those are about sessions, or about time.
        let is_for_rigs =
            ["idle/", "lost/", "session/", "stalls/"].iter().any(|kind| scenario.name.starts_with(kind));
        assert_eq!(names.contains(&scenario.name), !is_for_rigs, "{}", scenario.name);
    }
}

#[test]
#[should_panic(expected = "bytes and checksum of the payload")]
fn a_changed_byte_is_noticed() {
    let (traffic, mut output) = translated("stdin/log_line");
    let last = output.len() - 1;
    output[last] ^= 1;
    traffic.verify_output(&output);
}

#[test]
#[should_panic(expected = "bytes and checksum of the payload")]
fn a_missing_frame_is_noticed() {
    let (traffic, output) = translated("stdin/4KiB");
    traffic.verify_output(&output[8 + 4096..]);
}

#[test]
fn a_right_output_is_accepted() {
    let (traffic, output) = translated("stdin/4KiB");
    traffic.verify_output(&output);
}

/// Masked frames of stdin, and the DATA frames that they have to become.
fn translated(name: &str) -> (Traffic, Vec<u8>) {
    let scenario = Scenario::find(name).expect("it is in the list");
    let reversed = Scenario { client: scenario.upstream, upstream: scenario.client, ..*scenario };
    (Traffic::new(scenario, Side::Client), Traffic::new(&reversed, Side::Client).wire)
}
