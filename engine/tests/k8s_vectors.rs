//! The words of Kubernetes against the byte vectors.

mod vectors;

use strait::k8s::{Channel, Outcome, ResizeParser, StreamSet, Subprotocol, TerminalSize, status};
use vectors::Vector;

/// Channel byte and content of the message of a vector.
fn message(id: &str) -> (u8, Vec<u8>) {
    let vector = vectors::all().into_iter().find(|vector| vector.id() == id);
    let payload = vector.unwrap_or_else(|| panic!("no vector {id}")).bytes("payload");
    let (channel, content) = payload.split_first().expect("a channel byte");
    (*channel, content.to_vec())
}

fn written<E: core::fmt::Debug>(write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Vec<u8> {
    let mut out = vec![0; status::MIN_OUT];
    let length = write(&mut out).expect("it fits");
    out.truncate(length);
    out
}

#[test]
fn the_success_of_either_generation_is_read_and_the_common_one_written() {
    let (channel, older) = message("ws.status.success.apimachinery");
    assert_eq!(Channel::new(channel), Channel::ERROR);
    assert_eq!(written(status::success), older);
    let (_, newer) = message("ws.status.success.cri_streaming");
    for json in [older, newer] {
        assert_eq!(Outcome::parse(&json), Ok(Outcome::Success));
    }
}

#[test]
fn an_exit_code_is_written_and_read() {
    let (channel, json) = message("ws.status.exit5");
    assert_eq!(Channel::new(channel), Channel::ERROR);
    assert_eq!(written(|out| status::exit_code(5, out)), json);
    assert_eq!(Outcome::parse(&json), Ok(Outcome::ExitCode(5)));
}

#[test]
fn sizes_of_both_clients_are_read_and_gos_is_written() {
    let size = TerminalSize { columns: 80, rows: 24 };
    for id in ["ws.resize.go", "ws.resize.js"] {
        let (channel, json) = message(id);
        assert_eq!(Channel::new(channel), Channel::RESIZE);
        assert_eq!(ResizeParser::new().feed(&json), Some(size), "{id}");
    }
    assert_eq!(written(|out| size.write(out)), message("ws.resize.go").1);
}

#[test]
fn close_messages_name_their_channel() {
    for (id, closed) in [("ws.close.stdin", Channel::STDIN), ("ws.close.resize", Channel::RESIZE)] {
        let (channel, content) = message(id);
        assert_eq!(Channel::new(channel), Channel::CLOSE);
        assert_eq!(closed.close_message(), [channel, content[0]], "{id}");
    }
}

#[test]
fn ready_is_said_on_the_lowest_channel_that_is_written() {
    let output = StreamSet { stdout: true, stderr: true, ..StreamSet::default() };
    let input = StreamSet { stdin: true, ..StreamSet::default() };
    for (id, streams) in [("ws.ready.stdout", output), ("ws.ready.error", input)] {
        assert_eq!(message(id), (streams.ready_channel().number(), Vec::new()), "{id}");
    }
}

#[test]
fn the_channel_of_a_base64_message_is_a_digit() {
    for (id, expected) in [("ws.base64.stdin.foo", Channel::STDIN), ("ws.base64.stdout.nl", Channel::STDOUT)]
    {
        let (byte, _) = message(id);
        assert_eq!(Channel::from_wire(byte, Subprotocol::V1Base64), expected, "{id}");
    }
}

#[test]
fn the_streams_of_an_exec_are_opened_as_the_vectors_open_them() {
    let all = vectors::all();
    let opened: Vec<&str> = all
        .iter()
        .filter(|vector| vector.has("seq") && vector.text("seq") == "exec-go" && vector.has("headers"))
        .filter(|vector: &&Vector| vector.id().starts_with("spdy.exec.syn."))
        .map(|vector| vector.list("headers")[0][1].as_str().expect("a value"))
        .collect();
    let streams = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };
    let tty = StreamSet { tty: true, ..streams };
    let mut ours: Vec<_> = streams.channels(Subprotocol::V4).filter_map(Channel::stream_type).collect();
    ours.extend(tty.channels(Subprotocol::V4).filter_map(Channel::stream_type).last());
    assert_eq!(opened, ours);
}
