use super::ProtocolError;

/// Most payload bytes of a control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_BYTES: usize = 125;

/// Most bytes of a whole control frame: 2 of header, 4 of mask key, 125 of payload.
pub const CONTROL_FRAME_BYTES: usize = 2 + 4 + CONTROL_PAYLOAD_BYTES;

pub(super) const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0f;
pub(super) const MASK: u8 = 0x80;
const LEN: u8 = 0x7f;
/// Value of the 7-bit length that says that 16 bits of length follow.
pub(super) const LEN_16: u8 = 126;
/// Value of the 7-bit length that says that 64 bits of length follow.
const LEN_64: u8 = 127;

/// What stands in front of a frame's payload (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Set on the last frame of a message; always set on control frames.
    pub fin: bool,
    /// Meaning of the payload.
    pub opcode: Opcode,
    /// The key if the payload is masked, which is every frame of a client and none of a server.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload: below 2^63, at most [`CONTROL_PAYLOAD_BYTES`] in control frames.
    pub len: u64,
}

impl FrameHeader {
    /// Bytes of the longest header.
    pub const MAX: usize = 14;

    /// Bytes that [`write`](Self::write) will write.
    #[inline]
    pub const fn size(&self) -> usize {
        let len = match self.len {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        if self.mask.is_some() { len + 4 } else { len }
    }

    /// Reads the header at the front of `bytes` and tells how many bytes it takes, at most
    /// [`MAX`](Self::MAX). `None` means that more bytes are needed.
    ///
    /// Checks what a header alone can tell: reserved bits, opcode, that a control frame is final and short,
    /// that the length is written in the fewest bytes and below 2^63. An error is found as soon as its
    /// byte is there. Who must mask is for the receiver to know.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if first & RSV != 0 {
            return Err(ProtocolError::ReservedBits(first));
        }
        let Some(opcode) = Opcode::from_wire(first & OPCODE) else {
            return Err(ProtocolError::UnknownOpcode(first & OPCODE));
        };
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl(opcode));
        }
        let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
        let short = second & LEN;
        if opcode.is_control() && short >= LEN_16 {
            return Err(ProtocolError::LongControl(opcode));
        }
        let Some((len, rest)) = parse_len(short, rest)? else { return Ok(None) };
        if second & MASK == 0 {
            return Ok(Some((Self { fin, opcode, mask: None, len }, bytes.len() - rest.len())));
        }
        let Some((&key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some((Self { fin, opcode, mask: Some(key), len }, bytes.len() - rest.len())))
    }

    /// Writes the header to the front of `out` and tells how many bytes it takes: [`size`](Self::size).
    ///
    /// Writes what it is told: a control frame that is not final or too long, and a length of 2^63 or
    /// more, are for the peer's [`parse`](Self::parse) to refuse.
    #[inline]
    pub fn write(&self, out: &mut [u8; Self::MAX]) -> usize {
        let first = if self.fin { FIN } else { 0 } | self.opcode as u8;
        let masked = if self.mask.is_some() { MASK } else { 0 };
        // The key is written at fixed places, so that no bound is left to check.
        let key = self.mask.unwrap_or_default();
        let [front, short, rest @ ..] = out;
        *front = first;
        let size = match self.len {
            0..=125 => {
                *short = masked | self.len as u8;
                let [place @ .., _, _, _, _, _, _, _, _] = rest;
                *place = key;
                2
            }
            126..=0xffff => {
                *short = masked | LEN_16;
                let [high, low, place @ .., _, _, _, _, _, _] = rest;
                [*high, *low] = (self.len as u16).to_be_bytes();
                *place = key;
                4
            }
            _ => {
                *short = masked | LEN_64;
                let [length @ .., _, _, _, _] = rest;
                *length = self.len.to_be_bytes();
                let [_, _, _, _, _, _, _, _, place @ ..] = rest;
                *place = key;
                10
            }
        };
        if self.mask.is_some() { size + 4 } else { size }
    }
}

/// Reads what follows the 7-bit length `short`; answers the whole length and what stands behind it.
#[inline]
fn parse_len(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (len, least, rest) = match short {
        LEN_16 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), u64::from(LEN_16), rest)
        }
        LEN_64 => {
            let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), 0x1_0000, rest)
        }
        _ => return Ok(Some((u64::from(short), rest))),
    };
    if len < least {
        return Err(ProtocolError::LengthNotMinimal(len));
    }
    if len >> 63 != 0 {
        return Err(ProtocolError::LengthTopBit(len));
    }
    Ok(Some((len, rest)))
}

/// Meaning of a frame's payload (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// More of the message that an earlier frame began.
    Continuation = 0,
    /// A message, or the beginning of one, in UTF-8.
    Text = 1,
    /// A message, or the beginning of one, of arbitrary bytes.
    Binary = 2,
    /// The peer will send nothing more.
    Close = 8,
    /// Asks for a pong with the same payload.
    Ping = 9,
    /// Answers a ping, or is a one-way sign of life.
    Pong = 10,
}

impl Opcode {
    /// The opcode with this number, unless it is reserved.
    #[inline]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    /// True for close, ping and pong, which may stand between the frames of a message.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(bytes: &[u8]) -> ProtocolError {
        FrameHeader::parse(bytes).unwrap_err()
    }

    /// Covers: RFC6455-5.2-1, RFC6455-9.1-1
    #[test]
    fn each_reserved_bit_is_refused_at_the_first_byte() {
        for first in [0x90 | 2, 0xa0 | 2, 0xc0 | 2, 0xf2] {
            assert_eq!(error(&[first]), ProtocolError::ReservedBits(first));
        }
    }

    /// Covers: RFC6455-5.2-2
    #[test]
    fn each_reserved_opcode_is_refused_at_the_first_byte() {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(error(&[0x80 | opcode]), ProtocolError::UnknownOpcode(opcode));
            assert_eq!(Opcode::from_wire(opcode), None);
        }
    }

    /// Covers: RFC6455-5.4-1
    #[test]
    fn a_control_frame_must_be_final() {
        for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
            assert_eq!(error(&[opcode as u8]), ProtocolError::FragmentedControl(opcode));
        }
    }

    /// Covers: RFC6455-5.5-1
    #[test]
    fn a_control_frame_holds_125_bytes_and_no_more() {
        for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
            let first = 0x80 | opcode as u8;
            let header = FrameHeader { fin: true, opcode, mask: None, len: 125 };
            assert_eq!(FrameHeader::parse(&[first, 125]), Ok(Some((header, 2))));
            assert_eq!(error(&[first, 126]), ProtocolError::LongControl(opcode));
            assert_eq!(error(&[first, 0xff]), ProtocolError::LongControl(opcode));
        }
    }

    /// Covers: RFC6455-5.2-3
    #[test]
    fn a_length_must_take_the_fewest_bytes() {
        assert_eq!(error(&[0x82, 126, 0, 125]), ProtocolError::LengthNotMinimal(125));
        assert_eq!(
            error(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            ProtocolError::LengthNotMinimal(0xffff)
        );
        for len in [125, 126, 0xffff, 0x1_0000] {
            let header = FrameHeader { fin: true, opcode: Opcode::Binary, mask: None, len };
            let mut bytes = [0; 14];
            let size = header.write(&mut bytes);
            assert_eq!(FrameHeader::parse(&bytes), Ok(Some((header, size))));
        }
    }

    /// Covers: RFC6455-5.2-4
    #[test]
    fn the_top_bit_of_a_64_bit_length_must_be_clear() {
        assert_eq!(
            error(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 1]),
            ProtocolError::LengthTopBit((1 << 63) + 1)
        );
        let header = FrameHeader { fin: true, opcode: Opcode::Binary, mask: None, len: u64::MAX >> 1 };
        let bytes = [0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(FrameHeader::parse(&bytes), Ok(Some((header, 10))));
    }

    #[test]
    fn only_close_ping_and_pong_are_control() {
        let control = [Opcode::Close, Opcode::Ping, Opcode::Pong];
        for opcode in (0..16).filter_map(Opcode::from_wire) {
            assert_eq!(opcode.is_control(), control.contains(&opcode), "{opcode:?}");
        }
    }

    /// Headers that a conforming peer can send.
    fn headers() -> impl Strategy<Value = FrameHeader> {
        let lens = prop_oneof![0..=125_u64, 126..=0xffff_u64, 0x1_0000..1_u64 << 63];
        (any::<bool>(), 0..3_u8, any::<Option<[u8; 4]>>(), lens, any::<bool>()).prop_map(
            |(fin, opcode, mask, len, control)| {
                let (fin, opcode, len) =
                    if control { (true, opcode + 8, len % 126) } else { (fin, opcode, len) };
                FrameHeader { fin, opcode: Opcode::from_wire(opcode).unwrap(), mask, len }
            },
        )
    }

    proptest! {
        #[test]
        fn parse_reads_what_write_wrote_and_waits_for_every_byte_of_it(header in headers()) {
            let mut bytes = [0xee; 14];
            let size = header.write(&mut bytes);
            prop_assert_eq!(size, header.size());
            prop_assert_eq!(FrameHeader::parse(&bytes), Ok(Some((header, size))));
            for short in 0..size {
                prop_assert_eq!(FrameHeader::parse(&bytes[..short]), Ok(None));
            }
        }

        #[test]
        fn write_gives_back_the_bytes_of_every_header_that_parse_accepts(bytes: [u8; 14]) {
            if let Ok(Some((header, size))) = FrameHeader::parse(&bytes) {
                let mut written = [0; 14];
                prop_assert_eq!(header.write(&mut written), size);
                prop_assert_eq!(&written[..size], &bytes[..size]);
            }
        }
    }
}
