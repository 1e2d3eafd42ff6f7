//! What the seed corpus is made from: the byte vectors of the engine's tests, and small inputs made by hand.

mod forwards;
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
        "http_head" => texts::heads(),
        "k8s_text" => texts::of_kubernetes(),
        "ports_bridge" => forwards::all(),
        "spdy_receiver" => spdy(),
        "tunnel_bridge" => tunnels::all(),
        "ws_differential" => {
            websocket().into_iter().map(|(name, seed)| (name, without_cuts(&seed))).collect()
        }
        "ws_receiver" => websocket(),
        _ => panic!("no target {target}"),
    }
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
