mod transport;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use strait::bridge::Side;
use strait::http::{HeadScanner, Request, Response};
use strait_embassy::{Ended, Options, PassEnd, PassedOn, serve};

use self::transport::{Dialer, Switch, Wires};
use crate::script::Script;

/// A connection of a client through the whole gateway of `strait-embassy`, from its first byte to its last, act by act. The
/// low half of the first byte of an act says what, the high half how; bit 3 of that is the side, 0 upstream.
///
/// | low half | act | high half | arguments |
/// |---|---|---|---|
/// | 0 | the client sends a request, as one does | which | - |
/// | 1 | upstream sends an answer, as one does | which | - |
/// | 2 | a peer sends what follows | side | length u8, bytes |
/// | 3 | a peer sends so many bytes | side | length u16 |
/// | 4 | a peer ends its half | side | - |
/// | 5 | the gateway runs, and may write so much to each peer | - | length u16 |
/// | 6 | upstream cannot be reached from now on | - | - |
/// | 7 | the gateway shuts down | - | - |
///
/// When the acts are over, both peers take everything, and end their halves. Then no clock is needed for the end.
///
/// # Panics
/// If the gateway does not end then, or if a peer gets what it must not.
pub fn gateway(data: &[u8]) {
    play_gateway(data);
}

/// What a client may ask, without the blank line.
const REQUESTS: [&str; 8] = [
    "GET /api/v1/namespaces/n/pods/p/exec?command=sh&stdin=true&stdout=true&stderr=true HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io",
    "GET /api/v1/namespaces/n/pods/p/exec?command=sh&stdin=true&stdout=true&tty=true HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: base64.channel.k8s.io",
    "POST /api/v1/namespaces/n/pods/p/exec?command=sh&stdout=true HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0",
    "GET /api/v1/namespaces/n/pods/p/portforward HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io",
    "GET /api/v1/namespaces/n/pods/p/portforward?ports=80&ports=443 HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io",
    "GET /version HTTP/1.1\r\nHost: gw\r\nUser-Agent: kubectl",
    "PUT /api/v1/thing HTTP/1.1\r\nHost: gw\r\nContent-Length: 300",
    "POST /exec HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked",
];

/// What upstream may answer.
const ANSWERS: [&str; 8] = [
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io",
    "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 60",
    "HTTP/1.1 200 OK\r\nContent-Length: 500",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
    "HTTP/1.1 500 Internal Server Error\r\nConnection: close",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1",
    "HTTP/1.1 204 No Content",
];

/// Bytes of each direction's memory.
const MEMORY: usize = 2048;

/// Polls that a rest of a connection may take.
const POLLS: usize = 100_000;

/// Like [`gateway`]; tells what became of the connection.
///
/// # Panics
/// As [`gateway`].
pub fn play_gateway(data: &[u8]) -> Ended {
    let mut script = Script(data);
    let wires = Wires::default();
    let (mut client, mut upstream) = (wires.end_of(Side::Client), Dialer::new(&wires));
    let (mut up, mut down) = (vec![0xee; MEMORY], vec![0xee; MEMORY]);
    let mut options = Options::insecure_plaintext("upstream:10250");
    options.authorization = Some(b"Bearer gateway");
    let stop = Switch::default();
    let mut serving =
        pin!(serve(&mut client, None, &mut upstream, (&mut up, &mut down), &options, stop.clone()));
    let mut context = Context::from_waker(Waker::noop());
    let mut ended = None;
    while let Some((what, how)) = script.act() {
        let side = if how & 8 == 0 { Side::Upstream } else { Side::Client };
        let which = usize::from(how % 8);
        match what {
            0 => wires.send(Side::Client, &[REQUESTS[which].as_bytes(), b"\r\n\r\n"].concat()),
            1 => wires.send(Side::Upstream, &[ANSWERS[which].as_bytes(), b"\r\n\r\n"].concat()),
            2 => wires.send(side, script.counted()),
            3 => wires.send_some(side, script.number().into()),
            4 => wires.end(side),
            5 => {
                wires.allow(script.number().into());
                if ended.is_none()
                    && let Poll::Ready(how) = serving.as_mut().poll(&mut context)
                {
                    ended = Some(how);
                }
            }
            6 => wires.refuse(),
            7 => stop.set(),
            _ => {}
        }
    }
    wires.allow(usize::MAX);
    wires.end(Side::Client);
    wires.end(Side::Upstream);
    for _ in 0..POLLS {
        if ended.is_some() {
            break;
        }
        if let Poll::Ready(how) = serving.as_mut().poll(&mut context) {
            ended = Some(how);
        }
    }
    let ended = ended.expect("a connection whose peers have ended ends");
    check(&wires, &ended);
    ended
}

fn check(wires: &Wires, ended: &Ended) {
    let (client_got, upstream_got) = (wires.got(Side::Client), wires.got(Side::Upstream));
    // The answer to a plain request is upstream's, and passed on unread.
    let is_passed = matches!(ended, Ended::Plain(_)) && wires.has_sent(Side::Upstream, &client_got);
    let answer = head(&client_got).filter(|_| !is_passed).map(|end| {
        Response::<64>::parse(&client_got[..end]).expect("the client gets a sound answer");
        &client_got[end..]
    });
    assert!(answer.is_some() || is_passed || client_got.is_empty(), "an answer without an end");
    let request = head(&upstream_got).map(|end| {
        let request = Request::<64>::parse(&upstream_got[..end]).expect("upstream gets a sound request");
        assert_eq!(request.headers.get("Host"), Some(&b"upstream:10250"[..]));
        assert_eq!(request.headers.get("Authorization"), Some(&b"Bearer gateway"[..]));
        (request.body(), &upstream_got[end..])
    });
    assert!(request.is_some() || upstream_got.is_empty(), "a request without an end");
    match *ended {
        Ended::PassedOn(PassedOn { end: PassEnd::Complete, .. }) => {
            let (_, behind) = request.expect("upstream was asked");
            assert!(behind == wires.sent_behind_head(Side::Client), "the client's bytes");
            let answer = answer.expect("upstream has answered");
            assert!(answer == wires.sent_behind_head(Side::Upstream), "upstream's bytes");
        }
        Ended::Plain(_) => {
            let behind = request.map_or(0, |(_, behind)| behind.len());
            assert!(behind <= 300, "{behind} bytes behind the request that was looked at");
        }
        Ended::Refused(status) => {
            let begins = client_got.starts_with(format!("HTTP/1.1 {status} ").as_bytes());
            assert!(begins, "refused with {status}: {:?}", String::from_utf8_lossy(&client_got));
        }
        Ended::Left => {}
        Ended::Session(_) | Ended::PassedOn(_) => {
            assert!(client_got.starts_with(b"HTTP/1.1 101 "), "a session begins with its upgrade");
        }
    }
}

/// Where the head of a message ends.
fn head(bytes: &[u8]) -> Option<usize> {
    HeadScanner::new(usize::MAX).scan(bytes).ok().flatten()
}
