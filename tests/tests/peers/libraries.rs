use std::path::PathBuf;

use crate::install;
use crate::scenario::{
    ATTACH, COPY, DATE, Difference, FORWARD_CHANNELS, MISSING, REFUSED, SHORT_TAIL, STDIN, STREAMS, Scenario,
    TAIL, TERMINAL,
};
use crate::table::{Suite, Table};
use crate::way::{Client, Node, Proxy, Way};

/// Python's `kubernetes`.
pub(crate) const PYTHON: Suite = Suite {
    name: "python",
    tables: |full| {
        let (python, version) = install::python_kubernetes()?;
        let client = Client::new(python).with(install::source("python/client.py"));
        let name = format!("Python kubernetes {version}");
        if full {
            return Ok(table(&name, &client, SCENARIOS, IN_PYTHON));
        }
        let mut tables = table(&name, &client, SHORT, IN_PYTHON);
        tables[0].notes.push(WHY_SHORT.into());
        Ok(tables)
    },
    required: true,
    sliced: false,
};

/// npm's `@kubernetes/client-node`.
pub(crate) const NODE: Suite = Suite {
    name: "node",
    tables: |_| {
        let (script, version) = install::node()?;
        let name = format!("@kubernetes/client-node {version}");
        Ok(table(&name, &Client::new("node").with(script), SCENARIOS, IN_NODE))
    },
    required: true,
    sliced: false,
};

/// kube-rs.
pub(crate) const RUST: Suite = Suite {
    name: "rust",
    tables: |_| {
        let (program, version): (PathBuf, _) = install::kube_rs()?;
        Ok(table(&format!("kube-rs {version}"), &Client::new(program), SCENARIOS, IN_RUST))
    },
    required: true,
    sliced: false,
};

const SCENARIOS: &[Scenario] =
    &[DATE, STREAMS, STDIN, TAIL, MISSING, TERMINAL, ATTACH, COPY, FORWARD_CHANNELS, REFUSED];

const SHORT: &[Scenario] =
    &[DATE, STREAMS, STDIN, SHORT_TAIL, MISSING, TERMINAL, ATTACH, COPY, FORWARD_CHANNELS, REFUSED];

const WHY_SHORT: &str = "4 MiB and not 32: `WSClient.update` joins what has come with `+=` for as long as there is more, \
    so its time grows with the square of what it gets. With `--full` it has to take 32 MiB, too.";

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
const IN_NODE: &[Difference] = &[Difference {
    expects: |seen| seen.stdout == "true false" && seen.stderr.contains("Invalid tar header"),
    absent: false,
    why: "to the pod; back is broken in the library: `cpFromPod` asks tar for gzip, and unpacks with tar-fs, which reads none.",
    ..NO_COPY
}];
const IN_RUST: &[Difference] = &[NO_COPY];
