use super::*;

#[test]
fn what_passes_is_payload_of_the_stream_that_is_asked_for() {
    let mut receiver = client();
    let wire = b"\0\0\0\x03\0\0\0\x06abcdef";
    assert_eq!(receiver.pass(wire, id(5), 0), None, "of another stream");
    assert_eq!(receiver.pass(wire, id(3), 9), None, "with more header than there is");
    assert_eq!(receiver.pass(&wire[..7], id(3), 0), None, "no whole header");
    assert_eq!(receiver.pass(&wire[..10], id(3), 8), Some(8..10));
    assert_eq!(receiver.pass(&wire[10..], id(5), 0), None, "of another stream");
    assert_eq!(receiver.pass(&wire[10..], id(3), 1), None, "no header within a frame");
    assert_eq!(receiver.pass(b"", id(3), 0), None);
    assert_eq!(receiver.pass(&wire[10..12], id(3), 0), Some(0..2));
    assert_eq!(receiver.lead(), Some(0));
    assert_eq!(receiver.pass(b"efnext", id(3), 0), Some(0..2), "no further than the frame");
    assert_eq!(receiver.lead(), Some(8));
    assert_eq!(receiver.pass(wire, id(3), 0), Some(8..14));
    assert_eq!(receiver.lead(), Some(8), "a frame that ends with the input is over");
    let mut finished = *wire;
    finished[4] = frame::FLAG_FIN;
    assert_eq!(receiver.pass(&finished, id(3), 0), None, "a half-close is an event");
    assert_eq!(receiver.receive(&finished[..9]).unwrap().consumed, 9);
    assert_eq!(receiver.pass(&finished[9..], id(3), 0), None, "a half-close is an event");
}
