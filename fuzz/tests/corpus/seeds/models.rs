//! Sessions between our own ends, act by act: the table stands in `strait_fuzz::session_model`'s source.

use super::Seeds;
use super::sessions::{CLIENT, CONNECT, SETTLE, read, translate, with_number, write};

const ALL: u8 = 7;
const TTY: u8 = 1 | 2 | 8;

fn session(client: u8, upstream: u8, streams: u8, memory: u8, acts: &[&[u8]]) -> Vec<u8> {
    [&[client, upstream, streams, memory], acts.concat().as_slice()].concat()
}

pub(super) fn all() -> Seeds {
    let mut seeds = Seeds::new();
    let input = [with_number(0, 5), with_number(0x40, 900), vec![1]].concat();
    let output = [with_number(5, 700), with_number(0x15, 300), with_number(0x45, 1000)].concat();
    let size = [with_number(2, 80), vec![24, 0]].concat();
    let ending = [6, 0x16, 7 | 1 << 4, 0x26, 8];
    // Each client and each upstream.
    for client in 0..10 {
        let acts: [&[u8]; 7] = [CONNECT, SETTLE, &input, &output, SETTLE, &ending, SETTLE];
        let upstream = client % 9;
        seeds.insert(format!("pair.{client}.{upstream}"), session(client, upstream, ALL, client, &acts));
    }
    let in_pieces =
        [read(0, 9), translate(0), write(CLIENT, 7), read(CLIENT, 30), translate(CLIENT), write(0, 11)]
            .concat();
    let acts: [(&str, Vec<u8>); 7] = [
        ("terminal", session(0, 0, TTY, 0, &[CONNECT, SETTLE, &size, SETTLE, &size, &output, SETTLE])),
        (
            "pieces",
            session(1, 5, ALL, 1, &[CONNECT, SETTLE, &input, &output, &in_pieces, &in_pieces, SETTLE]),
        ),
        ("client_closes", session(0, 0, ALL, 0, &[CONNECT, SETTLE, &input, SETTLE, &output, &[4], SETTLE])),
        ("upstream_is_lost", session(2, 0, ALL, 0, &[CONNECT, SETTLE, &output, SETTLE, &[0x1e], SETTLE])),
        ("client_is_lost", session(6, 4, ALL, 0, &[CONNECT, SETTLE, &output, SETTLE, &[0x9e], SETTLE])),
        ("text_status", session(5, 7, ALL, 0, &[CONNECT, SETTLE, &[0x57, 8], SETTLE])),
        ("heartbeats", session(6, 8, ALL, 0, &[CONNECT, SETTLE, &[3, 0x83, 0x83, 3], SETTLE, &output])),
    ];
    seeds.extend(acts.map(|(name, seed)| (name.to_owned(), seed)));
    seeds
}
