//! Each fuzz body over its seeds and over mutations of them, and the seeds themselves.

mod mutate;
mod seeds;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use strait::bridge::Outcome;
use strait_fuzz::{Dice, TARGETS, play, play_ports, play_tunnel};

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
    http_differential,
    http_head,
    inflate_differential,
    json_differential,
    k8s_text,
    leg_receiver,
    ports_bridge,
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
