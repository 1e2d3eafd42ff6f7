use std::cell::RefCell;

use futures_util::{FutureExt as _, SinkExt as _};
use strait::Role;
use strait::ws::{FrameHeader, MaskKeys, Masking as _, Opcode, Sender, mask};
use ws_framer::WsTxFramer;

use crate::wire::Wire;

const ROOM: usize = 64 * 1024 + 64;

thread_local! {
    /// Is not made anew in each run.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM]);
}

/// What is read is put behind room for the header, so a frame is made where its payload lies.
pub(crate) fn strait(payload: &[u8], size: usize, sink: &mut dyn FnMut(&[u8])) {
    let sender = Sender::<320>::new(Role::Client);
    let mut keys = MaskKeys::new([7; 16]);
    BUFFER.with_borrow_mut(|buffer| {
        for payload in payload.chunks(size) {
            let frame = &mut buffer[FrameHeader::MAX..][..size];
            frame.copy_from_slice(payload);
            let header = sender.data_header(Opcode::Binary, true, size as u64, keys.draw());
            if let Some(key) = header.mask {
                mask(key, 0, frame);
            }
            let mut bytes = [0; FrameHeader::MAX];
            let start = FrameHeader::MAX - header.write(&mut bytes);
            buffer[start..FrameHeader::MAX].copy_from_slice(&bytes[..FrameHeader::MAX - start]);
            sink(&buffer[start..FrameHeader::MAX + size]);
        }
    });
}

pub(crate) fn tungstenite(payload: &[u8], size: usize, sink: &mut dyn FnMut(&[u8])) {
    use tungstenite::Message;
    use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    let config = WebSocketConfig::default().write_buffer_size(0);
    let mut socket = WebSocket::from_raw_socket(Wire::new(&[]), Role::Client, Some(config));
    for payload in payload.chunks(size) {
        socket.write(Message::binary(payload.to_vec())).expect("room");
        socket.flush().expect("room");
        sink(&socket.get_ref().written);
        socket.get_mut().written.clear();
    }
}

pub(crate) fn fastwebsockets(payload: &[u8], size: usize, sink: &mut dyn FnMut(&[u8])) {
    use fastwebsockets::{Frame, Payload};
    BUFFER.with_borrow_mut(|buffer| {
        for payload in payload.chunks(size) {
            let mut frame = Frame::binary(Payload::Owned(payload.to_vec()));
            frame.mask();
            sink(frame.write(buffer));
        }
    });
}

pub(crate) fn tokio_websockets(payload: &[u8], size: usize, sink: &mut dyn FnMut(&[u8])) {
    use tokio_websockets::{ClientBuilder, Message};
    let mut socket = ClientBuilder::new().take_over(Wire::new(&[]));
    let all = async {
        for payload in payload.chunks(size) {
            socket.send(Message::binary(payload.to_vec())).await.expect("room");
            sink(&socket.get_ref().written);
            socket.get_mut().written.clear();
        }
    };
    all.now_or_never().expect("memory is always ready");
}

pub(crate) fn ws_framer(payload: &[u8], size: usize, sink: &mut dyn FnMut(&[u8])) {
    BUFFER.with_borrow_mut(|buffer| {
        let mut framer = WsTxFramer::new(true, buffer);
        for payload in payload.chunks(size) {
            let fill = |room: &mut [u8]| {
                room.get_mut(..size)?.copy_from_slice(payload);
                Some(size)
            };
            sink(framer.binary_with(fill).expect("room"));
        }
    });
}

/// It leaves keys to its user, who takes ours.
pub(crate) fn edge_ws(payload: &[u8], size: usize, sink: &mut dyn FnMut(&[u8])) {
    let mut keys = MaskKeys::new([7; 16]);
    BUFFER.with_borrow_mut(|buffer| {
        for payload in payload.chunks(size) {
            let header = edge_ws::FrameHeader {
                frame_type: edge_ws::FrameType::Binary(false),
                payload_len: size as u64,
                mask_key: Some(u32::from_be_bytes(keys.draw())),
            };
            let start = header.serialize(buffer).expect("room");
            let frame = &mut buffer[start..start + size];
            frame.copy_from_slice(payload);
            header.mask(frame, 0);
            sink(&buffer[..start + size]);
        }
    });
}
