use strait::k8s::{Channel, Ports, StreamSet, Subprotocol};
use strait::leg::{
    Event, Framing, LegError, RawLeg, SpdyLeg, SpdyPorts, TunnelLeg, Tunnelled, WebSocketLeg, WebSocketPorts,
};
use strait::spdy::Inflate;
use strait::ws::MaskKeys;
use strait::{Limits, Step};

use crate::pieces::{Cuts, deliver};

/// The longest header of a frame inside that of another one, and what is kept of a message until it is whole.
const MOST_KEPT: usize = 160;

/// What a peer sends to any leg, whole and cut: the same events, answers and error must come of it. In front of an error there may be
/// fewer answers where more came at once: a leg in a tunnel looks at what comes behind a frame before it has all of that.
///
/// The first byte is the leg, the second the cuts.
///
/// # Panics
/// If they do not, or if the leg breaks its contract.
pub fn leg_receiver(data: &[u8]) {
    let &[which, cuts, ref wire @ ..] = data else { return };
    let whole = receive(&mut *leg(which), &mut Cuts::None, wire);
    let cut = receive(&mut *leg(which), &mut Cuts::new(cuts), wire);
    let (events, answers, result) = &whole;
    assert_eq!((events, result), (&cut.0, &cut.2), "whole and cut");
    let is_less = result.is_err() && (answers.starts_with(&cut.1) || cut.1.starts_with(answers));
    assert!(is_less || *answers == cut.1, "answers, whole and cut: {answers:?} {:?}", cut.1);
}

fn leg(which: u8) -> Box<dyn Framing> {
    const WEBSOCKET: [Subprotocol; 6] = [
        Subprotocol::V5,
        Subprotocol::V4,
        Subprotocol::V1,
        Subprotocol::None,
        Subprotocol::V4Base64,
        Subprotocol::V1Base64,
    ];
    const SPDY: [Subprotocol; 4] = [Subprotocol::V4, Subprotocol::V3, Subprotocol::V2, Subprotocol::V1];
    let limits = &Limits::HOST;
    let keys = MaskKeys::new([9; 16]);
    let set = StreamSet { stdin: true, stdout: true, stderr: false, tty: true };
    let ports = || SpdyPorts::<4>::client(Ports::one(80), limits);
    match which % 27 {
        at @ 0..6 => Box::new(WebSocketLeg::server(WEBSOCKET[usize::from(at)], limits)),
        at @ 6..12 => Box::new(WebSocketLeg::client(WEBSOCKET[usize::from(at - 6)], limits, keys)),
        at @ 12..16 => Box::new(SpdyLeg::client(set, SPDY[usize::from(at - 12)], limits)),
        at @ 16..20 => {
            let inflate = Inflate::<32_768>::new();
            Box::new(SpdyLeg::server(set, SPDY[usize::from(at - 16)], limits, inflate))
        }
        20 => Box::new(TunnelLeg::server(limits)),
        21 => Box::new(TunnelLeg::client(limits, keys)),
        22 => Box::new(ports()),
        23 => Box::new(Tunnelled::<_, MaskKeys>::client(ports(), limits, keys)),
        24 => Box::new(WebSocketPorts::server(Subprotocol::V4, limits)),
        25 => Box::new(WebSocketPorts::server(Subprotocol::V4Base64, limits)),
        _ => Box::new(RawLeg::new()),
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    /// Payload of one channel that adjoins.
    Data(Channel, Vec<u8>),
    Event(Event),
}

/// What came of it: events, what the leg has answered, and its error.
type Result = (Vec<Seen>, Vec<u8>, std::result::Result<(), LegError>);

fn receive(leg: &mut dyn Framing, cuts: &mut Cuts, wire: &[u8]) -> Result {
    let mut seen: Vec<Seen> = vec![];
    let mut answers = vec![];
    write(leg, &mut answers);
    let result = deliver(wire, cuts, MOST_KEPT, |input| {
        loop {
            let Step { consumed, event } = leg.receive(input)?;
            let is_event = event.is_some();
            match (event, seen.last_mut()) {
                (None, _) => {}
                (Some(Event::Data { channel, range }), last) => {
                    assert!(!range.is_empty() && range.end <= consumed, "a piece of what was consumed");
                    let piece = &input[range];
                    match last {
                        Some(Seen::Data(of, payload)) if *of == channel => payload.extend_from_slice(piece),
                        _ => seen.push(Seen::Data(channel, piece.to_vec())),
                    }
                }
                (Some(event), _) => seen.push(Seen::Event(event)),
            }
            write(leg, &mut answers);
            match consumed {
                // One more event of the bytes of the last one.
                0 if is_event => {}
                0 => return Ok(None),
                _ => return Ok(Some(consumed)),
            }
        }
    });
    if result.is_err() {
        // How much is reported in front of an error depends on the cuts.
        seen.pop_if(|last| matches!(last, Seen::Data(..)));
    }
    (seen, answers, result)
}

fn write(leg: &mut dyn Framing, answers: &mut Vec<u8>) {
    while !leg.pending().is_empty() {
        answers.extend_from_slice(leg.pending());
        leg.sent(leg.pending().len());
    }
}
