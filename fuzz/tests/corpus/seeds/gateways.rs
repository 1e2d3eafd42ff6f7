//! Connections through the whole gateway, act by act: the table stands in `strait_fuzz::gateway`'s documentation.

use super::Seeds;
use super::sessions::with_number;

const CLIENT: u8 = 0x80;

/// Which request a client sends.
const EXEC: u8 = 0x00;
const TERMINAL: u8 = 0x10;
const SPDY: u8 = 0x20;
const TUNNEL: u8 = 0x30;
const PORTS: u8 = 0x40;
const GET: u8 = 0x50;
const PUT: u8 = 0x60;
const CHUNKED: u8 = 0x70;

/// Which answer upstream sends.
const ACCEPTED: u8 = 0x01;
const FORWARDS: u8 = 0x11;
const FORBIDDEN: u8 = 0x21;
const FOUND: u8 = 0x31;
const FAILED: u8 = 0x51;

fn run() -> Vec<u8> {
    with_number(5, 5000)
}

fn says(side: u8, bytes: &[u8]) -> Vec<u8> {
    [&[2 | side, bytes.len() as u8], bytes].concat()
}

/// The replies to the streams of a session, by the header writer of the engine.
fn replies(streams: u32) -> Vec<u8> {
    let mut writer = strait::spdy::HeaderWriter::new();
    let mut bytes = vec![];
    for stream in 0..streams {
        let id = strait::spdy::StreamId::new(2 * stream + 1).expect("an odd number");
        let mut frame = [0; 64];
        let length = writer.syn_reply(id, &mut frame).expect("a short frame");
        bytes.extend_from_slice(&frame[..length]);
    }
    bytes
}

/// Output on stream 5, a status on stream 1, and the end of both.
const ENDING: &[u8] = b"\0\0\0\x05\0\0\0\x05hello\0\0\0\x05\x01\0\0\0\0\0\0\x07\x01\0\0\0\0\0\0\x01\x01\0\0\x14{\"status\":\"Success\"}";

/// `abc` on stdin, and its end in v5.
const INPUT: &[u8] = b"\x82\x84\0\0\0\0\0abc\x82\x82\0\0\0\0\xff\0";

pub(super) fn all() -> Seeds {
    let exec =
        [&[EXEC][..], &run(), &[ACCEPTED], &says(0, &replies(4)), &says(CLIENT, INPUT), &run()].concat();
    let forward = |request: u8| [&[request][..], &run(), &[FORWARDS], &run()].concat();
    let seeds: [(&str, Vec<u8>); 16] = [
        ("exec", [&exec[..], &says(0, ENDING), &run()].concat()),
        ("exec_cut", [&exec[..], &[4], &run()].concat()),
        ("exec_refused", [&[EXEC][..], &run(), &[FORBIDDEN], &with_number(3, 60), &run()].concat()),
        ("exec_unreachable", [&[6, EXEC][..], &run()].concat()),
        ("exec_shut_down", [&exec[..], &[7], &run()].concat()),
        ("terminal", [&[TERMINAL][..], &run(), &[ACCEPTED], &says(0, &replies(4)), &run()].concat()),
        (
            "passed_on",
            [&[SPDY][..], &run(), &[ACCEPTED], &with_number(3, 3000), &with_number(3 | CLIENT, 5000), &run()]
                .concat(),
        ),
        (
            "tunnel",
            [&forward(TUNNEL)[..], &says(CLIENT, b"\x82\x83\0\0\0\0abc"), &with_number(3, 300)].concat(),
        ),
        (
            "ports",
            [&forward(PORTS)[..], &says(CLIENT, b"\x82\x84\0\0\0\0\0abc"), &says(0, &replies(4)), &run()]
                .concat(),
        ),
        // More than there is memory for.
        (
            "forward_refused_at_length",
            [&[TUNNEL][..], &run(), &[FAILED], &with_number(3, 3000), &run(), &[4], &run()].concat(),
        ),
        // Upstream's end and what ends the session are read in one round.
        (
            "both_end_in_one_round",
            [&forward(PORTS)[..], &says(CLIENT, b"GET"), &says(0, &replies(3)[..40]), &[4], &run()].concat(),
        ),
        ("plain", [&[GET][..], &run(), &[FOUND], &with_number(3, 500), &run(), &[4], &run()].concat()),
        ("body", [&[PUT][..], &with_number(3 | CLIENT, 400), &run(), &[FOUND, 4], &run()].concat()),
        ("chunked", [&[CHUNKED][..], &run()].concat()),
        ("no_http", [&says(CLIENT, b"\x16\x03\x01")[..], &run()].concat()),
        ("slow_writes", [&exec[..], &with_number(5, 7), &says(0, ENDING), &with_number(5, 3)].concat()),
    ];
    seeds.into_iter().map(|(name, seed)| (name.to_owned(), seed)).collect()
}
