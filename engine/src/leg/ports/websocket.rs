use core::ops::Range;

use crate::k8s::{Channel, PortChannel, PortStream, Subprotocol};
use crate::leg::channels::{CHANNEL_BYTE, Channels, Received};
use crate::leg::{Close, Event, Framing, LegError};
use crate::limits::Limits;
use crate::step::Step;
use crate::ws::{FrameHeader, NoMask};

/// Bytes of the longest message that [`WebSocketPorts::say`] takes.
pub const MAX_TEXT: usize = 512;

/// The longest such message as a frame, in base64.
const FRAME: usize = FrameHeader::MAX + CHANNEL_BYTE + MAX_TEXT.div_ceil(3) * 4;

/// Such a message, and two control frames.
const OUTBOX: usize = 1024;

/// The server's end of the legacy port-forward over WebSocket, with `v4.channel.k8s.io`, its base64 variant or no
/// subprotocol (`port-forward.md` section 3).
///
/// ```text
/// | WebSocket frame header | 2 * index     | data of the port, both ways
/// | WebSocket frame header | 2 * index + 1 | errors of the port, from the server
/// ```
///
/// There is no half-close. What the client sends on other channels than those of data is dropped.
#[derive(Debug)]
pub struct WebSocketPorts {
    channels: Channels<NoMask, OUTBOX>,
}

impl WebSocketPorts {
    /// The server's end of a connection that has negotiated `protocol`.
    pub const fn server(protocol: Subprotocol, limits: &Limits) -> Self {
        Self { channels: Channels::new(protocol, limits, NoMask) }
    }

    /// Queues a message of up to [`MAX_TEXT`] bytes, behind the data that was framed. False if there is no room, which is
    /// never so if [`can_say`](Self::can_say), or if the connection is closing.
    pub fn say(&mut self, channel: Channel, payload: &[u8]) -> bool {
        let mut frame = [0; FRAME];
        let Some(start) = FRAME.checked_sub(payload.len()) else { return false };
        let Some(room) = frame.get_mut(start..) else { return false };
        for (to, from) in room.iter_mut().zip(payload) {
            *to = *from;
        }
        if !self.can_send(channel) {
            return false;
        }
        match self.channels.frame(channel, &mut frame, start..FRAME) {
            Some(start) if FRAME - start <= self.channels.messages.room() => {
                self.channels.messages.push(frame.get(start..).unwrap_or_default());
                true
            }
            _ => false,
        }
    }

    /// True if a Close was queued: nothing more can be said.
    pub fn is_closing(&self) -> bool {
        self.channels.messages.is_closing()
    }

    /// True if there is room for any message.
    pub fn can_say(&self) -> bool {
        self.channels.messages.room() >= FRAME
    }
}

impl Framing for WebSocketPorts {
    #[inline]
    fn receive(&mut self, input: &mut [u8]) -> Result<Step<Event>, LegError> {
        if !self.can_receive() {
            return Ok(Step::NEED_MORE);
        }
        let Step { consumed, event } = self.channels.receive(input)?;
        let event = match event {
            Some(Received::Data { channel, range, .. })
                if PortChannel::of(channel).stream == PortStream::Data && !range.is_empty() =>
            {
                Some(Event::Data { channel, range })
            }
            None | Some(Received::Data { .. }) => None,
            Some(Received::Pong) => Some(Event::Pong),
            Some(Received::End { clean }) => Some(Event::End { clean }),
        };
        Ok(Step { consumed, event })
    }

    #[inline]
    fn can_receive(&self) -> bool {
        self.channels.messages.can_receive()
    }

    #[inline]
    fn lead(&self, input: &[u8]) -> Option<usize> {
        self.channels.lead(input)
    }

    #[inline]
    fn header_max(&self, len: usize) -> usize {
        self.channels.header_max(len)
    }

    fn headroom(&self, len: usize) -> usize {
        self.channels.headroom(len)
    }

    #[inline]
    fn frame(
        &mut self,
        channel: Channel,
        _: bool,
        buffer: &mut [u8],
        payload: Range<usize>,
    ) -> Option<usize> {
        match (self.can_send(channel), payload.is_empty()) {
            (false, _) => None,
            (true, true) => Some(payload.end),
            (true, false) => self.channels.frame(channel, buffer, payload),
        }
    }

    #[inline]
    fn can_send(&self, _: Channel) -> bool {
        !self.channels.messages.is_closing()
    }

    fn can_half_close(&self, _: Channel) -> bool {
        false
    }

    fn ping(&mut self) {
        self.channels.messages.ping();
    }

    fn close(&mut self, reason: Close) {
        self.channels.messages.close(reason);
    }

    fn pending(&self) -> &[u8] {
        self.channels.messages.pending()
    }

    fn sent(&mut self, count: usize) {
        self.channels.messages.sent(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn said(protocol: Subprotocol, payload: &[u8]) -> Vec<u8> {
        let mut leg = WebSocketPorts::server(protocol, &Limits::HOST);
        assert!(leg.say(Channel::new(1), payload));
        leg.pending().to_vec()
    }

    #[test]
    fn messages_of_its_own_are_framed_as_data_is() {
        assert_eq!(said(Subprotocol::V4, &[0x90, 0x1f]), b"\x82\x03\x01\x90\x1f");
        assert_eq!(said(Subprotocol::None, b"refused"), b"\x82\x08\x01refused");
        assert_eq!(said(Subprotocol::V4Base64, &[0x90, 0x1f]), b"\x81\x051kB8=");
    }

    #[test]
    fn the_longest_text_fits_and_a_longer_one_does_not() {
        for protocol in [Subprotocol::V4, Subprotocol::V4Base64] {
            let mut leg = WebSocketPorts::server(protocol, &Limits::HOST);
            assert!(leg.can_say());
            assert!(leg.say(Channel::new(255), &[b'x'; MAX_TEXT]));
            assert!(!leg.can_say() && leg.can_receive(), "pongs still have room");
            let said = leg.pending().len();
            assert!(!leg.say(Channel::new(1), &[b'x'; MAX_TEXT]), "not said, and told so");
            assert_eq!(leg.pending().len(), said);
            assert!(leg.say(Channel::new(1), b"short"));
            leg.sent(leg.pending().len());
            assert!(leg.can_say() && !leg.is_closing());
            assert!(!leg.say(Channel::new(1), &[b'x'; MAX_TEXT + 200]));
            leg.close(Close::Normal);
            assert!(leg.is_closing() && !leg.say(Channel::new(1), b"late"));
        }
    }

    #[test]
    fn only_base64_asks_a_lane_for_room_and_gets_what_it_grows_by() {
        let leg = |protocol| WebSocketPorts::server(protocol, &Limits::HOST);
        assert_eq!(leg(Subprotocol::V4).headroom(65_536), 0);
        for len in [64, 1000, 65_536] {
            let room = leg(Subprotocol::V4Base64).headroom(len);
            assert!(leg(Subprotocol::V4Base64).header_max(len - room) <= room, "{room} of {len}");
        }
    }

    #[test]
    fn there_is_no_half_close() {
        let mut leg = WebSocketPorts::server(Subprotocol::V4, &Limits::HOST);
        let data = Channel::new(0);
        assert!(leg.can_send(data) && !leg.can_half_close(data));
        assert_eq!(leg.frame(data, true, &mut [0; 20], 10..10), Some(10), "no frame");
    }

    #[test]
    fn a_flood_of_pings_waits_until_its_pongs_are_written() {
        // Under a mask of zeros.
        let ping = [&[0x89, 0x80 | 0x7d, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
        let (mut wire, mut at, mut said) = (ping.repeat(20), 0, Vec::new());
        let mut leg = WebSocketPorts::server(Subprotocol::V4, &Limits::HOST);
        while at < wire.len() {
            let consumed = leg.receive(&mut wire[at..]).unwrap().consumed;
            if consumed == 0 {
                assert!(!leg.can_receive());
                said.extend_from_slice(leg.pending());
                leg.sent(leg.pending().len());
            }
            at += consumed;
        }
        said.extend_from_slice(leg.pending());
        assert_eq!(said, [&[0x8a, 125][..], &[b'p'; 125]].concat().repeat(20));
    }

    #[test]
    fn only_channels_of_data_are_heard() {
        let mut leg = WebSocketPorts::server(Subprotocol::V4, &Limits::HOST);
        for (channel, is_heard) in [(0, true), (1, false), (2, true), (254, true), (255, false)] {
            // Under a mask of zeros.
            let mut frame = [0x82, 0x82, 0, 0, 0, 0, channel, b'x'];
            let heard = Event::Data { channel: Channel::new(channel), range: 7..8 };
            assert_eq!((leg.lead(&frame), leg.lead(&frame[..5])), (Some(7), None));
            let step = leg.receive(&mut frame).unwrap();
            assert_eq!(step, Step { consumed: 8, event: is_heard.then_some(heard) });
        }
    }
}
