use strait::k8s::request::Argument;
use strait::k8s::status::{self, Failure};
use strait::k8s::subprotocol::is_bearer;
use strait::k8s::{Outcome, Ports, ResizeParser, Subprotocol, Target, TerminalSize, Verb, negotiate};

use crate::pieces::Cuts;

/// The texts of Kubernetes: a status, terminal sizes, a request target or an offer of subprotocols.
///
/// # Panics
/// If something that was read and written again does not say the same.
pub fn k8s_text(data: &[u8]) {
    let &[kind, cuts, ref text @ ..] = data else { return };
    match kind % 4 {
        0 => status(text),
        1 => sizes(&mut Cuts::new(cuts), text),
        2 => target(text),
        _ => offer(text),
    }
}

fn status(json: &[u8]) {
    let Ok(outcome) = Outcome::parse(json) else { return };
    let mut room = vec![0; 6 * json.len() + status::MIN_OUT];
    let length = outcome.write(&mut room).expect("there is room for all of it");
    match (outcome, Outcome::parse(&room[..length]).expect("what was written is a status")) {
        (Outcome::Failure(before), Outcome::Failure(after)) => assert_same(before, after),
        // There is no failure with the exit code 0.
        (Outcome::ExitCode(0), after) => assert_eq!(after, Outcome::Success),
        (before, after) => assert_eq!(before, after),
    }
    let mut least = [0; status::MIN_OUT];
    let length = outcome.write(&mut least).expect("the least room is enough");
    assert!(Outcome::parse(&least[..length]).is_ok(), "{}", least[..length].escape_ascii());
}

fn assert_same(before: Failure<'_>, after: Failure<'_>) {
    assert_eq!((before.code, before.message), (after.code, after.message));
    // A reason is one word; a long one is cut.
    assert!(before.reason == after.reason || before.reason.raw().len() > 64);
}

fn sizes(cuts: &mut Cuts, text: &[u8]) {
    let whole = ResizeParser::new().feed(text);
    let mut parser = ResizeParser::new();
    let (mut from, mut newest) = (0, None);
    while from < text.len() {
        let to = cuts.end(from, text.len());
        newest = parser.feed(&text[from..to]).or(newest);
        from = to;
    }
    assert_eq!(newest, whole, "whole and cut");
    let Some(size) = whole else { return };
    assert!(!size.is_zero());
    let mut json = [0; TerminalSize::MAX_WRITTEN];
    let length = size.write(&mut json).expect("the longest size fits");
    assert_eq!(ResizeParser::new().feed(&json[..length]), Some(size));
    assert_eq!(
        parser.feed(b"\n").or_else(|| parser.feed(&json[..length])),
        Some(size),
        "a new line is a new start"
    );
}

fn target(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    let Ok(target) = Target::parse(text) else { return };
    let mut room = vec![0; 2 * text.len() + 64];
    for argument in target.command() {
        let length = argument.decode(&mut room).expect("decoding makes nothing longer");
        assert!(argument.bytes().eq(room[..length].iter().copied()));
    }
    if let Ok(ports) = Ports::<128>::of(&target, Subprotocol::V4) {
        assert!(target.ports().eq(ports.as_slice().iter().copied().map(Ok)));
    }
    let Ok(length) = target.write_kubelet(&mut room) else { return };
    let written = str::from_utf8(&room[..length]).expect("a target is ASCII");
    let kubelet = Target::parse(written).expect("what was written is a target");
    assert_eq!((kubelet.verb, kubelet.namespace, kubelet.pod), (target.verb, target.namespace, target.pod));
    assert_eq!(kubelet.uid, target.uid);
    match target.verb {
        Verb::PortForward => assert!(kubelet.ports().eq(target.ports()), "{written}"),
        Verb::Exec | Verb::Attach => {
            assert_eq!((kubelet.container, kubelet.streams()), (target.container, target.streams()));
        }
    }
    if target.verb == Verb::Exec {
        assert!(kubelet.command().map(Argument::raw).eq(target.command().map(Argument::raw)));
    }
}

fn offer(text: &[u8]) {
    for known in [
        Subprotocol::SPDY_SERVER,
        Subprotocol::WEBSOCKET_SERVER,
        Subprotocol::TRANSLATOR,
        Subprotocol::SPDY_PORT_FORWARD,
        Subprotocol::TUNNEL,
        Subprotocol::WEBSOCKET_PORT_FORWARD,
    ] {
        let lines = || text.split(|&byte| byte == b'\n');
        match negotiate(lines(), known) {
            Ok(chosen) => {
                assert!(known.contains(&chosen) && !is_bearer(chosen.name().as_bytes()));
                let offered =
                    text.windows(chosen.name().len().max(1)).any(|at| at == chosen.name().as_bytes());
                assert!(offered || chosen == Subprotocol::None, "{chosen} was not offered");
            }
            Err(refused) => {
                assert!((400..500).contains(&refused.spdy_status()));
                assert!((400..500).contains(&refused.websocket_status()));
            }
        }
    }
}
