use super::*;
use crate::http::{HeadWriter, Response};
use crate::k8s::{Refused, RequestError, Subprotocol};
use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

const WEBSOCKET: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SPDY: &str = "Connection: upgrade\r\nUpgrade: spdy/3.1\r\n";

fn accept<'k>(
    method: &str,
    headers: &str,
    websocket: &'k [Subprotocol],
    spdy: &'k [Subprotocol],
) -> (Result<Accepted, Refusal<'k>>, String) {
    let head = format!("{method} /exec/t HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let request: Request = Request::parse(head.as_bytes()).unwrap();
    let result = Accepted::of(&request, websocket, spdy);
    let mut out = vec![0; 2048];
    let length = match &result {
        Ok(accepted) => accepted.write(&mut out[..256]).unwrap(),
        Err(refusal) => refusal.write(&request, &mut out).unwrap(),
    };
    (result, String::from_utf8(out[..length].to_vec()).unwrap())
}

fn websocket(headers: &str, known: &[Subprotocol]) -> String {
    accept("GET", headers, known, &[]).1
}

fn spdy(headers: &str) -> String {
    accept("POST", headers, &[], Subprotocol::SPDY_SERVER).1
}

#[test]
fn spdy_is_ignored_where_there_are_no_streams() {
    let asked = |path: &str, headers: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        Upgrade::is_asked_for(&Request::<32>::parse(head.as_bytes()).unwrap())
    };
    let pod = "/api/v1/namespaces/default/pods/demo";
    assert!(!asked(pod, SPDY));
    assert!(!asked(pod, ""));
    assert!(asked(pod, WEBSOCKET));
    assert!(asked(pod, "Connection: upgrade\r\nUpgrade: h2c\r\n"));
    assert!(asked(&format!("{pod}/exec?command=date"), SPDY));
    assert!(asked(&format!("{pod}/exec?command=%"), SPDY));
}

/// Covers: RFC6455-4.2.2-3
#[test]
fn a_websocket_gets_the_bytes_of_upstreams_servers() {
    let v5 = format!("{WEBSOCKET}Sec-WebSocket-Protocol: v4.channel.k8s.io,v5.channel.k8s.io\r\n");
    let begin = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let protocol = |name: &str| format!("{begin}Sec-WebSocket-Protocol: {name}\r\n\r\n");
    assert_eq!(websocket(&v5, Subprotocol::TRANSLATOR), protocol("v5.channel.k8s.io"));
    assert_eq!(websocket(&v5, Subprotocol::WEBSOCKET_SERVER), protocol("v4.channel.k8s.io"));
    assert_eq!(websocket(WEBSOCKET, Subprotocol::WEBSOCKET_SERVER), format!("{begin}\r\n"));
}

/// Covers: RFC6455-4.2.1-1, RFC6455-4.2.2-2
#[test]
fn a_refused_websocket_gets_the_bytes_of_upstreams_servers() {
    let known = Subprotocol::TRANSLATOR;
    let without =
        |line: &str| WEBSOCKET.split_inclusive("\r\n").filter(|it| !it.starts_with(line)).collect::<String>();
    assert_eq!(accept("POST", WEBSOCKET, known, &[]).1, "HTTP/1.1 405 Method Not Allowed\r\n\r\nbad method");
    assert_eq!(
        websocket(&without("Connection"), known),
        "HTTP/1.1 400 Bad Request\r\n\r\nnot websocket protocol"
    );
    let key = "HTTP/1.1 400 Bad Request\r\n\r\nmismatch challenge/response";
    assert_eq!(websocket(&without("Sec-WebSocket-Key"), known), key);
    assert_eq!(websocket(&format!("{}Sec-WebSocket-Key:\r\n", without("Sec-WebSocket-Key")), known), key);
    let version =
        "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13\r\n\r\nmissing or bad WebSocket Version";
    assert_eq!(websocket(&without("Sec-WebSocket-Version"), known), version);
    assert_eq!(websocket(WEBSOCKET, known), "HTTP/1.1 403 Forbidden\r\n\r\n");
    let bearer = format!("{WEBSOCKET}Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.dA\r\n");
    assert_eq!(websocket(&bearer, known), "HTTP/1.1 401 Unauthorized\r\n\r\n");
}

#[test]
fn spdy_gets_the_first_of_its_protocols_that_is_known() {
    let lines =
        "X-Stream-Protocol-Version: v5.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n";
    assert_eq!(
        spdy(&format!("{SPDY}{lines}")),
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n"
    );
}

#[test]
fn refused_spdy_is_told_what_would_have_been_taken() {
    let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.trim_end().to_owned();
    let none = spdy(SPDY);
    assert!(none.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{none}");
    let text = "unable to upgrade: header X-Stream-Protocol-Version does not exist in request with 3 headers";
    assert_eq!(body(&none), text);
    let empty = spdy(&format!("{SPDY}X-Stream-Protocol-Version: ,\r\n"));
    let text = "unable to upgrade: header X-Stream-Protocol-Version contains [,], but no valid protocols";
    assert_eq!(body(&empty), text);

    let unknown =
        spdy(&format!("{SPDY}X-Stream-Protocol-Version: v9\r\nX-Stream-Protocol-Version: v8, v7\r\n"));
    assert!(unknown.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{unknown}");
    for known in Subprotocol::SPDY_SERVER {
        let line = format!("\r\nX-Accepted-Stream-Protocol-Versions: {known}\r\n");
        assert!(unknown.contains(&line), "{unknown}");
    }
    assert_eq!(
        body(&unknown),
        "unable to upgrade: unable to negotiate protocol: client supports [v9 v8, v7], server accepts \
         [v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]"
    );
    let not_connected = spdy("Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n");
    assert_eq!(body(&not_connected), "unable to upgrade: missing upgrade headers in request");
}

#[test]
fn a_long_offer_is_cut_in_the_answer_and_refused_all_the_same() {
    let offer = "x".repeat(4000);
    let (result, answer) = accept(
        "POST",
        &format!("{SPDY}X-Stream-Protocol-Version: {offer}\r\n"),
        &[],
        Subprotocol::SPDY_PORT_FORWARD,
    );
    assert!(matches!(result, Err(Refusal::Protocols { refused: Refused::NothingInCommon, .. })));
    assert_eq!(answer.len(), 2048);
    assert_eq!(Refusal::Request(RequestError::NotFound).status(), 404);
    assert_eq!(accept("GET", "Upgrade: h2c\r\n", &[], &[]).0, Err(Refusal::UnknownUpgrade));
}

/// What a client that offers `offered` makes of an answer.
fn check(
    upgrade: ClientUpgrade<'_>,
    offered: &'static [Subprotocol],
    answer: &str,
) -> Result<Subprotocol, UpgradeError> {
    let head = format!("HTTP/1.1 {answer}\r\n\r\n");
    let response: Response = Response::parse(head.as_bytes()).unwrap();
    upgrade.expects(offered).check(&response)
}

/// Covers: RFC6455-4.1-2, RFC6455-4.1-3, RFC9110-7.8-2
#[test]
fn a_client_checks_what_it_was_granted() {
    let key = crate::ws::client_key(*b"the sample nonce");
    let upgrade = ClientUpgrade::WebSocket { key: &key };
    let offered = Subprotocol::WEBSOCKET_CLIENT_OFFER;
    let check = |answer: &str| check(upgrade, offered, answer);
    let good = "101 S\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let chosen = |name: &str| check(&format!("{good}\r\nSec-WebSocket-Protocol: {name}"));
    assert_eq!(chosen("v4.channel.k8s.io"), Ok(Subprotocol::V4));
    for name in ["channel.k8s.io", "v9", "v4.channel.k8s.io, v5.channel.k8s.io"] {
        assert_eq!(chosen(name), Err(UpgradeError::Protocol { name: name.try_into().unwrap() }));
    }
    assert_eq!(check(good), Err(UpgradeError::NoProtocol));
    assert_eq!(check(&good.replace("s3p", "S3p")), Err(UpgradeError::Accept));
    assert_eq!(check(&good.replace("WebSocket\r", "SPDY/3.1\r")), Err(UpgradeError::NotUpgraded));
    assert_eq!(check("302 Found\r\nLocation: /"), Err(UpgradeError::Redirect { status: 302 }));
    assert_eq!(check("200 OK"), Err(UpgradeError::Status { status: 200 }));
    let refused = check("403 Forbidden\r\nContent-Type: application/json").unwrap_err();
    let json = "application/json".try_into().unwrap();
    assert_eq!(refused, UpgradeError::Refused { status: 403, content_type: json });
    assert_eq!((refused.status(), UpgradeError::Accept.status()), (403, 500));
    let long = check(&format!("{good}\r\nSec-WebSocket-Protocol: {}", "x".repeat(99))).unwrap_err();
    assert_eq!(long, UpgradeError::Protocol { name: "x".repeat(64).as_str().try_into().unwrap() });
}

#[test]
fn a_spdy_server_that_names_no_protocol_means_the_first_version() {
    let check = |offered, answer: &str| check(ClientUpgrade::Spdy, offered, answer);
    let good = "101 S\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1";
    assert_eq!(check(Subprotocol::SPDY_CLIENT_OFFER, good), Ok(Subprotocol::V1));
    assert_eq!(check(Subprotocol::SPDY_PORT_FORWARD, good), Err(UpgradeError::NoProtocol));
    let named = format!("{good}\r\nX-Stream-Protocol-Version: portforward.k8s.io");
    assert_eq!(check(Subprotocol::SPDY_PORT_FORWARD, &named), Ok(Subprotocol::PortForward));
}

#[test]
fn a_spdy_client_has_one_line_for_each_protocol() {
    let mut out = [0; 512];
    let head = HeadWriter::request(&mut out, ClientUpgrade::Spdy.method(), "/exec/t").header("Host", "x");
    let names = Subprotocol::SPDY_SERVER.iter().map(|known| known.name());
    let length = ClientUpgrade::Spdy.headers(head, names).finish().unwrap();
    let request: Request = Request::parse(&out[..length]).unwrap();
    assert_eq!(request.headers.lines("X-Stream-Protocol-Version").count(), 4);
    assert_eq!(Accepted::of(&request, &[], &[Subprotocol::V2]).map(|it| it.protocol), Ok(Subprotocol::V2));
}

/// Covers: RFC6455-10.5-1
#[test]
fn a_browsers_token_counts_if_it_is_the_only_one_and_one_word() {
    let token = |items: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: {items}\r\n\r\n");
        let request: Request = Request::parse(head.as_bytes()).unwrap();
        let length = bearer_token(&request, &mut [])?;
        let mut out: Vec<u8> = vec![0; length];
        assert_eq!(bearer_token(&request, &mut out)?, length, "as was told without room for it");
        Some(String::from_utf8(out).unwrap())
    };
    let bearer = "base64url.bearer.authorization.k8s.io.";
    for (encoded, decoded) in [("c2VjcmV0", "secret"), ("c2VjcmU", "secre"), ("c2Vjcg", "secr")] {
        assert_eq!(token(&format!("v4.channel.k8s.io, {bearer}{encoded}")).as_deref(), Some(decoded));
    }
    for bad in ["", "c2VjcmV0=", "c2Vjc", "IA", "AA"] {
        assert_eq!(token(&format!("{bearer}{bad}")), None, "{bad}");
    }
    assert_eq!(token(&format!("{bearer}c2VjcmV0, {bearer}c2VjcmV0")), None);
    assert_eq!(token("v4.channel.k8s.io"), None);
}
