//! Sessions, act by act: the table stands in `strait_fuzz::exec_bridge`'s source.

use super::Seeds;

/// Streams and memory.
const ALL: u8 = 7;
const TTY: u8 = 1 | 2 | 8;
const LARGE: u8 = 0;
const TINY: u8 = 1;
const TWO_SEGMENTS: u8 = 2;
const FOUR_SEGMENTS: u8 = 3;

pub(super) const CONNECT: &[u8] = &[14];
const ACCEPT: &[u8] = &[0x57];
pub(super) const SETTLE: &[u8] = &[0x3d];
pub(super) const CLIENT: u8 = 0x80;

fn input(len: u16) -> Vec<u8> {
    with_number(0, len)
}

fn input_begins(len: u16) -> Vec<u8> {
    with_number(0x10, len)
}

fn stdout(len: u16) -> Vec<u8> {
    with_number(8, len)
}

fn stderr(len: u16) -> Vec<u8> {
    with_number(0x18, len)
}

pub(super) fn read(side: u8, count: u16) -> Vec<u8> {
    with_number(0x1d | side, count)
}

pub(super) fn write(side: u8, count: u16) -> Vec<u8> {
    with_number(0x2d | side, count)
}

pub(super) fn translate(side: u8) -> Vec<u8> {
    vec![0x0d | side]
}

pub(super) fn after(millis: u16) -> Vec<u8> {
    with_number(15, millis)
}

pub(super) fn with_number(act: u8, number: u16) -> Vec<u8> {
    let [low, high] = number.to_le_bytes();
    vec![act, low, high]
}

/// FIN on stdout and stderr, status, reset of the error stream, GOAWAY, and the end of the connection.
fn ending(status: u8) -> Vec<u8> {
    [with_number(0x28, 0), with_number(0x38, 0), vec![9 | status << 4, 0x3a, 0x3b, 0x1e]].concat()
}

fn session(streams: u8, memory: u8, acts: &[&[u8]]) -> Vec<u8> {
    [&[streams, memory], acts.concat().as_slice()].concat()
}

pub(super) fn all() -> Seeds {
    let small_input = [input(1), input(80), vec![0x03, 5], input(126), input(3)].concat();
    let small_output = [stdout(1), stderr(80), vec![0x0b], stdout(126), stdout(4)].concat();
    let seeds: Vec<(&str, Vec<u8>)> = vec![
        (
            "completed",
            session(
                ALL,
                LARGE,
                &[
                    CONNECT,
                    ACCEPT,
                    &input(5),
                    &input_begins(1000),
                    &input(2000),
                    &[4],
                    SETTLE,
                    &stdout(6),
                    &stderr(30_000),
                    &stdout(40_000),
                    SETTLE,
                    &ending(0),
                    SETTLE,
                ],
            ),
        ),
        ("exit_5", session(2, LARGE, &[CONNECT, ACCEPT, SETTLE, &ending(1), SETTLE])),
        ("status_in_pieces", session(2, LARGE, &[CONNECT, ACCEPT, &[0x39, 0x49], &ending(2), SETTLE])),
        ("refused", session(ALL, LARGE, &[&input(3), SETTLE, &[0x5e], SETTLE])),
        (
            "streams_not_accepted",
            session(ALL, LARGE, &[CONNECT, &[7, 0x17], &input(3), SETTLE, &after(30_000)]),
        ),
        (
            "client_closes",
            session(ALL, LARGE, &[CONNECT, ACCEPT, SETTLE, &input(9), &[5], SETTLE, &after(1000)]),
        ),
        (
            "client_lost",
            session(ALL, LARGE, &[CONNECT, ACCEPT, SETTLE, &stdout(9), &[0x2e | CLIENT], SETTLE]),
        ),
        (
            "upstream_write_fails",
            session(ALL, LARGE, &[CONNECT, ACCEPT, SETTLE, &input(9), &[0x3e], &ending(0)]),
        ),
        (
            "upstream_ends_without_status",
            session(ALL, LARGE, &[CONNECT, ACCEPT, &stdout(9), &[0x1e], SETTLE]),
        ),
        (
            "client_breaks_protocol",
            session(ALL, LARGE, &[CONNECT, ACCEPT, &input(9), &[6, 2, 0x82, 1], SETTLE]),
        ),
        (
            "upstream_breaks_protocol",
            session(
                ALL,
                LARGE,
                &[CONNECT, ACCEPT, &stdout(9), &[12, 12, 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 0], SETTLE],
            ),
        ),
        ("shutdown", session(ALL, LARGE, &[CONNECT, ACCEPT, &stdout(9), SETTLE, &[0x4e], SETTLE])),
        (
            "terminal",
            session(
                TTY,
                TWO_SEGMENTS,
                &[
                    &[1, 80, 0, 24, 0],
                    CONNECT,
                    ACCEPT,
                    &[1, 100, 0, 30, 0],
                    &input(1),
                    SETTLE,
                    &[1, 0, 0, 30, 0, 0x44],
                    &stdout(200),
                ],
            ),
        ),
        (
            "size_in_front_of_the_end_of_sizes",
            session(TTY, LARGE, &[CONNECT, ACCEPT, SETTLE, &[1, 80, 0, 24, 0, 0x44], SETTLE]),
        ),
        (
            "interleaved_small",
            session(
                ALL,
                TINY,
                &[
                    CONNECT,
                    ACCEPT,
                    SETTLE,
                    &small_input,
                    &small_output,
                    &read(CLIENT, 100),
                    &read(0, 90),
                    &translate(CLIENT),
                    &translate(0),
                    &write(CLIENT, 7),
                    &write(0, 9),
                    &read(CLIENT, 100),
                    &translate(CLIENT),
                    &write(0, 1),
                    &input(435),
                    &stdout(435),
                    SETTLE,
                ],
            ),
        ),
        (
            "pong_begun_before_the_end",
            session(
                2,
                FOUR_SEGMENTS,
                &[
                    CONNECT,
                    ACCEPT,
                    SETTLE,
                    &[3, 20],
                    &read(CLIENT, 100),
                    &translate(CLIENT),
                    &write(CLIENT, 3),
                    &stdout(3),
                    &ending(0),
                    &read(0, 1000),
                    &translate(0),
                    &write(CLIENT, 3),
                    &translate(0),
                ],
            ),
        ),
        (
            "pings_flood",
            session(
                ALL,
                TWO_SEGMENTS,
                &[
                    CONNECT,
                    ACCEPT,
                    SETTLE,
                    &[3, 125, 3, 125, 3, 125, 3, 125],
                    &[
                        11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
                        11, 11, 11,
                    ],
                    &read(CLIENT, 600),
                    &translate(CLIENT),
                    &read(0, 600),
                    &translate(0),
                    &stdout(3),
                    &[0x1e, 0x1e | CLIENT],
                ],
            ),
        ),
        (
            "many_segments",
            session(
                ALL,
                TWO_SEGMENTS,
                &[
                    CONNECT,
                    ACCEPT,
                    SETTLE,
                    &stdout(127),
                    &stderr(127),
                    &stdout(127),
                    &input(127),
                    &input(127),
                    &[4],
                ],
            ),
        ),
        (
            "other_channels",
            session(ALL, LARGE, &[CONNECT, ACCEPT, &[2, 1, 5, 2, 3, 0, 2, 77, 200, 0x13, 3], &input(2)]),
        ),
        (
            "streams_reset",
            session(ALL, LARGE, &[CONNECT, &[7, 0x0a, 0x17, 0x2a, 0x37], &input(2), &stdout(2), SETTLE]),
        ),
    ];
    seeds.into_iter().map(|(name, seed)| (name.to_owned(), seed)).collect()
}
