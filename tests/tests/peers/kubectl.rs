use std::env;
use std::process::Command;

use strait_tests::kubectl_1_20;

use crate::install::{self, step};
use crate::scenario::{
    ATTACH, COPY, DATE, FORWARD, MISSING, REFUSED, STDIN, STREAMS, Scenario, TAIL, TERMINAL,
};
use crate::table::{Row, Suite, Table};
use crate::way::{Client, Node, Proxy, Way};

/// kubectl of every minor version that a registry has, with WebSocket on and off.
pub(crate) const SUITE: Suite = Suite { name: "kubectl", tables, required: true, sliced: true };

const SCENARIOS: &[Scenario] =
    &[DATE, STREAMS, STDIN, TAIL, MISSING, TERMINAL, ATTACH, COPY, FORWARD, REFUSED];

/// What CI has time for: SPDY only, the steps to WebSocket, and the newest.
const SLICE: [&str; 5] = ["1.20", "1.29", "1.30", "1.31", "newest"];

const SWITCHES: [&str; 2] = ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"];

struct Variant {
    name: &'static str,
    websocket: bool,
    proxy: Proxy,
    in_slice: bool,
}

const WAYS: [Variant; 4] = [
    Variant { name: "WebSocket off, gateway", websocket: false, proxy: Proxy::Strait(&[]), in_slice: true },
    Variant { name: "WebSocket on, gateway", websocket: true, proxy: Proxy::Strait(&[]), in_slice: true },
    Variant { name: "WebSocket off, node", websocket: false, proxy: Proxy::None, in_slice: false },
    Variant { name: "WebSocket on, node", websocket: true, proxy: Proxy::None, in_slice: true },
];

#[expect(
    clippy::unnecessary_wraps,
    reason = "as all suites have it; here a peer that is missing is missing in its rows"
)]
fn tables(full: bool) -> Result<Vec<Table>, String> {
    let versions = install::kubectl_versions();
    let wanted = versions.into_iter().filter(|version| full || SLICE.contains(&&**version));
    let mut found: Vec<_> = wanted.map(|version| (install::kubectl(&version), version)).collect();
    let own = env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    found.push((Ok(own.into()), "of this machine".into()));
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
        let ways = WAYS.iter().filter(|way| full || way.in_slice);
        ways.map(|way| match &client {
            Ok((client, exact)) => {
                let name = format!("{version} ({exact}), {}", way.name);
                let client = SWITCHES.iter().fold(client.clone(), |client, name| {
                    client.with_variable(name, if way.websocket { "true" } else { "false" })
                });
                let way = Way { name, client, proxy: way.proxy.clone(), node: Node::Strait(&[]) };
                way.row(SCENARIOS, &[])
            }
            Err(why) => Row::not_run(format!("{version}, {}", way.name), why),
        })
        .collect::<Vec<_>>()
    });
    Ok(vec![Table {
        about: "kubectl in front of `strait gateway` and `strait node`, or of the node alone.".into(),
        columns: SCENARIOS.iter().map(|scenario| scenario.name.into()).collect(),
        rows: rows.collect(),
        notes: vec![
            "The variables are known from 1.29 on (exec, attach, cp) and from 1.30 on (port-forward): before, all is SPDY.".into(),
        ],
    }])
}
