use std::io::Read as _;

use embedded_websocket::{WebSocketKey, WebSocketServer};
use futures_util::{FutureExt as _, StreamExt as _};
use strait::{Limits, Role, ws};
use ws_framer::{WsFrame, WsRxFramer};

use crate::wire::{READ, Wire};

/// What a read has room for: that, and a frame that was begun.
const ROOM: usize = 2 * READ + 16;

thread_local! {
    /// Is not made anew in each run.
    static BUFFERS: std::cell::RefCell<(Vec<u8>, Vec<u8>)> = std::cell::RefCell::new((vec![0; ROOM], vec![0; ROOM]));
}

/// Reads, and gives what is there to `take` until it takes nothing more; what is left is moved to the front.
fn each_read(wire: &[u8], mut take: impl FnMut(&mut [u8], &mut [u8]) -> usize) {
    BUFFERS.with_borrow_mut(|(buffer, spare)| {
        let (mut wire, mut filled) = (Wire::new(wire), 0);
        loop {
            let count = wire.read(&mut buffer[filled..]).expect("memory");
            if count == 0 {
                break;
            }
            filled += count;
            let mut at = 0;
            loop {
                let taken = take(&mut buffer[at..filled], spare);
                at += taken;
                if taken == 0 {
                    break;
                }
            }
            buffer.copy_within(at..filled, 0);
            filled -= at;
        }
        assert_eq!(filled, 0, "all is received");
    });
}

pub(crate) fn strait(wire: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let mut receiver = ws::Receiver::new(Role::Server, &Limits::HOST);
    each_read(wire, |input, _| {
        let step = receiver.receive(input).expect("good frames");
        if let Some(ws::Event::Data { range, .. }) = step.event {
            sink(&input[range]);
        }
        step.consumed
    });
}

pub(crate) fn tungstenite(wire: &[u8], sink: &mut dyn FnMut(&[u8])) {
    use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    let config = WebSocketConfig::default().read_buffer_size(READ);
    let mut socket = WebSocket::from_raw_socket(Wire::new(wire), Role::Server, Some(config));
    while let Ok(message) = socket.read() {
        sink(&message.into_data());
    }
}

pub(crate) fn fastwebsockets(wire: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let mut socket =
        fastwebsockets::WebSocket::after_handshake(Wire::new(wire), fastwebsockets::Role::Server);
    let all = async {
        while let Ok(frame) = socket.read_frame().await {
            sink(&frame.payload);
        }
    };
    all.now_or_never().expect("memory is always ready");
}

pub(crate) fn tokio_websockets(wire: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let mut socket = tokio_websockets::ServerBuilder::new().serve(Wire::new(wire));
    let all = async {
        while let Some(Ok(message)) = socket.next().await {
            sink(message.as_payload());
        }
    };
    all.now_or_never().expect("memory is always ready");
}

pub(crate) fn ws_framer(wire: &[u8], sink: &mut dyn FnMut(&[u8])) {
    BUFFERS.with_borrow_mut(|(buffer, _)| {
        let (mut framer, mut wire) = (WsRxFramer::new(buffer), Wire::new(wire));
        loop {
            let count = wire.read(framer.read_buf()).expect("memory");
            framer.advance(count);
            if count == 0 {
                break;
            }
            while let Some(Ok(frame)) = framer.next_frame() {
                if let WsFrame::Binary(payload) = frame {
                    sink(payload);
                }
            }
        }
    });
}

/// It has headers and masks; that a frame is whole is for its user to know.
pub(crate) fn edge_ws(wire: &[u8], sink: &mut dyn FnMut(&[u8])) {
    each_read(wire, |input, _| {
        let Ok((header, start)) = edge_ws::FrameHeader::deserialize(input) else { return 0 };
        let Some(payload) = input.get_mut(start..start + header.payload_len as usize) else { return 0 };
        header.mask(payload, 0);
        sink(payload);
        start + header.payload_len as usize
    });
}

pub(crate) fn embedded_websocket(wire: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let mut socket = WebSocketServer::new_server();
    let key = WebSocketKey::from("dGhlIHNhbXBsZSBub25jZQ==");
    socket.server_accept(&key, None, &mut [0; 256]).expect("an upgrade");
    each_read(wire, |input, spare| match socket.read(input, spare) {
        Ok(read) => {
            sink(&spare[..read.len_to]);
            read.len_from
        }
        Err(_) => 0,
    });
}
