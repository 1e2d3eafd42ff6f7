use strait::spdy::frame::MAX_LENGTH;
use strait::spdy::{
    ConnectionError, Event, HeaderBlocks, Inflate, MIN_INPUT, Receiver, SkipBlocks, StreamId,
};
use strait::{Limits, Role, Step};

use crate::pieces::{Cuts, deliver};

/// What a SPDY peer sends, whole and cut: the same frames, headers and error must come out.
///
/// # Panics
/// If they do not, or if the receiver breaks its contract.
pub fn spdy_receiver(data: &[u8]) {
    let &[options, cuts, ref wire @ ..] = data else { return };
    let cuts = || Cuts::new(cuts);
    let whole = read(options, &mut Cuts::None, wire, Inflate::<32_768>::new());
    let cut = read(options, &mut cuts(), wire, Inflate::<32_768>::new());
    assert_eq!(whole, cut, "whole and cut");

    let small = read(options, &mut cuts(), wire, Inflate::<2048, 512>::new());
    assert!(small.1.is_err() || small == whole, "a small window refuses or reads the same");

    let skipped = read(options, &mut cuts(), wire, SkipBlocks);
    let frames = |seen: &[Seen]| seen.iter().map(Seen::without_headers).collect::<Vec<_>>();
    assert!(frames(&skipped.0).starts_with(&frames(&whole.0)), "the frames are the same without headers");
}

#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Data { stream: StreamId, payload: Vec<u8>, fin: bool, last: bool },
    Frame(Event, Vec<(String, Vec<u8>)>),
}

impl Seen {
    fn without_headers(&self) -> Self {
        match self {
            Self::Frame(event, _) => Self::Frame(event.clone(), vec![]),
            data @ Self::Data { .. } => data.clone(),
        }
    }
}

fn read<B: HeaderBlocks>(
    options: u8,
    cuts: &mut Cuts,
    wire: &[u8],
    blocks: B,
) -> (Vec<Seen>, Result<(), ConnectionError>) {
    let role = if options & 1 == 0 { Role::Server } else { Role::Client };
    let limits = if options & 2 == 0 { Limits::HOST } else { Limits::MICROCONTROLLER };
    let mut receiver = Receiver::new(role, &limits, blocks);
    let mut seen: Vec<Seen> = vec![];
    let result: Result<(), ConnectionError> = deliver(wire, cuts, MIN_INPUT - 1, |input| {
        let Step { consumed, event } = receiver.receive(input)?;
        match event {
            None => return Ok((consumed > 0).then_some(consumed)),
            Some(Event::Data { stream, range, fin, last }) => {
                let piece = &input[..consumed][range];
                assert!(!fin || last, "an end before the end of the frame");
                join(&mut seen, stream, piece, fin, last);
            }
            Some(event) => {
                let headers = receiver.headers().iter();
                let headers = headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
                seen.push(Seen::Frame(event, headers));
            }
        }
        Ok(Some(consumed))
    });
    if let Err(error) = result {
        assert!(error.frame <= wire.len() as u64, "the frame lies in the input");
        assert_eq!(receiver.receive(&[0, 0, 0, 1, 0, 0, 0, 0]), Err(error), "errors are final");
    }
    (seen, result)
}

/// Adds a piece of a DATA frame to the frame that it belongs to.
fn join(seen: &mut Vec<Seen>, of: StreamId, piece: &[u8], ends: bool, complete: bool) {
    if let Some(Seen::Data { stream, payload, fin, last: last @ false }) = seen.last_mut() {
        assert_eq!(*stream, of, "a frame changes its stream");
        assert!(!piece.is_empty(), "an empty piece in the middle");
        payload.extend_from_slice(piece);
        assert!(payload.len() <= MAX_LENGTH as usize);
        (*fin, *last) = (ends, complete);
    } else {
        seen.push(Seen::Data { stream: of, payload: piece.to_vec(), fin: ends, last: complete });
    }
}
