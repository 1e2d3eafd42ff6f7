use std::ops::Range;

use strait::k8s::StreamSet;

/// The bytes that say what happens; zeros behind their end.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    /// The low and the high half of the next byte, unless the script is over.
    pub(crate) fn act(&mut self) -> Option<(u8, u8)> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some((first & 15, first >> 4))
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A length of one byte, and as many bytes.
    pub(crate) fn counted(&mut self) -> &'a [u8] {
        let len = self.byte().into();
        self.bytes(len)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

/// The streams that a byte asks for, if it asks for any.
pub(crate) fn streams(byte: u8) -> Option<StreamSet> {
    let set =
        StreamSet { stdin: byte & 1 != 0, stdout: byte & 2 != 0, stderr: byte & 4 != 0, tty: byte & 8 != 0 };
    set.is_any().then_some(set)
}

/// A byte of the payload of a channel, by its place: no two neighbours are alike.
pub(crate) fn payload(channel: u8, range: Range<usize>) -> impl Iterator<Item = u8> {
    range.map(move |place| {
        let place = place as u32;
        (place ^ place >> 8).wrapping_mul(37) as u8 ^ channel.wrapping_mul(0x55)
    })
}

/// Payload of one channel on its way: how much must arrive, and how much has.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

impl Flow {
    /// Checks a piece that arrived. `more` allows for more than was sent: the peer has sent raw bytes too.
    pub(crate) fn arrive(&mut self, channel: u8, piece: &[u8], more: bool) {
        let end = self.received + piece.len();
        let known = self.sent.min(end).saturating_sub(self.received);
        assert!(more || end <= self.sent, "channel {channel}: {end} bytes of {} arrive", self.sent);
        let expected = payload(channel, self.received..self.received + known);
        assert!(piece[..known].iter().copied().eq(expected), "channel {channel}: wrong bytes");
        self.received = end;
    }

    pub(crate) const fn is_complete(self) -> bool {
        self.received >= self.sent
    }
}

/// What a peer sends, and how far the driver has read it.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    pub(crate) read: usize,
    /// The peer ends its half behind that.
    pub(crate) ends: bool,
    /// The bridge was told.
    pub(crate) eof: bool,
    /// The connection is gone.
    pub(crate) lost: bool,
}

impl Wire {
    /// Sends, unless the peer has ended its half.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if !self.ends {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    /// Bounds what one script can make a peer send.
    pub(crate) const fn allows(&self, len: usize) -> usize {
        if self.bytes.len() < 1 << 20 { len } else { len % 64 }
    }
}
