//! Web pages of other origins. A browser lets each of them open a WebSocket to a gateway on this host, so it is the gateway that
//! has to look at the origin. Nothing of their requests may reach the node.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use strait_tests::{EXEC_PATH, Server, Shores, eventually, exchange};

const SOON: Duration = Duration::from_secs(5);

/// What a browser sends for a page of `origin` that knows the server as `host`. The command makes the directory `witness`.
fn upgrade(host: &str, origin: &str, witness: &Path) -> Vec<u8> {
    format!(
        "GET {EXEC_PATH}?command=mkdir&command={}&stdout=true HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n",
        witness.display()
    )
    .into_bytes()
}

/// Covers: RFC6455-4.2.2-4
#[test]
fn a_page_of_another_origin_opens_no_session() {
    for arguments in [&[][..], &["--upstream-protocol", "websocket"]] {
        let Shores { gateway, node } = Shores::start(arguments);
        let own = gateway.address();
        let port = own.port();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let witness = directory.path().join("witness");
        for (host, origin) in [
            (own.to_string(), "http://evil.example".into()),
            (own.to_string(), "null".into()),
            (own.to_string(), format!("https://{own}")),
            (own.to_string(), format!("http://127.0.0.1:{}", port ^ 1)),
            (own.to_string(), format!("http://{own}.evil.example")),
            // A page whose name was pointed at this host: to the browser it is the server's own origin.
            (format!("evil.example:{port}"), format!("http://evil.example:{port}")),
        ] {
            for server in [&gateway, &node] {
                let reply = exchange(server.address(), &upgrade(&host, &origin, &witness));
                assert_eq!(reply.status(), Some(403), "{origin} at {host}: {reply:?}");
            }
        }
        thread::sleep(Duration::from_millis(300));
        assert!(!witness.exists(), "a command of a page has run");
        // The command would have run: a page of the server's own may come in.
        assert_opens(&gateway, &upgrade(&own.to_string(), &format!("http://{own}"), &witness));
        eventually(SOON, || if witness.exists() { Ok(()) } else { Err("the command does not run") });
    }
}

#[track_caller]
fn assert_opens(server: &Server, request: &[u8]) {
    let mut socket = TcpStream::connect(server.address()).expect("the server accepts");
    socket.set_read_timeout(Some(SOON)).expect("a time-out");
    socket.write_all(request).expect("the server takes a request");
    // The answer, and the message that says that the session is ready.
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).expect("the server answers");
    assert_eq!(&answer, b"HTTP/1.1 101");
    let mut rest = Vec::new();
    while !rest.windows(7).any(|window| window == b"Success") {
        let count = socket.read(&mut answer).expect("the session ends");
        assert!(count > 0, "cut behind {:?}", String::from_utf8_lossy(&rest));
        rest.extend_from_slice(&answer[..count]);
    }
}
