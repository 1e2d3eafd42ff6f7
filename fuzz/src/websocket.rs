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
pub(crate) struct Frame<'a> {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
    /// What follows it.
    pub(crate) rest: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the front, if it is whole, from the end that plays `role`.
    pub(crate) fn read(bytes: &'a [u8], role: Role) -> Option<Self> {
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
