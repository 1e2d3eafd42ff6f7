//! The node and the client against the suite of `tests/spdyspec`, which does not use the engine.

use std::time::Duration;

use spdyspec::{Dialect, Outcome, Profile, Programs, Target, Verdict};
use strait_tests::{EXEC_PATH, PORT_FORWARD_PATH, Server, strait};

/// What an answer may take: most come at once, and none has to take this long.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn the_node_conforms() {
    let node = Server::node();
    let target = Target {
        address: node.address().to_string(),
        exec: EXEC_PATH.into(),
        forward: PORT_FORWARD_PATH.into(),
        dialect: Dialect::Api,
        fields: Vec::new(),
        http_headers: false,
        limit: LIMIT,
    };
    conforms(Some(&target), &Programs::default(), "strait");
}

#[test]
fn the_client_conforms() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let configuration = home.path().join("kubeconfig");
    std::fs::write(&configuration, "").expect("an empty file");
    let client = |websockets: &str| {
        let (configuration, strait) = (configuration.display(), strait().display());
        Some(format!(
            "KUBECONFIG={configuration} KUBECTL_REMOTE_COMMAND_WEBSOCKETS={websockets} \
             {strait} exec --server={{server}} -i demo -- cat"
        ))
    };
    let programs = Programs { spdy: client("false"), websocket: client("true"), listen: None, limit: LIMIT };
    conforms(None, &programs, "strait-client");
}

#[track_caller]
fn conforms(target: Option<&Target>, programs: &Programs, profile: &str) {
    let profile = Profile::named(profile).expect("a profile");
    let cases: Vec<_> = spdyspec::cases().filter(|case| case.kind.is_client() == target.is_none()).collect();
    let outcomes = spdyspec::run(&cases, target, programs, profile, |_: &Outcome| {});
    let is_wrong = |outcome: &&Outcome| matches!(outcome.verdict, Verdict::Unexpected | Verdict::NotRun);
    let wrong: Vec<_> = outcomes
        .iter()
        .filter(is_wrong)
        .map(|Outcome { case, seen, .. }| format!("{} {}: {seen}", case.number, case.title))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
