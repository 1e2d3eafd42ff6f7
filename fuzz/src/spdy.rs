use strait::spdy::GoawayStatus;
use strait::spdy::frame::{DATA_HEADER, goaway, ping};

/// The PINGs, SETTINGS, `WINDOW_UPDATE`s and GOAWAYs of a server.
#[derive(Debug, Default)]
pub(crate) struct Control {
    pub(crate) pings: u32,
    pub(crate) answers: u32,
}

impl Control {
    /// The frame of this kind, and whether it is a GOAWAY.
    pub(crate) fn frame(&mut self, which: u8) -> (Vec<u8>, bool) {
        let frame = match which % 4 {
            0 => {
                self.pings += 1;
                ping(2 * self.pings).to_vec()
            }
            1 => b"\x80\x03\0\x04\0\0\0\x0c\0\0\0\x01\0\0\0\x04\0\0\0\x05".to_vec(),
            2 => b"\x80\x03\0\x09\0\0\0\x08\0\0\0\x05\0\0\x10\0".to_vec(),
            _ => goaway(None, GoawayStatus::OK).to_vec(),
        };
        (frame, which % 4 == 3)
    }

    /// A PING has come, which must be an answer unless the server has sent `raw` bytes.
    pub(crate) fn answered(&mut self, id: u32, raw: bool) {
        self.answers += 1;
        assert!(raw || (id == 2 * self.answers && self.answers <= self.pings), "PING {id}");
    }
}

/// What a server has got: an independent cutting into frames.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    got: Vec<u8>,
}

impl Inbox {
    /// True if the last frame is whole.
    pub(crate) const fn is_at_frame(&self) -> bool {
        self.got.is_empty()
    }

    /// Reads on: `frame` gets the header and the payload of each frame.
    pub(crate) fn receive(&mut self, bytes: &[u8], mut frame: impl FnMut([u8; DATA_HEADER], &[u8])) {
        self.got.extend_from_slice(bytes);
        let got = std::mem::take(&mut self.got);
        let mut rest = &got[..];
        while let Some((header, behind)) = rest.split_first_chunk::<DATA_HEADER>() {
            let len = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
            let Some((payload, behind)) = behind.split_at_checked(len) else { break };
            frame(*header, payload);
            rest = behind;
        }
        self.got = rest.to_vec();
    }
}

/// The word at this place of a payload.
pub(crate) fn word(payload: &[u8], at: usize) -> u32 {
    payload[at..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}
