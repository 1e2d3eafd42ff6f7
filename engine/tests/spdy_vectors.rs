//! The SPDY/3.1 vectors: what Kubernetes components write is read, what is written is byte-exact, and what
//! they refuse is refused.

mod vectors;

use strait::spdy::frame::{data_header, goaway, ping, rst_stream};
use strait::spdy::{
    ConnectionError, Event, FrameError, GoawayStatus, HeaderBlockError, HeaderWriter, Inflate, Receiver,
    RstStatus, StreamId,
};
use strait::{Limits, Role};
use vectors::Vector;

type Headers = Vec<(String, String)>;

fn receiver() -> Receiver<Inflate> {
    Receiver::new(Role::Server, &Limits::HOST, Inflate::new())
}

fn id(number: u64) -> StreamId {
    StreamId::new(number as u32).expect("a stream id")
}

/// Everything that happens when the bytes arrive in pieces of `piece`; DATA is joined to one event.
fn run(
    receiver: &mut Receiver<Inflate>,
    bytes: &[u8],
    piece: usize,
) -> Result<Vec<(Event, Headers, Vec<u8>)>, ConnectionError> {
    let mut seen: Vec<(Event, Headers, Vec<u8>)> = vec![];
    let mut buffer = vec![];
    for part in bytes.chunks(piece) {
        buffer.extend(part);
        loop {
            let step = receiver.receive(&buffer)?;
            let headers = receiver.headers();
            let text = |value| String::from_utf8(Vec::from(value)).expect("values are text");
            let headers = headers.iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
            match (step.event, seen.last_mut()) {
                (Some(Event::Data { stream, range, fin, last }), before) => {
                    let mut payload = buffer[range].to_vec();
                    if let Some((Event::Data { last: false, .. }, _, _)) = before {
                        let (_, _, begun) = seen.pop().expect("a piece");
                        payload = [begun, payload].concat();
                    }
                    let range = 0..payload.len();
                    seen.push((Event::Data { stream, range, fin, last }, vec![], payload));
                }
                (Some(event), _) => seen.push((event, headers, vec![])),
                (None, _) if step.consumed == 0 => break,
                (None, _) => {}
            }
            buffer.drain(..step.consumed);
        }
    }
    assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
    Ok(seen)
}

fn headers_of(vector: &Vector) -> Headers {
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    vector.list("headers").iter().map(|header| (text(&header[0]), text(&header[1]))).collect()
}

/// The sequences of header frames, each in the order of its compression context.
fn sequences() -> Vec<Vec<Vector>> {
    let mut sequences: Vec<Vec<Vector>> = vec![];
    for vector in vectors::all() {
        if !vector.has("seq") {
            continue;
        }
        match sequences.iter_mut().find(|sequence| sequence[0].text("seq") == vector.text("seq")) {
            Some(sequence) => sequence.push(vector),
            None => sequences.push(vec![vector]),
        }
    }
    for sequence in &mut sequences {
        sequence.sort_by_key(|vector| vector.number("pos"));
    }
    sequences
}

#[test]
fn sequences_of_header_frames_are_read_in_one_context_whatever_the_pieces() {
    let sequences = sequences();
    assert_eq!(sequences.iter().map(Vec::len).sum::<usize>(), 20);
    for sequence in sequences {
        for piece in 1..90 {
            let mut receiver = receiver();
            for vector in &sequence {
                let stream = id(vector.number("stream_id"));
                let expected = if vector.id().starts_with("spdy.reply") {
                    Event::SynReply { stream, fin: false }
                } else {
                    Event::SynStream { stream, associated: 0, fin: false, unidirectional: false }
                };
                let seen = run(&mut receiver, &vector.bytes("hex"), piece);
                assert_eq!(seen, Ok(vec![(expected, headers_of(vector), vec![])]), "{}", vector.id());
            }
        }
    }
}

#[test]
fn stored_sequences_are_written_byte_for_byte() {
    let mut written = 0;
    for sequence in sequences() {
        if !sequence[0].id().ends_with(".stored") {
            continue;
        }
        let mut writer = HeaderWriter::new();
        for vector in sequence {
            let stream = id(vector.number("stream_id"));
            let headers = headers_of(&vector);
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut out = [0; 256];
            let length = if vector.id().starts_with("spdy.reply") {
                writer.syn_reply(stream, &mut out)
            } else {
                writer.syn_stream(stream, false, &headers, &mut out)
            };
            let length = length.expect("there is room");
            assert_eq!(out[..length], vector.bytes("hex"), "{}", vector.id());
            written += 1;
        }
    }
    assert_eq!(written, 8);
}

#[test]
fn other_frames_are_read_and_written_byte_for_byte() {
    let cancel = |stream| (RstStatus::CANCEL, id(stream));
    let reset =
        |(status, stream)| (vec![Event::RstStream { stream, status }], rst_stream(stream, status).to_vec());
    let data = |stream, fin, payload: &[u8]| {
        let event = Event::Data { stream: id(stream), range: 0..payload.len(), fin, last: true };
        (vec![event], [&data_header(id(stream), fin, payload.len() as u32)[..], payload].concat())
    };
    let gone = |last_good: Option<StreamId>| {
        let status = GoawayStatus::OK;
        (vec![Event::GoAway { last_good, status }], goaway(last_good, status).to_vec())
    };
    for vector in vectors::all() {
        if !vector.id().starts_with("spdy.") || vector.has("seq") {
            continue;
        }
        let hex = vector.bytes("hex");
        let (events, written) = match vector.id() {
            "spdy.data.stdin" => data(3, false, b"abc\n"),
            "spdy.data.fin" => data(3, true, b""),
            "spdy.data.fin.payload" => data(5, true, b"bye"),
            "spdy.rst.cancel" => reset(cancel(1)),
            "spdy.rst.refused" => reset((RstStatus::REFUSED_STREAM, id(7))),
            "spdy.rst.protocol" => reset((RstStatus::PROTOCOL_ERROR, id(1))),
            "spdy.ping.client1" => (vec![Event::Ping { id: 1 }], ping(1).to_vec()),
            "spdy.ping.server2" => (vec![Event::PingReply { id: 2 }], ping(2).to_vec()),
            "spdy.goaway.client" => gone(None),
            "spdy.goaway.server9" => gone(Some(id(9))),
            // Never written.
            "spdy.settings.ignored" | "spdy.window_update.ignored" => (vec![], hex.clone()),
            other => panic!("{other}: no test for this vector"),
        };
        assert_eq!(written, hex, "{}", vector.id());
        for piece in 1..=hex.len() {
            let seen = run(&mut receiver(), &hex, piece).expect("a good frame");
            let seen: Vec<_> = seen
                .into_iter()
                .map(|(event, _, payload)| {
                    assert!(hex.ends_with(&payload));
                    event
                })
                .collect();
            assert_eq!(seen, events, "{}", vector.id());
        }
    }
}

#[test]
fn what_upstream_refuses_is_refused_and_named() {
    let mut refused = 0;
    for vector in vectors::all() {
        // Upstream closes on NOOP; here a frame of an unknown type is skipped.
        if !vector.id().starts_with("neg.") || vector.id() == "neg.noop" {
            continue;
        }
        // What upstream said, what we say, and at which byte the refused frame begins.
        let block = FrameError::HeaderBlock;
        let (expect, error, frame) = match vector.id() {
            "neg.uppercase" => (
                "header was not lowercased",
                block(HeaderBlockError::NameNotLowerCase { header: 0, byte: b'T' }),
                0,
            ),
            // Upstream notices with the second frame, which cannot be read: this is said of the first.
            "neg.two_frames_partial_flush" => {
                ("compressed payload size was incorrect", block(HeaderBlockError::NotFlushed), 0)
            }
            "neg.fresh_context" => ("flate: corrupt input", block(HeaderBlockError::Corrupt), 49),
            "neg.dictid" => ("zlib: invalid dictionary", block(HeaderBlockError::Dictionary { id: 0 }), 0),
            "neg.host" => {
                ("frame contained invalid header", block(HeaderBlockError::ForbiddenName { name: "host" }), 0)
            }
            "neg.settings_count" => {
                ("invalid control frame", FrameError::SettingsCount { count: 0x1000_0000, length: 4 }, 0)
            }
            "neg.header_count" => (
                "invalid control frame",
                block(HeaderBlockError::TooManyHeaders { count: 1001, limit: 64 }),
                0,
            ),
            "neg.header_size" => {
                let error = HeaderBlockError::HeaderTooLong { header: 0, length: 1_048_577, limit: 4096 };
                ("invalid control frame", block(error), 0)
            }
            other => panic!("{other}: no test for this vector"),
        };
        assert_eq!(vector.text("expect"), expect, "{}", vector.id());
        let hex = vector.bytes("hex");
        for piece in 1..=hex.len() {
            let found = run(&mut receiver(), &hex, piece).map(|_| "accepted");
            assert_eq!(found, Err(ConnectionError { frame, error }), "{} in pieces of {piece}", vector.id());
        }
        refused += 1;
    }
    assert_eq!(refused, 8);
}

#[test]
fn errors_name_what_was_wrong() {
    let said = |error: FrameError| ConnectionError { frame: 7, error }.to_string();
    let block = |error| said(FrameError::HeaderBlock(error));
    let sentences = [
        (
            block(HeaderBlockError::NameNotLowerCase { header: 0, byte: b'T' }),
            "header 0: byte 0x54 in a name is not lower-case ASCII",
        ),
        (block(HeaderBlockError::NotFlushed), "does not end with a sync flush"),
        (block(HeaderBlockError::Corrupt), "corrupt deflate data"),
        (block(HeaderBlockError::Dictionary { id: 0 }), "unknown zlib dictionary 00000000"),
        (block(HeaderBlockError::ForbiddenName { name: "host" }), "forbidden header host"),
        (block(HeaderBlockError::TooManyHeaders { count: 1001, limit: 64 }), "1001 headers are more than 64"),
        (said(FrameError::SettingsCount { count: 9, length: 4 }), "SETTINGS announces 9 entries in 4 bytes"),
    ];
    for (sentence, part) in sentences {
        assert!(sentence.starts_with("SPDY frame at byte 7: "), "{sentence}");
        assert!(sentence.contains(part), "{sentence}");
    }
}
