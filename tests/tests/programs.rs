//! The programs as an init system sees them: ready lines, signals, exit codes.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use strait_tests::{Finished, Running, Server, Shores, exec_prints, strait};

#[test]
fn interrupt_and_terminate_end_a_node_orderly() {
    for signal in [Signal::INT, Signal::TERM] {
        let finished = Server::node().end_by(signal);
        assert_eq!(finished.status.code(), Some(0), "{signal:?}: {finished:?}");
    }
}

#[test]
fn interrupt_and_terminate_end_a_gateway_orderly() {
    for signal in [Signal::INT, Signal::TERM] {
        let Shores { gateway, node } = Shores::start(&[]);
        exec_prints(gateway.address(), "hello");
        let finished = gateway.end_by(signal);
        assert_eq!(finished.status.code(), Some(0), "{signal:?}: {finished:?}");
        drop(node);
    }
}

#[test]
fn a_node_has_the_name_it_is_given() {
    let node = Server::spawn(&["node", "--listen", "127.0.0.1:0", "--pod", "other"]);
    let gateway = Server::gateway(node.url(), &[]);
    for server in [&node, &gateway] {
        let reply = strait_tests::exchange(
            server.address(),
            b"GET /api/v1/namespaces/default/pods/other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        let reply = reply.text();
        assert!(reply.starts_with("HTTP/1.1 200 ") && reply.contains("\"other\""), "{reply}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for arguments in
        [&["nosuch"][..], &["gateway"], &["gateway", "--upstream", "nonsense"], &["node", "--listen", "x"]]
    {
        let finished = run(arguments);
        assert!(finished.status.code().is_some_and(|code| code != 0), "{arguments:?}: {finished:?}");
        assert!(!finished.stderr.is_empty(), "{arguments:?}");
        assert!(!finished.stderr.contains("panicked at"), "{finished:?}");
    }
}

#[test]
fn an_unknown_feature_gate_is_refused_with_those_that_there_are() {
    let gates = |list| run(&["gateway", "--upstream", "http://127.0.0.1:1", "--feature-gates", list]);
    for list in ["NodeSwap=true", "PortForwardWebsockets", "PortForwardWebsockets=maybe"] {
        let finished = gates(list);
        assert!(finished.status.code().is_some_and(|code| code != 0), "{list}: {finished:?}");
        assert!(finished.stderr.contains(list.split('=').next().unwrap_or(list)), "{finished:?}");
    }
    let told = gates("NodeSwap=true").stderr;
    for known in strait::gateway::FeatureGates::NAMES {
        assert!(told.contains(known), "{told}");
    }
}

#[test]
fn the_help_names_every_feature_gate() {
    let finished = run(&["gateway", "--help"]);
    for known in strait::gateway::FeatureGates::NAMES {
        assert!(finished.text().contains(known), "{}", finished.text());
    }
}

fn run(arguments: &[&str]) -> Finished {
    let mut command = Command::new(strait());
    Running::start(command.args(arguments).stdin(Stdio::null()), Duration::from_secs(30)).finish()
}
