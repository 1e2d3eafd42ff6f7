use super::{Seeds, vectors};

const EXEC_OVER_WEBSOCKET: &str = "GET /api/v1/namespaces/default/pods/p/exec?command=sh&command=-c&command=echo%20hi&container=c&stdin=true&stdout=true&tty=false HTTP/1.1\r\nHost: 127.0.0.1:8443\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\nAuthorization: Bearer token\r\n\r\n";
const EXEC_OVER_SPDY: &str = "POST /exec/default/p/c?command=date&output=1 HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: channel.k8s.io\r\nContent-Length: 0\r\n\r\n\x01\x02";

pub(super) fn heads() -> Seeds {
    let heads: [(&str, &str); 13] = [
        ("exec_over_websocket", EXEC_OVER_WEBSOCKET),
        ("exec_over_spdy", EXEC_OVER_SPDY),
        (
            "switching_protocols",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n\u{3}",
        ),
        (
            "forbidden",
            "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        ),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"),
        ("version_1_0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        ("no_reason", "HTTP/1.1 200\r\n\r\n"),
        ("bare_lf", "GET / HTTP/1.1\nHost: a\n\n"),
        ("fold", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
        ("two_lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        (
            "length_and_chunked",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        ("http_2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("no_host", "GET /healthz?a=b HTTP/1.1\r\nAccept: */*\r\n\r\n"),
    ];
    named(heads.map(|(name, head)| (name.to_owned(), [b"\0\x05", head.as_bytes()].concat())))
}

pub(super) fn of_kubernetes() -> Seeds {
    let made: [(&str, u8, &str); 22] = [
        ("status.success", 0, r#"{"metadata":{},"status":"Success"}"#),
        (
            "status.failure",
            0,
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"p\" not found","reason":"NotFound","details":{"name":"p","kind":"pods"},"code":404}"#,
        ),
        (
            "status.exit",
            0,
            r#"{"status":"Failure","message":"m","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"137"}]}}"#,
        ),
        (
            "status.exit_0",
            0,
            r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"0"}]}}"#,
        ),
        (
            "status.escapes",
            0,
            r#"{"status":"Failure","message":"\u00e9\ud83d\ude00\ud800\n\t\"\\\/","code":500}"#,
        ),
        ("status.numbers", 0, r#"{"status":"Failure","code":-1.5e+3,"x":[null,true,false,{},[],0]}"#),
        ("status.truncated", 0, r#"{"status":"Failure","message":"ab"#),
        ("resize.go", 1, "{\"Width\":80,\"Height\":24}\n{\"Width\":100,\"Height\":30}\n"),
        ("resize.js", 1, r#"{"height":24,"width":80}"#),
        (
            "resize.broken",
            1,
            "{\"Width\":80,\n{\"Width\":1e2,\"Height\":24}{\"Width\":65535,\"Height\":1}{\"Width\":65536,\"Height\":1}",
        ),
        ("resize.nested", 1, r#"{"x":{"Width":1,"Height":2},"Width":3,"Height":4,"y":[{}]}"#),
        (
            "target.exec",
            2,
            "/api/v1/namespaces/default/pods/p/exec?command=sh&command=-c&command=echo%20hi&container=c&stdin=true&stdout=true&stderr=True&tty=false",
        ),
        ("target.kubelet", 2, "/exec/default/p/uid/c?command=sh&error=1&input=1&output=1&tty=1"),
        ("target.attach", 2, "/api/v1/namespaces/n/pods/p/attach?container=c&stdin=1&stdout=0"),
        ("target.port_forward", 2, "/api/v1/namespaces/n/pods/p/portforward?ports=80,443&ports=1"),
        ("target.kubelet_port_forward", 2, "/portForward/n/p?port=8080"),
        ("target.cri", 2, "/exec/tok_en-1"),
        ("target.empty_pair", 2, "/api/v1/namespaces/n/pods/p/portforward?&ports=9000"),
        (
            "offer.go_over_spdy",
            3,
            "v5.channel.k8s.io\nv4.channel.k8s.io\nv3.channel.k8s.io\nv2.channel.k8s.io\nchannel.k8s.io",
        ),
        ("offer.python", 3, "v5.channel.k8s.io,v4.channel.k8s.io"),
        ("offer.bearer", 3, "base64url.bearer.authorization.k8s.io.dG9rZW4, base64.channel.k8s.io"),
        ("offer.tunnel", 3, "SPDY/3.1+portforward.k8s.io\nportforward.k8s.io"),
    ];
    let mut seeds =
        named(made.map(|(name, kind, text)| (name.to_owned(), [&[kind, 1], text.as_bytes()].concat())));
    for vector in vectors::all() {
        let kind = match vector.id() {
            id if id.starts_with("ws.status.") => 0,
            id if id.starts_with("ws.resize.") => 1,
            _ => continue,
        };
        // Behind the channel byte.
        seeds.insert(vector.id().to_owned(), [&[kind, 4][..], &vector.bytes("payload")[1..]].concat());
    }
    seeds
}

/// The statuses and sizes of [`of_kubernetes`], and some whose members come twice or are of the wrong type.
pub(super) fn json() -> Seeds {
    let made: [(&str, u8, &str); 5] = [
        (
            "status.twice",
            0,
            r#"{"status":"Failure","status":"Success","status":"Failure","code":1,"code":null,"details":{"causes":[]},"details":{}}"#,
        ),
        (
            "status.two_causes",
            0,
            r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[null,{"reason":"x","message":"1"},{"message":"2","reason":"ExitCode"},{"reason":"ExitCode","message":"3"}]}}"#,
        ),
        ("status.wrong_type", 0, r#"{"status":"Failure","message":1}"#),
        ("resize.twice", 1, r#"{"Width":80,"width":90,"HEIGHT":24,"Height":null}"#),
        ("resize.wrong_type", 1, r#"{"Width":80,"Height":24,"Height":[]}"#),
    ];
    let mut seeds =
        named(made.map(|(name, kind, text)| (name.to_owned(), [&[kind], text.as_bytes()].concat())));
    let known = of_kubernetes().into_iter().filter(|(_, seed)| seed[0] < 2);
    seeds.extend(known.map(|(name, seed)| (name, [&seed[..1], &seed[2..]].concat())));
    seeds
}

fn named<const N: usize>(seeds: [(String, Vec<u8>); N]) -> Seeds {
    seeds.into_iter().collect()
}
