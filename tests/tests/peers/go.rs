use strait_tests::strait;

use crate::install::GoPeers;
use crate::scenario::{
    ATTACH, COPY, COUNTED_STDIN, DATE, Difference, FORWARD, MISSING, REFUSED, STDIN, STREAMS, Scenario, TAIL,
    TERMINAL,
};
use crate::table::{Suite, Table};
use crate::way::{Client, Node, Proxy, Way};

/// Upstream's own code as client, as proxy and as node, and Strait in place of each of them.
pub(crate) const SUITE: Suite = Suite { name: "go", tables, required: true, sliced: false };

const SCENARIOS: &[Scenario] =
    &[DATE, STREAMS, STDIN, TAIL, MISSING, TERMINAL, ATTACH, COPY, FORWARD, REFUSED];

/// Those that need no half-close and no tunnel: WebSocket v4 has neither.
const WITH_V4: &[Scenario] = &[DATE, STREAMS, COUNTED_STDIN, TAIL, MISSING, TERMINAL, ATTACH, COPY];

const DIFFERENCES: &[Difference] = &[Difference {
    note: "a",
    scenario: COPY.name,
    ways: |way| !way.name.starts_with("Strait"),
    expects: |_| true,
    absent: true,
    why: "client-go has none.",
}];

const KUBELET: &[&str] = &["--upstream-kind", "kubelet"];
const KUBELET_WITH_V4: &[&str] = &["--upstream-kind", "kubelet", "--upstream-protocol", "websocket"];

fn tables(_full: bool) -> Result<Vec<Table>, String> {
    let new = GoPeers::build("go")?;
    let old = GoPeers::build("go-old")?;
    let transport = |name: &str| Client::new(new.program("client")).with(format!("--transport={name}"));
    let go = |name: &str| (format!("Go {} {name}", new.version), transport(&name.to_lowercase()));
    let strait = Client::new(strait());
    let strait_spdy = strait.clone().with_variable("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false");
    let strait_spdy = strait_spdy.with_variable("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
    let strait_spdy = ("Strait SPDY".to_owned(), strait_spdy);
    let clients =
        [go("WebSocket"), go("SPDY"), ("Strait WebSocket".into(), strait.clone()), strait_spdy.clone()];
    let mut ways: Vec<_> = clients.iter().flat_map(|client| all_ways(client, &new)).collect();
    // Both try WebSocket first, in front of a proxy that has never heard of it.
    for (name, client) in [go("fallback"), ("Strait fallback".into(), strait)] {
        let name = format!("{name} → Go {} → Go {}", old.version, new.version);
        ways.push(Way { name, client, proxy: Proxy::Go(old.clone()), node: Node::Go(new.clone()) });
    }
    ways.extend(all_ways(&(format!("Go {} SPDY", old.version), Client::new(old.program("client"))), &old));
    // Less the one without anything old.
    ways.extend(all_ways(&strait_spdy, &old).into_iter().take(3));
    let with_v4 = clients.map(|(name, client)| Way {
        name: format!("{name} → Strait, WebSocket → Go {}", new.version),
        client,
        proxy: Proxy::Strait(KUBELET_WITH_V4),
        node: Node::Go(new.clone()),
    });
    Ok(vec![
        table("Client → proxy → node.", SCENARIOS, ways),
        table(
            "Over WebSocket to upstream's streaming server, which speaks v4 and no tunnel: there is no end of the input.",
            WITH_V4,
            with_v4.into(),
        ),
    ])
}

fn table(about: &str, scenarios: &'static [Scenario], ways: Vec<Way>) -> Table {
    Table {
        about: about.into(),
        columns: scenarios.iter().map(|scenario| scenario.name.into()).collect(),
        rows: ways.into_iter().map(|way| way.row(scenarios, DIFFERENCES)).collect(),
        notes: Difference::notes(DIFFERENCES),
    }
}

/// {Go, Strait} proxy x {Go, Strait} node.
fn all_ways((name, client): &(String, Client), peers: &GoPeers) -> Vec<Way> {
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
