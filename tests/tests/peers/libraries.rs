use std::path::PathBuf;

use crate::install;
use crate::scenario::{
    ATTACH, COPY, DATE, Difference, FORWARD_CHANNELS, MISSING, REFUSED, STDIN, STREAMS, Scenario, TAIL,
    TERMINAL,
};
use crate::table::{Suite, Table};
use crate::way::{Client, Node, Proxy, Way};

/// Python's `kubernetes`.
pub(crate) const PYTHON: Suite = Suite {
    name: "python",
    tables: |_| {
        let (python, version) = install::python_kubernetes()?;
        let client = Client::new(python).with(install::source("python/client.py"));
        Ok(table(&format!("Python kubernetes {version}"), &client, SCENARIOS, IN_PYTHON))
    },
};

/// npm's `@kubernetes/client-node`.
pub(crate) const NODE: Suite = Suite {
    name: "node",
    tables: |_| {
        let (script, version) = install::node()?;
        let name = format!("@kubernetes/client-node {version}");
        Ok(table(&name, &Client::new("node").with(script), SCENARIOS, IN_NODE))
    },
};

/// kube-rs.
pub(crate) const RUST: Suite = Suite {
    name: "rust",
    tables: |_| {
        let (program, version): (PathBuf, _) = install::kube_rs()?;
        Ok(table(&format!("kube-rs {version}"), &Client::new(program), SCENARIOS, IN_RUST))
    },
};

const SCENARIOS: &[Scenario] =
    &[DATE, STREAMS, STDIN, TAIL, MISSING, TERMINAL, ATTACH, COPY, FORWARD_CHANNELS, REFUSED];

/// The client at a gateway in front of a node, and at the node itself, which both speak WebSocket; and at both without v5.
fn table(
    name: &str,
    client: &Client,
    scenarios: &'static [Scenario],
    differences: &'static [Difference],
) -> Vec<Table> {
    let translated = Proxy::Strait(&[]);
    let passed_on = Proxy::Strait(&["--upstream-protocol", "websocket"]);
    let ways = [
        ("Strait, translated to SPDY → Strait", translated, Node::Strait(&[])),
        ("Strait, passed on → Strait", passed_on, Node::Strait(&[])),
        ("Strait", Proxy::None, Node::Strait(&[])),
    ];
    let rows = ways.map(|(way, proxy, node)| {
        let name = format!("{name} → {way}");
        Way { name, client: client.clone(), proxy, node }.row(scenarios, differences)
    });
    vec![Table {
        about: format!("{name}."),
        columns: scenarios.iter().map(|scenario| scenario.name.into()).collect(),
        rows: rows.into(),
        notes: Difference::notes(differences),
    }]
}

const NO_COPY: Difference = Difference {
    note: "a",
    scenario: COPY.name,
    ways: |_| true,
    expects: |_| true,
    absent: true,
    why: "the library has none.",
};

const IN_PYTHON: &[Difference] = &[NO_COPY];
const IN_NODE: &[Difference] =
    &[Difference { why: "the library's copies directories, and does not tell when it is done.", ..NO_COPY }];
const IN_RUST: &[Difference] = &[NO_COPY];
