//! Port-forwards, act by act: the table stands in `strait_fuzz::ports_bridge`'s source.

use super::Seeds;
use super::sessions::{CLIENT, CONNECT, SETTLE, after, read, translate, with_number, write};

/// Ports less one, and base64.
const ONE: u8 = 0;
const TWO: u8 = 1;
const FOUR: u8 = 3;
const BASE64: u8 = 4;

const UPSTREAM: u8 = 0;
const ACCEPT: &[u8] = &[0x85];
const FIN: u8 = 4;

fn input(port: u8, len: u16) -> Vec<u8> {
    with_number(port << 4, len)
}

fn output(port: u8, len: u16) -> Vec<u8> {
    with_number(6 | port << 4, len)
}

fn text(port: u8, len: u8) -> Vec<u8> {
    vec![7 | port << 4, len]
}

fn reset(place: u8) -> Vec<u8> {
    vec![8 | place << 4]
}

fn forward(shape: u8, memory: u8, acts: &[&[u8]]) -> Vec<u8> {
    [&[shape, memory], acts.concat().as_slice()].concat()
}

pub(super) fn all() -> Seeds {
    let both_ways = [
        input(0, 5),
        output(1, 6),
        input(1, 2400),
        vec![0x02, 5],
        vec![0x09],
        output(0, 30_000),
        input(0, 3000),
        output(1, 40_000),
    ]
    .concat();
    let small = [input(0, 1), output(0, 1), input(0, 2), output(0, 3), vec![0x02, 0]].concat();
    let step_by_step = [
        read(CLIENT, 7),
        translate(CLIENT),
        write(UPSTREAM, 3),
        read(UPSTREAM, 9),
        translate(UPSTREAM),
        write(CLIENT, 1),
    ]
    .concat();
    let running = [CONNECT, ACCEPT].concat();
    let seeds: Vec<(&str, Vec<u8>)> = vec![
        ("both_ways", forward(TWO, 0, &[&running, &both_ways, SETTLE])),
        ("base64", forward(TWO | BASE64, 3, &[&running, &both_ways, SETTLE])),
        ("four_ports_in_little_memory", forward(FOUR, 1, &[&running, &both_ways, &input(3, 900), SETTLE])),
        ("before_acceptance", forward(TWO, 0, &[&both_ways, CONNECT, SETTLE, &[0x05, 0x15], SETTLE, ACCEPT])),
        (
            "small_pieces",
            forward(ONE | BASE64, 2, &[&running, &small, &step_by_step, &small, &step_by_step, SETTLE]),
        ),
        (
            "ports_end",
            forward(
                TWO,
                0,
                &[&running, &output(FIN, 9), &text(FIN, 0), SETTLE, &after(1000), SETTLE, &output(1, 7)],
            ),
        ),
        ("error_text", forward(TWO, 0, &[&running, &text(0, 80), &text(1, 20), &text(FIN, 200), SETTLE])),
        (
            "all_reset",
            forward(TWO, 1, &[&running, &small, SETTLE, &reset(0), &reset(1), &reset(2), &reset(3), SETTLE]),
        ),
        ("refused", forward(TWO, 0, &[&both_ways, SETTLE, &[0x5e], SETTLE])),
        ("not_accepted", forward(TWO, 0, &[CONNECT, &[0x05], SETTLE, &after(30_000), SETTLE])),
        ("goaway", forward(TWO, 0, &[&running, &small, SETTLE, &[0x39], SETTLE])),
        ("client_closes", forward(TWO, 0, &[&running, &both_ways, SETTLE, &[0x03], SETTLE])),
        ("client_lost", forward(TWO, 0, &[&running, &both_ways, &[0xae], SETTLE])),
        ("client_breaks_protocol", forward(TWO, 0, &[&running, &[0x04, 2, 0x82, 0x05], SETTLE])),
        (
            "upstream_breaks_protocol",
            forward(TWO, 0, &[&running, &[0x0a, 8, 0x80, 2, 0, 1, 0, 0, 0, 0], SETTLE]),
        ),
        ("other_channels", forward(TWO, 0, &[&running, &[0x01, 1, 9], &[0x01, 9, 9], &small, SETTLE])),
        ("shutdown", forward(TWO, 0, &[&running, &small, &[0x4e], SETTLE, &after(10_000), SETTLE])),
    ];
    seeds.into_iter().map(|(name, seed)| (name.to_owned(), seed)).collect()
}
