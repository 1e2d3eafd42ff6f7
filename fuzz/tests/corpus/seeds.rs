//! What the seed corpus is made from: the byte vectors of the engine's tests, and small inputs made by hand.

mod forwards;
mod gateways;
mod models;
mod sessions;
mod texts;
mod tunnels;
#[path = "../../../engine/tests/vectors/mod.rs"]
mod vectors;

use super::Seeds;
use vectors::Vector;

/// The seeds of a target by their names.
pub(crate) fn of(target: &str) -> Seeds {
    match target {
        "exec_bridge" => sessions::all(),
        "gateway" => gateways::all(),
        "http_differential" => behind(2, &[], texts::heads()),
        "http_head" => texts::heads(),
        "inflate_differential" => header_blocks(),
        "json_differential" => texts::json(),
        "k8s_text" => texts::of_kubernetes(),
        "leg_receiver" => legs(),
        "ports_bridge" => forwards::all(),
        "session_model" => models::all(),
        "spdy_receiver" => spdy(),
        "tunnel_bridge" => tunnels::all(),
        "ws_differential" => {
            websocket().into_iter().map(|(name, seed)| (name, without_cuts(&seed))).collect()
        }
        "ws_receiver" => websocket(),
        "ws_sender" => sent(),
        _ => panic!("no target {target}"),
    }
}

/// The seeds without their first bytes, and with other ones.
fn behind(count: usize, options: &[u8], seeds: Seeds) -> Seeds {
    seeds.into_iter().map(|(name, seed)| (name, [options, &seed[count..]].concat())).collect()
}

/// The header blocks of each sequence, each behind its length.
fn header_blocks() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, seed) in spdy() {
        let mut blocks = vec![0];
        let mut rest = &seed[2..];
        while let Some((header, behind)) = rest.split_first_chunk::<8>() {
            let length = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
            let (payload, behind) = behind.split_at(length.min(behind.len()));
            rest = behind;
            let fixed = match header[..4] {
                [0x80, _, 0, 1] => 10,
                [0x80, _, 0, 2 | 8] => 4,
                _ => continue,
            };
            let block = payload.get(fixed..).unwrap_or_default();
            blocks.extend(u16::try_from(block.len()).expect("a short block").to_le_bytes());
            blocks.extend(block);
        }
        if blocks.len() > 1 {
            seeds.insert(name, blocks);
        }
    }
    seeds
}

/// What peers send to the legs that understand it.
fn legs() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, seed) in websocket() {
        let to_server = seed[0] & 1 == 0;
        let base64 = name.contains("base64");
        let leg = match (to_server, name.starts_with("ws.pf"), name.starts_with("ws.tunnel")) {
            (true, _, true) => 20,
            (false, _, true) => 21,
            (_, true, _) => 24,
            (true, ..) => {
                if base64 {
                    4
                } else {
                    0
                }
            }
            (false, ..) => {
                if base64 {
                    10
                } else {
                    6
                }
            }
        };
        seeds.insert(name, [&[leg, 1], &seed[2..]].concat());
    }
    for (name, seed) in spdy() {
        let leg = if name.starts_with("spdy.pf") {
            22
        } else if seed[0] & 1 == 0 {
            16
        } else {
            12
        };
        if name.starts_with("sequence") || name.contains("pf") || name.starts_with("spdy.reply") {
            seeds.insert(name, [&[leg, 5], &seed[2..]].concat());
        }
    }
    seeds.insert("raw".into(), b"\x1a\x03any bytes".to_vec());
    let in_tunnel =
        b"\x17\x01\x82\x0c\x80\x03\0\x06\0\0\0\x04\0\0\0\x02\x82\x03\0\0\0\x82\x07\x03\0\0\0\x02hi";
    seeds.insert("tunnelled".into(), in_tunnel.to_vec());
    seeds
}

/// Acts: the table stands in `strait_fuzz::ws_sender`'s documentation.
fn sent() -> Seeds {
    let mut seeds = Seeds::new();
    let acts: [(&str, &[u8]); 5] = [
        ("message", b"\0\x05\0\x04\x01\x03\x04\x02\x7d\x04\x13\x05"),
        ("fragments", b"\x30\x80\0\x01\x05\x04\x30\x01\0\0\0\0\x13\0\x04\0\x09\0"),
        ("lengths", b"\0\x7d\0\0\x7e\0\0\xff\xff\0\0\0"),
        ("control_flood", b"\x01\x7d\x01\x7d\x02\x7d\x02\x7d\x03\xff\x04"),
        ("no_code", b"\x20\x03\0\x73\0\0\x03\0"),
    ];
    for (options, by) in [(0, "client"), (1, "server"), (2, "client_leg"), (3, "server_leg")] {
        seeds.extend(acts.map(|(name, acts)| (format!("{by}.{name}"), [&[options], acts].concat())));
    }
    seeds
}

fn without_cuts(seed: &[u8]) -> Vec<u8> {
    [&seed[..1], &seed[2..]].concat()
}

fn websocket() -> Seeds {
    let mut seeds = Seeds::new();
    let (mut to_server, mut to_client) = (vec![], vec![]);
    for vector in
        vectors::all().iter().filter(|vector| vector.id().starts_with("ws.") && vector.has("payload"))
    {
        let masked = vector.flag("masked");
        let frame = vector.bytes("hex");
        // Texts need not be UTF-8 in these protocols.
        let options = [if masked { 2 } else { 3 }, 1];
        seeds.insert(vector.id().to_owned(), [&options[..], &frame].concat());
        if vector.number("opcode") != 8 {
            if masked { &mut to_server } else { &mut to_client }.extend(frame);
        }
    }
    let mut server = [&[2, 7][..], &to_server].concat();
    server.extend(b"\x88\x82\0\0\0\0\x03\xe8");
    let mut client = [&[3, 9][..], &to_client].concat();
    client.extend(b"\x88\x05\x03\xe9bye");
    seeds.insert("all_to_server".into(), server);
    seeds.insert("all_to_client".into(), client);
    let made: [(&str, &[u8]); 9] = [
        ("fragments_with_ping", b"\x01\x05\x02\x02ab\x89\x01p\0\x01c\x80\0"),
        ("text_cut_in_a_character", b"\x01\x01\x01\x02\xe2\x82\x80\x01\xac"),
        ("text_not_utf8", b"\x01\x01\x81\x03a\xffb"),
        ("text_ends_in_a_character", b"\x01\0\x81\x03ab\xe2"),
        ("length_16", b"\x03\x02\x82\x7e\0\x7e................................................................................................................................"),
        ("length_64_not_minimal", b"\x03\x01\x82\x7f\0\0\0\0\0\0\xff\xff"),
        ("too_long_for_the_limit", b"\x07\x01\x82\x7e\x03\xe9"),
        ("reserved_bit", b"\x03\x01\xc2\x01a"),
        ("unmasked_to_server", b"\x02\0\x82\x01a"),
    ];
    seeds.extend(made.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    seeds
}

fn spdy() -> Seeds {
    let mut seeds = Seeds::new();
    let vectors = vectors::all();
    let is_spdy = |vector: &&Vector| vector.has("hex") && !vector.id().starts_with("ws.");
    for vector in vectors.iter().filter(is_spdy) {
        let reply = vector.id().starts_with("spdy.reply") || vector.id().ends_with("server9");
        let first = !vector.has("pos") || vector.number("pos") == 1;
        if first {
            seeds.insert(vector.id().to_owned(), [&[u8::from(reply), 1][..], &vector.bytes("hex")].concat());
        }
    }
    // Blocks behind the first one mean something only behind it.
    for vector in vectors.iter().filter(|vector| vector.has("seq")) {
        let name = format!("sequence.{}", vector.text("seq").replace(['/', ' '], "_"));
        let reply = vector.id().starts_with("spdy.reply");
        let seed = seeds.entry(name).or_insert_with(|| vec![u8::from(reply), 5]);
        seed.extend(vector.bytes("hex"));
    }
    for vector in vectors.iter().filter(|vector| vector.id().starts_with("spdy.data")) {
        seeds.entry("data_behind_streams".into()).or_insert_with(|| vec![0, 3]).extend(vector.bytes("hex"));
    }
    seeds.insert("empty_data".into(), b"\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x01\x01\0\0\0".to_vec());
    seeds
}
