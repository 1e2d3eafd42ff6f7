use super::*;
use proptest::prelude::*;
use std::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

/// As kubectl 1.32.4 sends it.
pub(super) const EXEC_OVER_WEBSOCKET: &str = "GET /api/v1/namespaces/default/pods/x/exec?command=sh\
    &command=-c&command=echo+a%26b&container=c&stderr=true&stdout=true HTTP/1.1\r\nHost: 127.0.0.1:47195\r\n\
    User-Agent: kubectl/v1.32.4 (linux/amd64) kubernetes/4cb5f07\r\nConnection: Upgrade\r\n\
    Kubectl-Command: kubectl exec\r\nKubectl-Session: 4dbc0f47-9567-427f-b16f-350f3103c4fb\r\n\
    Sec-WebSocket-Key: aDnscY/kRa+yb1bWkhBm6g==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\
    Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n";

/// As kubectl 1.32.4 sends it.
pub(super) const EXEC_OVER_SPDY: &str = "POST /api/v1/namespaces/default/pods/x/exec?command=sh&command=-c\
    &command=echo+a%26b&container=c&stderr=true&stdout=true HTTP/1.1\r\nHost: 127.0.0.1:47195\r\n\
    User-Agent: kubectl/v1.32.4 (linux/amd64) kubernetes/4cb5f07\r\nContent-Length: 0\r\n\
    Connection: Upgrade\r\n\
    Kubectl-Command: kubectl exec\r\nKubectl-Session: 4dbc0f47-9567-427f-b16f-350f3103c4fb\r\n\
    Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n\
    X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n\
    X-Stream-Protocol-Version: v2.channel.k8s.io\r\nX-Stream-Protocol-Version: channel.k8s.io\r\n\r\n";

/// A request with Host and these header lines, each ended by `;`.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines.replace(';', "\r\n"))
}

/// A 200 with these header lines, each ended by `;`.
fn ok(lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{}\r\n", lines.replace(';', "\r\n"))
}

fn request(head: &str) -> Request<'_> {
    Request::parse(head.as_bytes()).unwrap_or_else(|error| panic!("{head:?}: {error}"))
}

fn response(head: &str) -> Response<'_> {
    Response::parse(head.as_bytes()).unwrap_or_else(|error| panic!("{head:?}: {error}"))
}

fn request_error(head: &str) -> HeadError {
    <Request>::parse(head.as_bytes()).expect_err(head)
}

fn response_error(head: &str) -> HeadError {
    <Response>::parse(head.as_bytes()).expect_err(head)
}

#[test]
fn kubectl_exec_over_websocket_is_understood() {
    let request = request(EXEC_OVER_WEBSOCKET);
    assert_eq!((request.method, request.version), ("GET", Version::Http11));
    assert_eq!(request.path(), "/api/v1/namespaces/default/pods/x/exec");
    let query: Vec<_> = target::Query::new(request.query().unwrap()).collect();
    let expected = [("sh", "command"), ("-c", "command"), ("echo+a%26b", "command"), ("c", "container")];
    assert!(query.iter().zip(expected).all(|(pair, (value, name))| *pair == (name, value)));
    assert_eq!(query[4..], [("stderr", "true"), ("stdout", "true")]);
    assert_eq!(request.headers.len(), 9);
    assert_eq!(request.headers.get_str("sec-websocket-key"), Some("aDnscY/kRa+yb1bWkhBm6g=="));
    assert_eq!(request.headers.get("UPGRADE"), Some(&b"websocket"[..]));
    assert_eq!(request.headers.get("Authorization"), None);
    assert_eq!(request.body(), Body::None);
    assert!(request.wants_upgrade() && request.keeps_alive());
}

#[test]
fn kubectl_exec_over_spdy_is_understood() {
    let request = request(EXEC_OVER_SPDY);
    assert_eq!(request.method, "POST");
    let offered: Vec<_> = request.headers.tokens("X-Stream-Protocol-Version").collect();
    let expected = [
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v3.channel.k8s.io",
        "v2.channel.k8s.io",
        "channel.k8s.io",
    ];
    assert_eq!(offered, expected);
    assert_eq!(request.headers.lines("x-stream-protocol-version").count(), 5);
    assert_eq!(request.body(), Body::None, "Content-Length: 0");
    assert!(request.wants_upgrade());
}

#[test]
fn answers_of_kubernetes_servers_are_understood() {
    let switching = response(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n",
    );
    assert_eq!((switching.status, switching.reason), (101, "Switching Protocols"));
    assert_eq!(switching.body("GET"), Body::None);
    assert!(switching.headers.has_token("connection", "upgrade"));

    let refused = response("HTTP/1.1 403 Forbidden\r\n\r\n");
    assert_eq!(
        (refused.status, refused.body("GET"), refused.headers.is_empty()),
        (403, Body::UntilClose, true)
    );

    let not_found = response(
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Date: Tue, 01 Jul 2025 10:00:00 GMT\r\nContent-Length: 19\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(not_found.body("POST"), Body::Length(19));
    assert!(!not_found.headers.is_empty());
    assert!(!not_found.keeps_alive());
}

#[test]
fn tokens_come_from_all_lines_trimmed_and_without_empty_items() {
    let head = get("List: a,b ,,\tc;X: y;LIST:;list: , d ,\u{e9};");
    let request = request(&head);
    assert!(request.headers.tokens("List").eq(["a", "b", "c", "d", "\u{e9}"]));
    assert!(request.headers.lines("List").eq([b"a,b ,,\tc".as_slice(), b"", ", d ,\u{e9}".as_bytes()]));
    assert!(request.headers.has_token("list", "C") && !request.headers.has_token("list", "y"));
    assert!(!request.headers.has_token("list", ""));
}

#[test]
fn values_that_are_not_utf8_are_no_text() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff , b\r\n\r\n";
    let request: Request = Request::parse(head).unwrap();
    assert_eq!((request.headers.get("x"), request.headers.get_str("x")), (Some(&b"\xff , b"[..]), None));
    assert!(request.headers.tokens("x").eq(["b"]));
}

#[test]
fn values_stay_out_of_debug_output() {
    let head = get("Authorization: Bearer secret;");
    let shown = format!("{:?}", request(&head));
    assert!(shown.contains("Authorization") && !shown.contains("secret"), "{shown}");
}

#[test]
fn as_many_headers_as_there_is_room_for() {
    let head = get("A: 1;B: 2;");
    assert_eq!(Request::<3>::parse(head.as_bytes()).unwrap().headers.len(), 3);
    let error = Request::<2>::parse(head.as_bytes()).unwrap_err();
    assert_eq!((error, error.status()), (HeadError::TooManyHeaders { limit: 2 }, 431));
    assert_eq!(
        Response::<1>::parse(ok("A: 1;B: 2;").as_bytes()).unwrap_err(),
        HeadError::TooManyHeaders { limit: 1 }
    );
}

/// Covers: RFC9112-2.2-1, RFC9112-5.1-1, RFC9112-5.2-1
#[test]
fn parsing_is_as_strict_as_scanning() {
    assert_eq!(request_error("GET / HTTP/1.1\nHost: a\r\n\r\n"), HeadError::BareLf { at: 14 });
    assert_eq!(response_error("HTTP/1.1 200 OK\r\nA: b\n\r\n"), HeadError::BareLf { at: 21 });
    let (incomplete, continued) = ("GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\nx");
    assert_eq!(request_error(incomplete), HeadError::NotOneHead { length: 25 });
    assert_eq!(request_error(continued), HeadError::NotOneHead { length: 28 });
    assert_eq!(response_error(""), HeadError::NotOneHead { length: 0 });
}

/// Covers: RFC9112-3-1
#[test]
fn a_request_is_no_response() {
    assert_eq!(request_error("HTTP/1.1 200 OK\r\n\r\n"), HeadError::StartLine { at: 0 });
    assert_eq!(response_error("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), HeadError::StartLine { at: 0 });
}

/// Covers: RFC9112-3.2.1-1
#[test]
fn only_origin_form_targets_are_accepted() {
    for target in ["*", "http://a/", "a:443", "/a#b", "a"] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(request_error(&head), HeadError::TargetForm, "{target}");
    }
    assert_eq!(HeadError::TargetForm.status(), 400);
    let head = "GET /a?b?c HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!((request(head).path(), request(head).query()), ("/a", Some("b?c")));
    let plain = get("");
    assert_eq!((request(&plain).path(), request(&plain).query()), ("/", None));
}

/// Covers: RFC9112-3.2-1, RFC9112-6.3-1
#[test]
fn headers_that_may_occur_once_are_refused_twice() {
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Upgrade",
        "Authorization",
        "Origin",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
    ] {
        let value = match name {
            "Content-Length" => "0",
            "Transfer-Encoding" => "chunked",
            _ => "a",
        };
        let (lower, upper) = (name.to_lowercase(), name.to_uppercase());
        let rest = if name == "Host" { "" } else { "Host: a\r\n" };
        let once = format!("GET / HTTP/1.1\r\n{rest}{lower}: {value}\r\n\r\n");
        request(&once);
        let twice = format!("GET / HTTP/1.1\r\n{rest}{lower}: {value}\r\nX: y\r\n{upper}: {value}\r\n\r\n");
        assert_eq!(request_error(&twice), HeadError::Duplicate { name });
        assert_eq!(HeadError::Duplicate { name }.status(), 400);
    }
    request(&get("Connection: keep-alive;Connection: Upgrade;Accept: a;Accept: b;"));
}

#[test]
fn response_headers_that_may_occur_once_are_refused_twice() {
    for (name, value) in [
        ("Content-Length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Accept", "a"),
        ("Sec-WebSocket-Protocol", "a"),
    ] {
        response(&ok(&format!("{name}: {value};")));
        let twice = ok(&format!("{name}: {value};{}: {value};", name.to_lowercase()));
        assert_eq!(response_error(&twice), HeadError::Duplicate { name });
    }
    assert!(response(&ok("Connection: a;Connection: Upgrade;")).headers.has_token("Connection", "upgrade"));
}

#[test]
fn deciding_headers_must_be_ascii() {
    assert_eq!(request_error(&get("Origin: http://\u{e9};")), HeadError::NotAscii { name: "Origin" });
    assert!(request(&get("X-User: \u{e9};")).headers.get("X-User").is_some());
}

/// Covers: RFC9112-6.3-1
#[test]
fn content_length_is_digits_only() {
    for value in ["", "+1", "-1", "1,1", "1, 1", "0x1", "1 1", "1.0", "18446744073709551616", "\u{661}"] {
        let lines = format!("Content-Length: {value};");
        let not_ascii = HeadError::NotAscii { name: "Content-Length" };
        let expected = if value.is_ascii() { HeadError::ContentLength } else { not_ascii };
        assert_eq!(request_error(&get(&lines)), expected, "{value:?}");
        assert_eq!(response_error(&ok(&lines)), expected, "{value:?}");
    }
    assert_eq!(request(&get("Content-Length: 18446744073709551615;")).body(), Body::Length(u64::MAX));
    assert_eq!(request(&get("Content-Length:\t007 ;")).body(), Body::Length(7));
}

/// Covers: RFC9112-6.1-1
#[test]
fn content_length_beside_transfer_encoding_is_refused() {
    let lines = "Transfer-Encoding: chunked;Content-Length: 5;";
    assert_eq!(request_error(&get(lines)), HeadError::TwoLengths);
    assert_eq!(response_error(&ok(lines)), HeadError::TwoLengths);
}

/// Covers: RFC9112-6.1-2
#[test]
fn transfer_encoding_is_exactly_chunked() {
    assert_eq!(request(&get("Transfer-Encoding: Chunked;")).body(), Body::Chunked);
    for value in
        ["", "gzip", "gzip, chunked", "chunked, chunked", "chunked,", "identity", "xchunked", "\"chunked\""]
    {
        let lines = format!("Transfer-Encoding: {value};");
        assert_eq!(request_error(&get(&lines)), HeadError::TransferCoding, "{value:?}");
        assert_eq!(response_error(&ok(&lines)), HeadError::TransferCoding, "{value:?}");
    }
    assert_eq!(HeadError::TransferCoding.status(), 501);
    assert_eq!(
        request_error("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        HeadError::TransferEncodingInHttp10
    );
}

/// Covers: RFC9110-7.8-1
#[test]
fn close_together_with_upgrade_is_refused() {
    let same_line = "Connection: Upgrade, Close;Upgrade: websocket;";
    let two_lines = "Connection: close;Upgrade: websocket;Connection: upgrade;";
    for lines in [same_line, two_lines] {
        assert_eq!(request_error(&get(lines)), HeadError::CloseAndUpgrade);
        let switching = format!("HTTP/1.1 101 S\r\n{}\r\n", lines.replace(';', "\r\n"));
        assert_eq!(response_error(&switching), HeadError::CloseAndUpgrade);
        response(&switching.replace("101", "426"));
    }
}

/// Covers: RFC9112-3.2-1
#[test]
fn http_1_1_needs_a_host_that_can_be_one() {
    assert_eq!(request_error("GET / HTTP/1.1\r\n\r\n"), HeadError::MissingHost);
    request("GET / HTTP/1.0\r\n\r\n");
    for host in ["", "a b", "a,b", "a/b", "user@a", "a?b", "a\\b", "<a>"] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(request_error(&head), HeadError::InvalidHost, "{host:?}");
    }
    for host in ["a", "a.b:80", "127.0.0.1", "[::1]:8080", "[fe80::1%25eth0]", "my_host"] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(request(&head).headers.get_str("Host"), Some(host));
    }
}

/// Covers: RFC9110-7.8-1
#[test]
fn an_upgrade_is_wanted_only_with_both_headers_and_http_1_1() {
    assert!(request(&get("Connection: keep-alive, UPGRADE;Upgrade: x;")).wants_upgrade());
    assert!(request(&get("Connection: keep-alive;Upgrade: x;Connection: upgrade;")).wants_upgrade());
    for lines in [
        "Connection: Upgrade;",
        "Upgrade: x;",
        "Connection: Upgrade;Upgrade:;",
        "Connection: upgrades;Upgrade: x;",
        "X: upgrade;Upgrade: x;",
    ] {
        assert!(!request(&get(lines)).wants_upgrade(), "{lines}");
    }
    let old = get("Connection: Upgrade;Upgrade: x;").replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!((request(&old).version, request(&old).wants_upgrade()), (Version::Http10, false));
}

/// Covers: RFC9112-9.6-1
#[test]
fn connections_stay_open_as_version_and_connection_say() {
    let old = |lines| get(lines).replace("HTTP/1.1", "HTTP/1.0");
    assert!(request(&get("")).keeps_alive());
    assert!(!request(&get("Connection: foo;Connection: CLOSE;")).keeps_alive());
    assert!(!request(&old("")).keeps_alive());
    assert!(request(&old("Connection: Keep-Alive;")).keeps_alive());
    assert!(!request(&old("Connection: keep-alive, close;")).keeps_alive());
    assert!(response(&ok("")).keeps_alive());
}

/// Covers: RFC9112-6.3-2
#[test]
fn a_response_has_the_body_that_its_status_and_request_allow() {
    let with_length = |status: u16| format!("HTTP/1.1 {status} R\r\nContent-Length: 5\r\n\r\n");
    for status in [100, 101, 103, 204, 304] {
        assert_eq!(response(&with_length(status)).body("GET"), Body::None, "{status}");
    }
    assert_eq!(response(&with_length(200)).body("GET"), Body::Length(5));
    assert_eq!(response(&with_length(200)).body("HEAD"), Body::None);
    assert_eq!(response(&with_length(200)).body("CONNECT"), Body::None);
    assert_eq!(response(&with_length(407)).body("CONNECT"), Body::Length(5));
    assert_eq!(response(&ok("")).body("GET"), Body::UntilClose);
    assert_eq!(response(&ok("Content-Length: 0;")).body("GET"), Body::None);
    assert_eq!(response(&ok("Transfer-Encoding: chunked;")).body("GET"), Body::Chunked);
}

/// Covers: RFC9110-15-1
#[test]
fn a_status_code_has_three_digits_and_is_at_least_100() {
    assert_eq!(response("HTTP/1.1 999 \r\n\r\n").status, 999);
    assert_eq!(response("HTTP/1.0 200\r\n\r\n").reason, "");
    assert_eq!(response_error("HTTP/1.1 099 No\r\n\r\n"), HeadError::StatusCode { code: 99 });
    assert_eq!(response_error("HTTP/1.1 20x No\r\n\r\n"), HeadError::StartLine { at: 15 });
}

#[test]
fn every_status_that_an_error_answers_with_has_a_reason() {
    let errors = [
        HeadError::TooLarge { limit: 1 },
        HeadError::TransferCoding,
        HeadError::UnsupportedVersion,
        HeadError::MissingHost,
    ];
    assert!(errors.iter().map(|error| error.status()).eq([431, 501, 505, 400]));
    assert!(errors.iter().all(|error| !reason(error.status()).is_empty() && !error.to_string().is_empty()));
    assert_eq!((reason(101), reason(426), reason(299)), ("Switching Protocols", "Upgrade Required", ""));
}

#[test]
fn heads_fit_their_declared_memory() {
    assert!(size_of::<HeadScanner>() <= 64, "{}", size_of::<HeadScanner>());
    let line = size_of::<Header<'_>>();
    assert!(size_of::<Request<'_, 16>>() <= 16 * line + 80, "{}", size_of::<Request<'_, 16>>());
    assert!(size_of::<Response<'_, 16>>() <= 16 * line + 80, "{}", size_of::<Response<'_, 16>>());
}

/// A header name that decides nothing, and a value as a parser gives it back.
fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop::collection::vec(prop::sample::select(b"azAZ09!#$%&'*+-.^_`|~".to_vec()), 1..12);
    let byte = prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xff_u8];
    let value = prop::collection::vec(byte, 0..24);
    (name, value).prop_map(|(name, value)| (String::from_utf8(name).unwrap(), trim(&value).to_vec()))
}

/// Where a byte is replaced, and by what.
fn damage() -> impl Strategy<Value = (prop::sample::Index, Vec<u8>)> {
    (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..3))
}

fn any_target() -> impl Strategy<Value = String> {
    prop::collection::vec((b'!'..=b'~').prop_filter("no fragment", |byte| *byte != b'#'), 0..40)
        .prop_map(|rest| std::format!("/{}", String::from_utf8(rest).unwrap()))
}

proptest! {
    #[test]
    fn what_a_writer_writes_as_a_request_is_what_a_parser_reads(
        method in prop::collection::vec(b'A'..=b'Z', 1..=METHOD_BYTES),
        target in any_target(),
        headers in prop::collection::vec(header(), 0..8),
        length in any::<u64>(),
    ) {
        let method = String::from_utf8(method).unwrap();
        let mut buf = vec![0; 2048];
        let mut head = HeadWriter::request(&mut buf, &method, &target);
        head = head.header("Host", "a").content_length(length);
        for (name, value) in &headers {
            head = head.header(name, value);
        }
        let written = head.finish().unwrap();
        prop_assert_eq!(HeadScanner::new(2048).scan(&buf), Ok(Some(written)));
        let read: Request = Request::parse(&buf[..written]).unwrap();
        prop_assert_eq!((read.method, read.target), (&method[..], &target[..]));
        prop_assert_eq!(read.version, Version::Http11);
        prop_assert_eq!(read.body(), if length == 0 { Body::None } else { Body::Length(length) });
        let expected = headers.iter().map(|(name, value)| Header { name, value });
        prop_assert!(read.headers.iter().skip(2).eq(expected));
    }

    #[test]
    fn what_a_writer_writes_as_a_response_is_what_a_parser_reads(
        status in 100..=999_u16,
        phrase in prop::collection::vec(b' '..=b'~', 0..20),
        headers in prop::collection::vec(header(), 0..8),
    ) {
        let phrase = String::from_utf8(phrase).unwrap();
        let mut buf = vec![0; 2048];
        let mut head = HeadWriter::response(&mut buf, status, &phrase);
        for (name, value) in &headers {
            head = head.header(name, value);
        }
        let written = head.finish().unwrap();
        let read: Response = Response::parse(&buf[..written]).unwrap();
        prop_assert_eq!((read.status, read.reason), (status, &phrase[..]));
        let expected = headers.iter().map(|(name, value)| Header { name, value });
        prop_assert!(read.headers.iter().eq(expected));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = HeadScanner::new(100).scan(&bytes);
        let _ = <Request>::parse(&bytes);
        let _ = <Response>::parse(&bytes);
    }

    /// Damaged heads get deeper into the parsers than random bytes.
    #[test]
    fn no_damaged_head_panics_and_what_is_accepted_is_sound(
        spdy in any::<bool>(),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let mut head = if spdy { EXEC_OVER_SPDY } else { EXEC_OVER_WEBSOCKET }.as_bytes().to_vec();
        for (at, bytes) in damages {
            let at = at.index(head.len());
            head.splice(at..=at, bytes);
        }
        let end = HeadScanner::new(1024).scan(&head);
        if let Ok(Some(end)) = end && let Ok(request) = <Request>::parse(&head[..end]) {
            prop_assert!(request.target.starts_with('/'));
            prop_assert!(request.target.bytes().all(|byte| byte.is_ascii_graphic()));
            let hosts = request.headers.lines("Host").count();
            prop_assert!(hosts == 1 || hosts == 0 && request.version == Version::Http10);
            prop_assert!(request.headers.iter().all(|line| line.value.iter().copied().all(is_value_byte)));
            let lines = head[..end].split(|&byte| byte == b'\n').count();
            prop_assert_eq!(request.headers.len(), lines - 3, "no line is merged or lost");
        }
    }
}
