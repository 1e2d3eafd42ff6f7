use strait_tests::strait;

use crate::install::GoPeers;
use crate::scenario::{
    ATTACH, DATE, Difference, FORWARD, MISSING, REFUSED, STDIN, STREAMS, Scenario, TAIL, TERMINAL,
};
use crate::table::{Suite, Table};
use crate::way::{Client, Node, Proxy, Way};

/// Upstream's own code as client, as proxy and as node, and Strait in place of each of them.
pub(crate) const SUITE: Suite = Suite { name: "go", tables, required: true };

const SCENARIOS: &[Scenario] = &[DATE, STREAMS, STDIN, TAIL, MISSING, TERMINAL, ATTACH, FORWARD, REFUSED];

const KUBELET: &[&str] = &["--upstream-kind", "kubelet"];

fn tables(_full: bool) -> Result<Vec<Table>, String> {
    let new = GoPeers::build("go")?;
    let old = GoPeers::build("go-old")?;
    let transport = |name: &str| Client::new(new.program("client")).with(format!("--transport={name}"));
    let clients = [
        (format!("Go {} WebSocket", new.version), transport("websocket")),
        (format!("Go {} SPDY", new.version), transport("spdy")),
    ];
    let strait = Client::new(strait());
    let clients = clients.into_iter().chain([
        ("Strait WebSocket".into(), strait.clone()),
        ("Strait SPDY".into(), strait.with_variable("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")),
    ]);
    let mut ways = Vec::new();
    for (name, client) in clients {
        ways.extend(all_ways(&name, &client, &new));
    }
    let falling = Way {
        name: format!("Go {} fallback → Go {} → Go {}", new.version, old.version, new.version),
        client: transport("fallback"),
        proxy: Proxy::Go(old.clone()),
        node: Node::Go(new.clone()),
    };
    ways.push(falling);
    ways.extend(all_ways(&format!("Go {} SPDY", old.version), &Client::new(old.program("client")), &old));
    let columns = SCENARIOS.iter().map(|scenario| scenario.name.into()).collect();
    Ok(vec![Table {
        about: "Client → proxy → node.".into(),
        columns,
        rows: ways.into_iter().map(|way| way.row(SCENARIOS, DIFFERENCES)).collect(),
        notes: Difference::notes(DIFFERENCES),
    }])
}

/// {Go, Strait} proxy x {Go, Strait} node.
fn all_ways(name: &str, client: &Client, peers: &GoPeers) -> Vec<Way> {
    let go = format!("Go {}", peers.version);
    let mut ways = Vec::new();
    for strait_proxy in [false, true] {
        for strait_node in [false, true] {
            let proxy = match (strait_proxy, strait_node) {
                (false, _) => Proxy::Go(peers.clone()),
                (true, false) => Proxy::Strait(KUBELET),
                (true, true) => Proxy::Strait(&[]),
            };
            let node = if strait_node { Node::Strait(&[]) } else { Node::Go(peers.clone()) };
            let named = |strait| if strait { "Strait" } else { &*go };
            ways.push(Way {
                name: format!("{name} → {} → {}", named(strait_proxy), named(strait_node)),
                client: client.clone(),
                proxy,
                node,
            });
        }
    }
    ways
}

const DIFFERENCES: &[Difference] = &[];
