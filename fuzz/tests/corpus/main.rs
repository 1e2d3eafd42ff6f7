//! Each fuzz body over its seeds and over mutations of them, and the seeds themselves.

mod mutate;
mod seeds;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use strait::bridge::Outcome;
use strait_fuzz::{Dice, TARGETS, play, play_gateway, play_ports, play_session, play_tunnel};

/// Mutations that each body is run over.
const MUTATIONS: usize = 2000;

type Seeds = BTreeMap<String, Vec<u8>>;

fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The seeds of a target as they lie in the repository, without what cargo-fuzz has added.
fn committed(target: &str) -> Seeds {
    let files = fs::read_dir(directory(target)).unwrap_or_else(|error| panic!("corpus/{target}: {error}"));
    let files = files.map(|file| file.expect("a directory can be read").path());
    let name = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    let seeds = files.filter(|path| name(path).len() != 40);
    seeds.map(|path| (name(&path), fs::read(&path).expect("a seed can be read"))).collect()
}

#[test]
fn seeds_are_up_to_date() {
    for (target, _) in TARGETS {
        let committed = committed(target);
        let made = seeds::of(target);
        assert!(made.len() >= 8, "{target}: a corpus");
        for (name, seed) in made {
            assert!(
                committed.get(&name) == Some(&seed),
                "corpus/{target}/{name} is out of date: cargo test -p strait-fuzz -- --ignored write_seeds"
            );
        }
    }
}

#[test]
#[ignore = "writes the corpus"]
fn write_seeds() {
    for (target, _) in TARGETS {
        fs::create_dir_all(directory(target)).expect("a directory can be made");
        for (name, seed) in seeds::of(target) {
            fs::write(directory(target).join(name), seed).expect("a seed can be written");
        }
    }
}

#[test]
fn each_body_holds_over_its_seeds() {
    for (target, body) in TARGETS {
        for (name, seed) in committed(target) {
            named(target, &name, || body(&seed));
        }
    }
}

/// A test for each body, so that they run at the same time; the last one sees to it that none is left out.
macro_rules! mutations {
    ($($target:ident),* $(,)?) => {
        mod mutations {
            $(#[test]
            fn $target() {
                super::holds_over_mutations(stringify!($target));
            })*
        }

        #[test]
        fn each_body_is_run_over_mutations() {
            assert_eq!([$(stringify!($target)),*], TARGETS.map(|(name, _)| name));
        }
    };
}

mutations!(
    exec_bridge,
    gateway,
    http_differential,
    http_head,
    inflate_differential,
    json_differential,
    k8s_text,
    leg_receiver,
    ports_bridge,
    session_model,
    spdy_receiver,
    tunnel_bridge,
    ws_differential,
    ws_receiver,
    ws_sender,
);

fn holds_over_mutations(target: &str) {
    let (_, body) = TARGETS.into_iter().find(|(name, _)| *name == target).expect("a target of this name");
    let seeds: Vec<_> = committed(target).into_values().collect();
    let mut dice = Dice::new(1);
    for number in 0..MUTATIONS {
        let input = mutate::mutated(&seeds, &mut dice);
        named(target, &format!("mutation {number}: {}", input.escape_ascii()), || body(&input));
    }
}

/// Says on which input a body panicked.
fn named(target: &str, name: &str, body: impl FnOnce() + std::panic::UnwindSafe) {
    if let Err(panic) = std::panic::catch_unwind(body) {
        eprintln!("{target}, {name}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn sessions_come_as_far_as_their_seeds_say() {
    let report = |name: &str| play(&seeds::of("exec_bridge")[name]).expect("a session");
    let completed = report("completed");
    assert_eq!(completed.outcome, Some(Outcome::Completed));
    assert_eq!((completed.input, completed.output), (3005, 70_006));
    assert!(completed.status.is_some_and(|status| status.ends_with(b"\"Success\"}")));

    assert_eq!(report("exit_5").outcome, Some(Outcome::Completed));
    assert_eq!(report("refused").outcome, Some(Outcome::Refused));
    assert_eq!(report("streams_not_accepted").outcome, Some(Outcome::StreamCreationTimeout));
    assert_eq!(report("client_closes").outcome, Some(Outcome::ClientClosed));
    assert_eq!(report("client_lost").outcome, Some(Outcome::ClientLost));
    assert_eq!(report("upstream_ends_without_status").outcome, Some(Outcome::UpstreamLost));
    assert!(matches!(report("client_breaks_protocol").outcome, Some(Outcome::ClientError(_))));
    assert!(matches!(report("upstream_breaks_protocol").outcome, Some(Outcome::UpstreamError(_))));
    assert_eq!(report("shutdown").outcome, Some(Outcome::Shutdown));
    let running = report("interleaved_small");
    assert_eq!((running.outcome, running.input, running.output), (None, 645, 646));
}

#[test]
fn tunnels_come_as_far_as_their_seeds_say() {
    let report = |name: &str| play_tunnel(&seeds::of("tunnel_bridge")[name]).expect("a session");
    assert_eq!(report("client_closes"), (Some(Outcome::Completed), 3305, 70_006));
    assert_eq!(report("raw_client"), (None, 3305, 70_006));
    assert_eq!(report("half_close"), (Some(Outcome::Completed), 300, 900));
    assert_eq!(report("refused"), (Some(Outcome::Refused), 0, 0));
    assert_eq!(report("upstream_closes_with_an_error").0, Some(Outcome::UpstreamLost));
    assert_eq!(report("client_lost").0, Some(Outcome::ClientLost));
    assert!(matches!(report("client_breaks_protocol").0, Some(Outcome::ClientError(_))));
}

#[test]
fn port_forwards_come_as_far_as_their_seeds_say() {
    let report = |name: &str| play_ports(&seeds::of("ports_bridge")[name]).expect("a session");
    assert_eq!(report("both_ways"), (None, 5405, 70_006));
    assert_eq!(report("base64"), (None, 5405, 70_006));
    assert_eq!(report("all_reset"), (Some(Outcome::Completed), 3, 4));
    assert_eq!(report("refused"), (Some(Outcome::Refused), 0, 0));
    assert_eq!(report("goaway").0, Some(Outcome::UpstreamLost));
    assert_eq!(report("client_closes").0, Some(Outcome::Completed));
    assert!(matches!(report("client_breaks_protocol").0, Some(Outcome::ClientError(_))));
    assert!(matches!(report("upstream_breaks_protocol").0, Some(Outcome::UpstreamError(_))));
}

#[test]
fn sessions_between_our_own_ends_come_as_far_as_their_seeds_say() {
    let seeds = seeds::of("session_model");
    let report = |name: &str| play_session(&seeds[name]).expect("a session");
    for (name, seed) in seeds.iter().filter(|(name, _)| name.starts_with("pair.")) {
        let (outcome, status) = play_session(seed).expect("a session");
        assert_eq!(outcome, Some(Outcome::Completed), "{name}");
        assert!(status.is_empty() || String::from_utf8_lossy(&status).contains("code"), "{name}: {status:?}");
    }
    assert_eq!(report("client_closes").0, Some(Outcome::ClientClosed));
    assert_eq!(report("upstream_is_lost").0, Some(Outcome::UpstreamLost));
    assert_eq!(report("client_is_lost").0, Some(Outcome::ClientLost));
    let (outcome, status) = report("text_status");
    assert_eq!(outcome, Some(Outcome::Completed));
    assert!(status.ends_with(br#""message":"Internal error occurred: error executing remote command: exit status 1","reason":"InternalError","code":500}"#));
    assert_eq!(report("heartbeats").0, None);
}

#[test]
fn connections_through_the_gateway_come_as_far_as_their_seeds_say() {
    use strait_embassy::{Ended, PassEnd};
    let report = |name: &str| play_gateway(&seeds::of("gateway")[name]);
    let outcome = |name: &str| match report(name) {
        Ended::Session(summary) => summary.outcome,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(outcome("exec"), Outcome::Completed);
    assert_eq!(outcome("exec_cut"), Outcome::UpstreamLost);
    assert_eq!(outcome("exec_refused"), Outcome::Refused);
    assert_eq!(outcome("exec_unreachable"), Outcome::Refused);
    assert_eq!(outcome("exec_shut_down"), Outcome::Shutdown);
    assert!(matches!(outcome("both_end_in_one_round"), Outcome::ClientError(_)));
    assert!(matches!(report("passed_on"), Ended::PassedOn(passed) if passed.end == PassEnd::Complete));
    assert_eq!((report("plain"), report("body")), (Ended::Plain(true), Ended::Plain(true)));
    assert_eq!(report("forward_refused_at_length"), Ended::Refused(500));
    assert_eq!((report("chunked"), report("no_http")), (Ended::Refused(411), Ended::Refused(400)));
}

/// An act of a session with its arguments: what often occurs is often chosen.
fn act() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![4 => 0..300_u16, 1 => 0..4000_u16];
    prop_oneof![
        4 => (prop::sample::select(vec![0x00_u8, 0x40, 0x05, 0x15, 0x45, 0x55]), number.clone())
            .prop_map(|(act, number)| [&[act][..], &number.to_le_bytes()].concat()),
        1 => any::<[u8; 4]>().prop_map(|size| [&[2][..], &size].concat()),
        1 => prop::sample::select(vec![0x01_u8, 0x03, 0x83, 0x0e, 0x07, 0x27, 0x57, 0x06, 0x16]).prop_map(|act| vec![act]),
        4 => (prop::sample::select(vec![0x1d_u8, 0x9d, 0x2d, 0xad]), number)
            .prop_map(|(act, number)| [&[act][..], &number.to_le_bytes()].concat()),
        3 => prop::sample::select(vec![0x0d_u8, 0x8d, 0x3d]).prop_map(|act| vec![act]),
    ]
}

/// What may end a session, and nothing.
fn last_act() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![0x0c_u8, 0x04, 0x08, 0x1e, 0x9e, 0x26, 0x4e])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn engine_and_model_agree_on_any_session_of_any_two(
        client in 0..10_u8,
        upstream in 0..9_u8,
        streams in 1..16_u8,
        memory in 0..4_u8,
        acts in prop::collection::vec(act(), 0..40),
        last in last_act(),
    ) {
        let start = [client, upstream, streams, memory, 0x0e, 0x3d];
        play_session(&[&start, acts.concat().as_slice(), &[last, 0x3d]].concat());
    }
}
