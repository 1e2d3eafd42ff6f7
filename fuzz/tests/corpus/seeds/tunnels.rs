//! Tunnels, act by act: the table stands in `strait_fuzz::tunnel_bridge`'s source.

use super::Seeds;
use super::sessions::{CLIENT, CONNECT, SETTLE, after, read, translate, with_number, write};

/// Which ends speak WebSocket.
const CLIENT_ONLY: u8 = 0;
const UPSTREAM_ONLY: u8 = 1;
const BOTH: u8 = 2;

const UPSTREAM: u8 = 0;
const END: &[u8] = &[0x1e];
const CLIENT_ENDS: &[u8] = &[0x9e];

/// Bytes of the stream of a side.
fn data(side: u8, len: u16) -> Vec<u8> {
    with_number(side, len)
}

fn begun(side: u8, len: u16) -> Vec<u8> {
    with_number(side | 0x10, len)
}

fn ping(side: u8, len: u8) -> Vec<u8> {
    vec![side | 1, len]
}

/// A Close: 0 with 1000, 1 without a code, 2 with 1011.
fn close(side: u8, which: u8) -> Vec<u8> {
    vec![side | 2 | which << 4]
}

fn raw(side: u8, bytes: &[u8]) -> Vec<u8> {
    [&[side | 3, bytes.len() as u8], bytes].concat()
}

fn tunnel(ends: u8, memory: u8, acts: &[&[u8]]) -> Vec<u8> {
    [&[ends, memory], acts.concat().as_slice()].concat()
}

pub(super) fn all() -> Seeds {
    let both_ways = [
        data(CLIENT, 5),
        data(UPSTREAM, 6),
        begun(CLIENT, 300),
        data(CLIENT, 3000),
        data(UPSTREAM, 30_000),
        data(UPSTREAM, 40_000),
    ]
    .concat();
    let small = [data(CLIENT, 1), ping(CLIENT, 5), data(CLIENT, 126), data(UPSTREAM, 80), ping(UPSTREAM, 3)];
    let small = [small.concat(), data(UPSTREAM, 1)].concat();
    let step_by_step = [
        read(CLIENT, 7),
        translate(CLIENT),
        write(UPSTREAM, 3),
        read(UPSTREAM, 1),
        translate(UPSTREAM),
        write(CLIENT, 1),
    ]
    .concat();
    let seeds: Vec<(&str, Vec<u8>)> = vec![
        ("client_closes", tunnel(CLIENT_ONLY, 0, &[CONNECT, &both_ways, SETTLE, &close(CLIENT, 0), END])),
        ("raw_client", tunnel(UPSTREAM_ONLY, 1, &[CONNECT, &both_ways, SETTLE])),
        ("two_websockets", tunnel(BOTH, 2, &[&both_ways, CONNECT, SETTLE, &both_ways, &close(UPSTREAM, 0)])),
        ("small_pieces", tunnel(BOTH, 3, &[CONNECT, &small, &step_by_step, &small, &step_by_step, SETTLE])),
        (
            "half_close",
            tunnel(
                CLIENT_ONLY,
                0,
                &[CONNECT, &data(UPSTREAM, 900), END, SETTLE, &data(CLIENT, 300), SETTLE, &close(CLIENT, 0)],
            ),
        ),
        (
            "raw_client_half_closes",
            tunnel(UPSTREAM_ONLY, 0, &[CONNECT, &data(CLIENT, 9), CLIENT_ENDS, SETTLE, &data(UPSTREAM, 900)]),
        ),
        ("refused", tunnel(BOTH, 0, &[&data(CLIENT, 9), SETTLE, &[0x5e], SETTLE])),
        (
            "upstream_closes_with_an_error",
            tunnel(BOTH, 1, &[CONNECT, &small, SETTLE, &close(UPSTREAM, 2), SETTLE]),
        ),
        ("closes_without_a_code", tunnel(CLIENT_ONLY, 1, &[CONNECT, &small, &close(CLIENT, 1), SETTLE])),
        ("client_lost", tunnel(CLIENT_ONLY, 0, &[CONNECT, &small, SETTLE, &[0xae], SETTLE])),
        ("client_ends_without_a_close", tunnel(BOTH, 0, &[CONNECT, &small, CLIENT_ENDS, SETTLE])),
        ("client_breaks_protocol", tunnel(CLIENT_ONLY, 0, &[CONNECT, &raw(CLIENT, b"\x81\x80abcd"), SETTLE])),
        (
            "upstream_breaks_protocol",
            tunnel(UPSTREAM_ONLY, 0, &[CONNECT, &raw(UPSTREAM, b"\x82\x85"), SETTLE]),
        ),
        ("shutdown", tunnel(BOTH, 0, &[CONNECT, &small, &[0x4e], SETTLE, &after(10_000), SETTLE])),
        ("upstream_write_fails", tunnel(BOTH, 0, &[CONNECT, &small, &[0x3e], SETTLE, &data(UPSTREAM, 9)])),
    ];
    seeds.into_iter().map(|(name, seed)| (name.to_owned(), seed)).collect()
}
