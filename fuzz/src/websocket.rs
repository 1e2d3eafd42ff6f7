use strait::Role;
use strait::ws::{FrameHeader, Opcode, Sender, mask};

/// A frame as the end that plays `role` sends it; `number` makes its key.
pub(crate) fn encode(role: Role, opcode: Opcode, fin: bool, mut payload: Vec<u8>, number: u32) -> Vec<u8> {
    let key = number.wrapping_mul(0x9e37_79b9).to_be_bytes();
    let header = Sender::<320>::new(role).data_header(opcode, fin, payload.len() as u64, key);
    let mut bytes = [0; FrameHeader::MAX];
    let size = header.write(&mut bytes);
    if role == Role::Client {
        mask(key, 0, &mut payload);
    }
    [&bytes[..size], &payload].concat()
}

/// A frame that was received: an independent reading.
struct Frame<'a> {
    first: u8,
    payload: Vec<u8>,
    /// What follows it.
    rest: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the front, if it is whole, from the end that plays `role`.
    fn read(bytes: &'a [u8], role: Role) -> Option<Self> {
        let (&[first, len], rest) = bytes.split_first_chunk()?;
        assert_eq!(len & 0x80 != 0, role == Role::Client, "a client masks, a server does not");
        let (len, rest) = match len & 0x7f {
            126 => {
                let (len, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*len).into(), rest)
            }
            127 => {
                let (len, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*len) as usize, rest)
            }
            len => (len.into(), rest),
        };
        let (key, rest) = match role {
            Role::Client => rest.split_first_chunk().map(|(key, rest)| (*key, rest))?,
            Role::Server => ([0; 4], rest),
        };
        let (payload, rest) = rest.split_at_checked(len)?;
        let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        Some(Self { first, payload, rest })
    }
}

/// What a peer has got, beside data: its pings answered, and the Close.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// What the other end plays.
    from: Role,
    got: Vec<u8>,
    /// The lengths of the pings that it has sent.
    pub(crate) pings: Vec<u8>,
    pub(crate) pongs: usize,
    pub(crate) close: Option<u16>,
}

impl Inbox {
    pub(crate) const fn new(from: Role) -> Self {
        Self { from, got: vec![], pings: vec![], pongs: 0, close: None }
    }

    /// True if the last frame is whole.
    pub(crate) const fn is_at_frame(&self) -> bool {
        self.got.is_empty()
    }

    /// Reads on; data frames are left to `data`, with their first byte. The peer may have sent `raw` bytes, which nobody
    /// counts.
    pub(crate) fn receive(&mut self, bytes: &[u8], raw: bool, mut data: impl FnMut(u8, &[u8])) {
        self.got.extend_from_slice(bytes);
        let got = std::mem::take(&mut self.got);
        let mut rest = &got[..];
        while let Some(frame) = Frame::read(rest, self.from) {
            assert!(self.close.is_none(), "frame {:#x} behind the Close", frame.first);
            match (frame.first, frame.payload.as_slice()) {
                (0x8a, payload) => self.pong(payload, raw),
                (0x88, []) => self.close = Some(1005),
                (0x88, [high, low, reason @ ..]) => {
                    assert!(str::from_utf8(reason).is_ok());
                    self.close = Some(u16::from_be_bytes([*high, *low]));
                }
                (first, payload) => data(first, payload),
            }
            rest = frame.rest;
        }
        self.got = rest.to_vec();
    }

    fn pong(&mut self, payload: &[u8], raw: bool) {
        if let Some(&len) = self.pings.get(self.pongs) {
            assert_eq!(payload, vec![len; usize::from(len % 126)], "an answer to another ping");
        } else {
            assert!(raw, "a pong without a ping");
        }
        self.pongs += 1;
    }
}
