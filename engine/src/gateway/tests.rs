use super::*;
use crate::http::{Response, WriteError};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SPDY: &str = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
const EXEC: &str = "/api/v1/namespaces/n/pods/p/exec?command=date&container=c&stdout=true";
const PORTS: &str = "/api/v1/namespaces/n/pods/p/portforward?ports=80&ports=90";
const NONCE: [u8; 16] = *b"some other nonce";

const AUTO: Planner = planner(UpstreamProtocol::Auto);
const TO_SPDY: Planner = planner(UpstreamProtocol::Spdy);
const TO_WEBSOCKET: Planner = planner(UpstreamProtocol::WebSocket);

const fn planner(protocol: UpstreamProtocol) -> Planner {
    Planner {
        kind: UpstreamKind::Api,
        protocol,
        found: Found::NOTHING,
        gates: FeatureGates::ALL,
        translates_port_forward: true,
    }
}

/// What a client asks for.
struct Client {
    head: String,
}

impl Client {
    fn websocket(target: &str, protocols: &str) -> Self {
        let protocols = match protocols {
            "" => String::new(),
            _ => format!("Sec-WebSocket-Protocol: {protocols}\r\n"),
        };
        Self { head: format!("GET {target} HTTP/1.1\r\nHost: gateway\r\n{WEBSOCKET}{protocols}\r\n") }
    }

    fn spdy(target: &str, protocols: &[&str]) -> Self {
        let lines = offer_lines(protocols);
        Self { head: format!("POST {target} HTTP/1.1\r\nHost: gateway\r\n{SPDY}{lines}\r\n") }
    }

    /// Also says these lines.
    fn with(&self, lines: &str) -> Self {
        let (start, rest) = self.head.split_once("\r\n").unwrap();
        Self { head: format!("{start}\r\n{lines}\r\n{rest}") }
    }

    fn request(&self) -> Request<'_> {
        Request::parse(self.head.as_bytes()).unwrap()
    }

    fn plan(&self, planner: &Planner) -> Plan {
        planner.plan(&self.request(), NONCE).unwrap()
    }

    /// What follows each attempt.
    fn then(&self, planner: &Planner) -> Vec<Then> {
        self.plan(planner).attempts.iter().map(|attempt| attempt.then).collect()
    }

    /// The whole answer of a client that is refused.
    fn refused(&self, planner: &Planner) -> String {
        let refusal = planner.plan(&self.request(), NONCE).unwrap_err();
        let mut out = [0; 1024];
        let length = refusal.write(&self.request(), &mut out).unwrap();
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    /// What upstream gets of the first attempt.
    fn head(&self, planner: &Planner, hop: &Hop<'_>) -> String {
        let plan = self.plan(planner);
        let mut out = vec![0; 2048];
        let length = plan.attempts[0].write_request(&self.request(), hop, &mut out).unwrap();
        for room in [0, 10, length - 1] {
            let full = plan.attempts[0].write_request(&self.request(), hop, &mut out[..room]).unwrap_err();
            assert!(
                matches!(full, WriteError::Full { needed } if needed >= length.min(room + 1)),
                "{full:?}"
            );
        }
        String::from_utf8(out[..length].to_vec()).unwrap()
    }
}

fn offer_lines(protocols: &[&str]) -> String {
    let lines: Vec<_> =
        protocols.iter().map(|name| format!("X-Stream-Protocol-Version: {name}\r\n")).collect();
    lines.concat()
}

fn v5() -> Client {
    Client::websocket(EXEC, "v5.channel.k8s.io")
}

fn tunnel() -> Client {
    Client::websocket(PORTS, "SPDY/3.1+portforward.k8s.io")
}

fn hop() -> Hop<'static> {
    Hop { authority: "node:10250", client: Some([10, 0, 0, 7].into()), ..Hop::default() }
}

#[test]
fn the_table_of_ways_holds() {
    use Then::{
        PassOn, PassOnOrTranslate, PortsToSpdy, PortsToTunnel, SpdyToTunnel, ToSpdy, ToWebSocket,
        TunnelToSpdy,
    };
    let v4 = Client::websocket(EXEC, "v4.channel.k8s.io");
    let none = Client::websocket(EXEC, "");
    let spdy = Client::spdy(EXEC, &["v4.channel.k8s.io"]);
    let legacy = Client::websocket(PORTS, "v4.channel.k8s.io");
    let spdy_ports = Client::spdy(PORTS, &["portforward.k8s.io"]);
    let table: [(Client, &[Then], &[Then]); 7] = [
        (v5(), &[PassOnOrTranslate], &[ToSpdy]),
        (v4, &[PassOn], &[ToSpdy]),
        (none, &[PassOn], &[ToSpdy]),
        (spdy, &[ToWebSocket], &[PassOn]),
        (tunnel(), &[PassOn], &[TunnelToSpdy]),
        (legacy, &[PassOn, PortsToTunnel], &[PortsToSpdy]),
        (spdy_ports, &[SpdyToTunnel], &[PassOn]),
    ];
    for (client, websocket, spdy) in table {
        assert_eq!(client.then(&TO_WEBSOCKET), websocket, "{}", client.head);
        assert_eq!(client.then(&TO_SPDY), spdy, "{}", client.head);
        assert_eq!(client.then(&AUTO), [websocket, spdy].concat(), "{}", client.head);
        for attempt in &client.plan(&AUTO).attempts {
            assert_eq!(attempt.proves, Some(attempt.upgrade()));
        }
    }
}

#[test]
fn only_a_translator_of_one_way_answers_before_it_asks() {
    assert!(v5().plan(&TO_SPDY).answers_first());
    assert!(!v5().plan(&AUTO).answers_first());
    assert!(!tunnel().plan(&TO_SPDY).answers_first());
    assert!(!Client::websocket(PORTS, "v4.channel.k8s.io").plan(&TO_SPDY).answers_first());
    assert!(!Client::spdy(EXEC, &["v4.channel.k8s.io"]).plan(&TO_SPDY).answers_first());
}

#[test]
fn the_header_of_the_first_draft_asks_for_translation() {
    let client =
        Client::websocket(EXEC, "v4.channel.k8s.io").with("K8s-Websocket-Protocol: stream-translate");
    for planner in [AUTO, TO_WEBSOCKET, TO_SPDY] {
        assert_eq!(client.then(&planner), [Then::ToSpdy]);
    }
}

#[test]
fn what_was_found_is_asked_for_alone() {
    let mut found = Found::NOTHING;
    assert!(found.learn(Verb::Attach, Some(Upgrade::WebSocket)));
    assert!(!found.learn(Verb::Exec, Some(Upgrade::WebSocket)));
    assert!(!found.learn(Verb::Exec, None));
    assert_eq!(v5().then(&Planner { found, ..AUTO }), [Then::PassOnOrTranslate]);
    assert_eq!(tunnel().then(&Planner { found, ..AUTO }).len(), 2, "port-forward is another matter");
    assert_eq!(v5().then(&Planner { found, ..TO_SPDY }), [Then::ToSpdy], "what is configured counts more");
    found.doubt(Verb::Exec);
    assert_eq!(found, Found::NOTHING);
    assert!(found.learn(Verb::PortForward, Some(Upgrade::Spdy)));
    assert_eq!(tunnel().then(&Planner { found, ..AUTO }), [Then::TunnelToSpdy]);
}

/// Covers: KEP4006-7
#[test]
fn gates_that_are_off_pass_on() {
    let gates = |list| Planner { gates: FeatureGates::parse(list).unwrap(), ..TO_SPDY };
    let off = gates("TranslateStreamCloseWebsocketRequests=false");
    assert_eq!(v5().then(&off), [Then::PassOn]);
    let plan = v5().plan(&off);
    assert_eq!((plan.agreed, plan.attempts[0].proves), (None, None));
    assert_eq!(plan.attempts[0].upgrade(), Upgrade::WebSocket);
    assert_eq!(
        Client::websocket(EXEC, "v4.channel.k8s.io").then(&off),
        [Then::ToSpdy],
        "it is about v5 alone"
    );
    assert_eq!(tunnel().then(&off), [Then::TunnelToSpdy]);

    let off = gates("PortForwardWebsockets=false");
    assert_eq!(tunnel().then(&off), [Then::PassOn]);
    assert!(tunnel().plan(&off).is_tunnel);
    assert_eq!(Client::websocket(PORTS, "v4.channel.k8s.io").then(&off), [Then::PortsToSpdy]);
    assert_eq!(v5().then(&off), [Then::ToSpdy]);
}

#[test]
fn a_kubelet_is_asked_for_websocket_if_its_gate_is_on() {
    let kubelet = Planner { kind: UpstreamKind::Kubelet, ..AUTO };
    assert_eq!(v5().then(&kubelet), [Then::PassOnOrTranslate, Then::ToSpdy]);
    let gates = FeatureGates::parse("ExtendWebSocketsToKubelet=false").unwrap();
    assert_eq!(v5().then(&Planner { gates, ..kubelet }), [Then::ToSpdy]);
    assert_eq!(v5().then(&Planner { gates, ..AUTO }), [Then::PassOnOrTranslate, Then::ToSpdy]);
    let asked_for = Planner { gates, protocol: UpstreamProtocol::WebSocket, ..kubelet };
    assert_eq!(v5().then(&asked_for), [Then::PassOnOrTranslate]);
}

#[test]
fn what_is_translated_asks_for_the_permission_create_unless_the_gate_is_off() {
    let off = FeatureGates::parse("AuthorizePodWebsocketUpgradeCreatePermission=false").unwrap();
    for client in [v5(), tunnel(), Client::websocket(PORTS, "")] {
        assert!(client.head(&TO_SPDY, &hop()).starts_with("POST /api"));
        assert!(client.head(&Planner { gates: off, ..TO_SPDY }, &hop()).starts_with("GET /api"));
    }
    let spdy = Client::spdy(EXEC, &["v4.channel.k8s.io"]);
    assert!(spdy.head(&Planner { gates: off, ..TO_WEBSOCKET }, &hop()).starts_with("GET /api"));
    assert!(spdy.head(&Planner { gates: off, ..TO_SPDY }, &hop()).starts_with("POST /api"));
}

#[test]
fn a_driver_without_bridges_passes_port_forward_on() {
    let planner = Planner { translates_port_forward: false, ..AUTO };
    for client in [tunnel(), Client::websocket(PORTS, "x"), Client::spdy(PORTS, &["x"])] {
        let plan = client.plan(&planner);
        assert_eq!((plan.agreed, plan.attempts.len(), plan.attempts[0].then), (None, 1, Then::PassOn));
    }
    assert_eq!(tunnel().plan(&planner).upgrade, Upgrade::WebSocket);
    assert!(tunnel().plan(&planner).is_tunnel);
    assert!(!Client::websocket(PORTS, "").plan(&planner).is_tunnel);
}

#[test]
fn legacy_clients_name_their_ports() {
    let plan = |query: &str, protocols: &str| {
        Client::websocket(&format!("/api/v1/namespaces/n/pods/p/portforward{query}"), protocols)
    };
    let javascript =
        "v5.channel.k8s.io, v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io";
    for (protocols, chosen) in [
        ("", Subprotocol::None),
        (javascript, Subprotocol::V4),
        ("v4.base64.channel.k8s.io", Subprotocol::V4Base64),
    ] {
        let plan = plan("?ports=80,90&ports=100", protocols).plan(&TO_SPDY);
        assert_eq!(plan.agreed.map(|agreed| agreed.protocol), Some(chosen));
        assert!(!plan.is_tunnel);
    }
    for query in ["", "?ports=", "?ports=0", "?ports=80,x", "?ports=65536", "?port=80"] {
        let answer = plan(query, "v4.channel.k8s.io").refused(&TO_SPDY);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{query}: {answer}");
    }
    let many = format!("?ports=1{}", ",1".repeat(40));
    let answer = plan(&many, "v4.base64.channel.k8s.io").refused(&TO_SPDY);
    assert!(answer.ends_with("\r\n\r\nmore than 40 ports\n"), "{answer}");
    assert_eq!(plan(&many, "v4.channel.k8s.io").then(&TO_SPDY), [Then::PortsToSpdy]);
    let answer = plan("?ports=80", "v5.channel.k8s.io").refused(&TO_SPDY);
    assert_eq!(answer, "HTTP/1.1 403 Forbidden\r\n\r\n");
    // A CRI server got its ports with the RPC.
    assert_eq!(Client::websocket("/portforward/token", "v4.channel.k8s.io").then(&TO_SPDY), [Then::PassOn]);
}

/// Covers: KEP4006-8
#[test]
fn a_tunnel_is_for_port_forward_only() {
    let offer = |protocols| Client::websocket(PORTS, protocols);
    let mixed = "v4.channel.k8s.io, SPDY/3.1+portforward.k8s.io";
    let agreed = offer(mixed).plan(&TO_SPDY).agreed.unwrap();
    assert_eq!(agreed.protocol, Subprotocol::TunnelPortForward);
    let answer = offer("SPDY/3.1+other.k8s.io").refused(&TO_SPDY);
    let text = "\r\n\r\nunable to upgrade: no tunneling spdy protocols provided\n";
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.ends_with(text), "{answer}");
    assert!(!v5().plan(&TO_SPDY).is_tunnel);
}

#[test]
fn upstream_is_asked_in_the_words_of_its_protocol() {
    let lines = "Authorization: Bearer t\r\nX-Remote-User: admin\r\nOrigin: http://x\r\nAccept: */*\r\n\
        X-Forwarded-For: 1.1.1.1,2.2.2.2\r\nx-forwarded-for: 3.3.3.3";
    let client = v5().with(lines);
    let passed_on = "Host: node:10250\r\nAuthorization: Bearer t\r\nAccept: */*\r\n\
        X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.7\r\nConnection: Upgrade\r\n";
    let spdy =
        offer_lines(&Subprotocol::SPDY_CLIENT_OFFER.iter().map(|known| known.name()).collect::<Vec<_>>());
    assert_eq!(
        client.head(&TO_SPDY, &hop()),
        format!("POST {EXEC} HTTP/1.1\r\n{passed_on}Upgrade: SPDY/3.1\r\n{spdy}Content-Length: 0\r\n\r\n")
    );
    let websocket = |key, protocols| {
        format!(
            "Upgrade: websocket\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {protocols}\r\n\r\n"
        )
    };
    let clients_key = websocket("dGhlIHNhbXBsZSBub25jZQ==", "v5.channel.k8s.io, v4.channel.k8s.io");
    assert_eq!(
        client.head(&TO_WEBSOCKET, &hop()),
        format!("GET {EXEC} HTTP/1.1\r\n{passed_on}{clients_key}")
    );
    let spdy_client = Client::spdy(PORTS, &["portforward.k8s.io"]).with(lines);
    let own_key = websocket("c29tZSBvdGhlciBub25jZQ==", "SPDY/3.1+portforward.k8s.io");
    assert_eq!(
        spdy_client.head(&TO_WEBSOCKET, &hop()),
        format!("GET {PORTS} HTTP/1.1\r\n{passed_on}{own_key}")
    );
    assert_eq!(
        spdy_client.head(&TO_SPDY, &hop()),
        format!(
            "POST {PORTS} HTTP/1.1\r\n{passed_on}Upgrade: SPDY/3.1\r\n\
             X-Stream-Protocol-Version: portforward.k8s.io\r\nContent-Length: 0\r\n\r\n"
        )
    );
}

/// Covers: RFC9110-7.6.1-1
#[test]
fn a_way_has_a_prefix_a_client_and_perhaps_an_identity_of_its_own() {
    let bearer = "base64url.bearer.authorization.k8s.io.c2VjcmV0";
    let browser = Client::websocket(EXEC, &format!("v4.channel.k8s.io, {bearer}"));
    let prefixed = Hop { prefix: "/k8s", ..hop() };
    let head = browser.head(&TO_SPDY, &prefixed);
    assert!(head.starts_with(&format!("POST /k8s{EXEC} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("\r\nAuthorization: Bearer secret\r\n"), "{head}");
    assert!(head.contains("\r\nX-Forwarded-For: 10.0.0.7\r\n"), "{head}");
    assert!(browser.head(&TO_WEBSOCKET, &hop()).contains(bearer));

    let own = Hop { authorization: Some(b"Bearer own"), client: None, ..hop() };
    for client in [browser, v5().with("Authorization: Bearer clients")] {
        for planner in [TO_SPDY, TO_WEBSOCKET] {
            let head = client.head(&planner, &own);
            assert!(head.contains("\r\nAuthorization: Bearer own\r\n"), "{head}");
            assert!(!head.contains("clients") && !head.contains(bearer), "{head}");
            assert!(!head.contains("X-Forwarded-For"), "{head}");
        }
    }
}

/// A request with two identities could be served as either.
#[test]
fn a_browser_that_sends_authorization_is_not_given_its_token_as_well() {
    let client = Client::websocket(EXEC, "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0");
    let head = client.with("Authorization: Bearer clients").head(&TO_SPDY, &hop());
    assert!(head.contains("\r\nAuthorization: Bearer clients\r\n"), "{head}");
    assert_eq!(head.matches("Authorization").count(), 1, "{head}");
}

#[test]
fn a_translation_is_the_way_that_a_translator_plans_for_exec_and_attach() {
    let of = |client: &Client| Translation::of(&client.request());
    for client in [v5(), Client::websocket(&EXEC.replace("/exec", "/attach"), "v4.channel.k8s.io")] {
        let translation = of(&client).unwrap().unwrap();
        assert_eq!(Some(translation.agreed), client.plan(&TO_SPDY).agreed);
        assert!(translation.streams.stdout && !translation.streams.stdin);
        let mut out = [0; 1024];
        let length = Translation::write_request(&client.request(), &hop(), &mut out).unwrap();
        assert_eq!(str::from_utf8(&out[..length]), Ok(client.head(&TO_SPDY, &hop()).as_str()));
        let full = Translation::write_request(&client.request(), &hop(), &mut out[..length - 1]);
        assert_eq!(full, Err(WriteError::Full { needed: length }));
    }
    let head = "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
        X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";
    let response: Response = Response::parse(head.as_bytes()).unwrap();
    assert_eq!(Translation::expected().check(&response), Ok(Subprotocol::V4));

    let plain = Client { head: format!("GET {EXEC} HTTP/1.1\r\nHost: gateway\r\n\r\n") };
    for other in [Client::spdy(EXEC, &["v4.channel.k8s.io"]), tunnel(), plain] {
        assert_eq!(of(&other), Ok(None), "{}", other.head);
    }
    assert!(of(&Client::websocket("/api/v1/pods", "v5.channel.k8s.io")).is_err());
    assert_eq!(of(&Client::websocket(EXEC, "v9")).unwrap_err().status(), 403);
}

#[test]
fn a_kubelet_gets_targets_of_its_own() {
    let kubelet = Planner { kind: UpstreamKind::Kubelet, ..TO_SPDY };
    let begin = |client: Client, target: &str| {
        let head = client.head(&kubelet, &Hop { prefix: "/x", ..hop() });
        assert!(head.starts_with(&format!("POST /x{target} HTTP/1.1\r\n")), "{head}");
    };
    begin(v5(), "/exec/n/p/c?command=date&output=1");
    begin(tunnel(), "/portForward/n/p?port=80,90");
    begin(Client::websocket("/exec/n/p/c?command=a&output=1", ""), "/exec/n/p/c?command=a&output=1");
    let unnamed =
        Client::websocket("/api/v1/namespaces/n/pods/p/exec?command=date&stdout=1", "v5.channel.k8s.io");
    let answer = unnamed.refused(&kubelet);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("container name"), "{answer}");
    assert_eq!(unnamed.then(&TO_SPDY), [Then::ToSpdy]);
}

#[test]
fn an_answer_that_is_passed_on_is_left_to_the_client_whose_offer_it_was() {
    let client = Client::websocket(EXEC, "v4.channel.k8s.io");
    let attempt = &client.plan(&TO_WEBSOCKET).attempts[0];
    let check = |lines: &str| {
        let head = format!("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{lines}\r\n");
        let response: Response = Response::parse(head.as_bytes()).unwrap();
        attempt.check_answer(&response)
    };
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    assert_eq!(check(accept), Ok(Subprotocol::None));
    assert_eq!(check(&format!("{accept}Sec-WebSocket-Protocol: channel.k8s.io\r\n")), Ok(Subprotocol::V1));
    assert!(check("Sec-WebSocket-Accept: x\r\n").is_err());
}

#[test]
fn what_is_no_upgrade_of_ours_is_refused() {
    let post = v5().head.replace("GET", "POST");
    assert_eq!(Client { head: post }.refused(&AUTO), "HTTP/1.1 405 Method Not Allowed\r\n\r\nbad method");
    let h2c = v5().head.replace("websocket", "h2c");
    assert!(Client { head: h2c }.refused(&AUTO).contains("only WebSocket and SPDY/3.1 are known here"));
    let nowhere = Client::websocket("/api/v1/pods", "v5.channel.k8s.io").refused(&AUTO);
    assert!(nowhere.starts_with("HTTP/1.1 404 "), "{nowhere}");
    let no_streams = EXEC.replace("&stdout=true", "");
    for client in [
        Client::websocket(&no_streams, "v5.channel.k8s.io"),
        Client::spdy(&no_streams, &["v4.channel.k8s.io"]),
    ] {
        assert!(client.refused(&AUTO).ends_with("you must specify at least 1 of stdin, stdout, stderr\n"));
    }
    let protocol = Client::spdy(PORTS, &["v4.channel.k8s.io"]).refused(&AUTO);
    assert!(protocol.contains("X-Accepted-Stream-Protocol-Versions: portforward.k8s.io\r\n"), "{protocol}");
}

#[test]
fn a_plain_request_takes_exactly_its_body_along() {
    let write = |lines: &str| {
        let head = format!("PUT /x?y HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        let request: Request = Request::parse(head.as_bytes()).unwrap();
        let plain = AUTO.plain(&request)?;
        let mut out = [0; 256];
        let length = plain.write_request(&request, &hop(), &mut out).unwrap();
        Ok::<_, Refusal<'_>>((plain.body(), String::from_utf8(out[..length].to_vec()).unwrap()))
    };
    let begin = "PUT /x?y HTTP/1.1\r\nHost: node:10250\r\nX-Forwarded-For: 10.0.0.7\r\nConnection: close\r\n";
    assert_eq!(write("Connection: keep-alive\r\n"), Ok((0, format!("{begin}\r\n"))));
    assert_eq!(write("Content-Length: 7\r\n"), Ok((7, format!("{begin}Content-Length: 7\r\n\r\n"))));
    let chunked = write("Transfer-Encoding: chunked\r\n").unwrap_err();
    assert_eq!((chunked.status(), chunked), (411, Refusal::NoLength));
}

#[test]
fn a_plan_is_small() {
    assert!(size_of::<Plan>() <= 400, "{}", size_of::<Plan>());
}
