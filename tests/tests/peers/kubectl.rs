use std::process::Command;

use strait_tests::kubectl_1_20;

use crate::install::{self, step};
use crate::scenario::{
    ATTACH, COPY, DATE, Difference, FORWARD, MISSING, REFUSED, STDIN, STREAMS, Scenario, TAIL, TERMINAL,
};
use crate::table::{Row, Suite, Table};
use crate::way::{Client, Node, Proxy, Way};

/// kubectl of every minor version that a registry has, with WebSocket on and off.
pub(crate) const SUITE: Suite = Suite { name: "kubectl", tables, required: true };

const SCENARIOS: &[Scenario] =
    &[DATE, STREAMS, STDIN, TAIL, MISSING, TERMINAL, ATTACH, COPY, FORWARD, REFUSED];

/// What CI has time for: SPDY only, the steps to WebSocket, and the newest.
const SLICE: [&str; 5] = ["1.20", "1.29", "1.30", "1.31", "newest"];

const SWITCHES: [&str; 2] = ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"];

#[expect(
    clippy::unnecessary_wraps,
    reason = "as all suites have it; here a peer that is missing is missing in its rows"
)]
fn tables(full: bool) -> Result<Vec<Table>, String> {
    let versions = install::kubectl_versions();
    let wanted = versions.into_iter().filter(|version| full || SLICE.contains(&&**version));
    let mut found: Vec<_> = wanted.map(|version| (install::kubectl(&version), version)).collect();
    found.push((Ok("kubectl".into()), "of this machine".into()));
    if full {
        found.push((kubectl_1_20().map(Into::into).map_err(Into::into), "of Debian".into()));
    }
    let rows = found.into_iter().flat_map(|(program, version)| {
        let client = program.and_then(|program| {
            let told = step(Command::new(&program).args(["version", "--client", "--output=json"]))?;
            let told: serde_json::Value = serde_json::from_str(&told).map_err(|error| error.to_string())?;
            let exact =
                told["clientVersion"]["gitVersion"].as_str().unwrap_or("without a version").to_owned();
            Ok((Client::new(program), exact))
        });
        ["false", "true"].map(|switch| match &client {
            Ok((client, exact)) => Way {
                name: format!(
                    "{version} ({exact}), WebSocket {}",
                    if switch == "true" { "on" } else { "off" }
                ),
                client: SWITCHES
                    .iter()
                    .fold(client.clone(), |client, name| client.with_variable(name, switch)),
                proxy: Proxy::Strait(&[]),
                node: Node::Strait(&[]),
            }
            .row(SCENARIOS, DIFFERENCES),
            Err(why) => Row::not_run(version.clone(), why),
        })
    });
    Ok(vec![Table {
        about: "kubectl → Strait → Strait.".into(),
        columns: SCENARIOS.iter().map(|scenario| scenario.name.into()).collect(),
        rows: rows.collect(),
        notes: Difference::notes(DIFFERENCES),
    }])
}

const DIFFERENCES: &[Difference] = &[];
