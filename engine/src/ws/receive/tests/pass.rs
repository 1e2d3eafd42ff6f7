use super::*;

#[test]
fn what_passes_is_a_message_of_one_frame_that_is_all_there() {
    for role in [Role::Server, Role::Client] {
        for len in [2, 125, 126, 0xffff] {
            let payload: Vec<u8> = (b'a'..=b'z').cycle().take(len).collect();
            let arrived = frame(role, true, Binary, &payload);
            let start = arrived.len() - len;
            let mut wire = arrived.clone();
            let limits = Limits { ws_frame_bytes: len as u64, ..Limits::HOST };
            let mut receiver = Receiver::new(role, &limits);
            assert_eq!(receiver.pass(&mut wire[..start + len - 1], 0, |_| true), None, "a byte is missing");
            assert_eq!(receiver.pass(&mut wire, start + 1, |_| true), None, "more header than there is");
            assert_eq!(receiver.pass(&mut wire, 0, |first| first == b'b'), None, "it begins otherwise");
            assert_eq!(wire, arrived, "what does not pass is left as it was");
            assert_eq!(receiver.pass(&mut wire, start, |first| first == b'a'), Some(start..start + len));
            assert_eq!(wire[start..], payload);
            let short = Limits { ws_frame_bytes: len as u64 - 1, ..Limits::HOST };
            assert_eq!(Receiver::new(role, &short).pass(&mut arrived.clone(), 0, |_| true), None);
        }
    }
}

#[test]
fn what_needs_a_closer_look_does_not_pass() {
    let pass = |receiver: &mut Receiver, mut wire: Vec<u8>| receiver.pass(&mut wire, 0, |_| true);
    let receiver = || Receiver::new(Role::Client, &Limits::HOST);
    let large = std::vec![0; 0x1_0000];
    for (fin, opcode, payload) in [
        (true, Text, &b"to be checked"[..]),
        (false, Binary, b"a"),
        (true, Continuation, b"a"),
        (true, Binary, b""),
        (true, Binary, &large),
        (true, Ping, b"a"),
        (true, Close, b"\x03\xe8"),
    ] {
        assert_eq!(pass(&mut receiver(), frame(Role::Client, fin, opcode, payload)), None, "{opcode:?}");
    }
    assert_eq!(pass(&mut receiver(), frame(Role::Server, true, Binary, b"masked")), None);
    let long = [&[0x82, 126, 0, 125][..], &[0; 125]].concat();
    assert_eq!(pass(&mut receiver(), long), None, "its length is written in too many bytes");

    let text = frame(Role::Client, true, Text, b"abc");
    assert_eq!(pass(&mut receiver().without_utf8_check(), text), Some(2..5));
    for before in [frame(Role::Client, false, Binary, b"a"), frame(Role::Client, true, Close, b"")] {
        let mut receiver = receiver();
        receiver.receive(&mut before.clone()).unwrap();
        assert_eq!(pass(&mut receiver, frame(Role::Client, true, Binary, b"a")), None, "{before:?}");
    }
}
