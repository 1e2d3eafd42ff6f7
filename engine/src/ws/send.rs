use super::{CONTROL_FRAME_BYTES, CONTROL_PAYLOAD_BYTES, CloseCode, FrameHeader, Opcode, close, mask};
use crate::{Full, Outbox, Role};

/// A masked Close frame with a code and no reason.
const CLOSE_FRAME_BYTES: usize = 2 + 4 + close::CODE_BYTES;

/// The sending half of a connection: headers for data frames, and control frames in an [`Outbox`] of
/// `N` bytes.
///
/// Pings and pongs leave room for a Close frame with its code, so that a connection can always be closed in order.
/// `N` must hold the longest pong and such a Close; a heartbeat more keeps a leg receiving while its own waits.
#[derive(Debug, Clone)]
pub struct Sender<const N: usize = 276> {
    outbox: Outbox<N>,
    role: Role,
    closing: bool,
}

impl<const N: usize> Sender<N> {
    /// Room for the answer to any one frame, and for a Close behind it.
    pub(crate) const ANSWER: usize = CONTROL_FRAME_BYTES + CLOSE_FRAME_BYTES;

    const HOLDS_ANSWER: () = assert!(N >= Self::ANSWER, "the outbox holds a pong and a close");

    /// A sender that plays `role`: the client's masks its frames, the server's ignores mask keys.
    pub const fn new(role: Role) -> Self {
        let () = Self::HOLDS_ANSWER;
        Self { outbox: Outbox::new(), role, closing: false }
    }

    /// The header of a data frame. If it has a mask key, the payload is to be masked with it ([`mask()`]).
    #[inline]
    pub const fn data_header(&self, opcode: Opcode, fin: bool, len: u64, key: [u8; 4]) -> FrameHeader {
        let mask = match self.role {
            Role::Client => Some(key),
            Role::Server => None,
        };
        FrameHeader { fin, opcode, mask, len }
    }

    /// Queues the answer to a ping; does nothing if a Close was queued before.
    ///
    /// Fails if the frame would not leave room for a Close, which cannot be if
    /// [`can_answer`](Self::can_answer), and if the payload has more than 125 bytes.
    pub fn pong(&mut self, payload: &[u8], mask_key: [u8; 4]) -> Result<(), Full> {
        self.ping_or_pong(Opcode::Pong, payload, mask_key)
    }

    /// Queues a ping. Otherwise like [`pong`](Self::pong).
    pub fn ping(&mut self, payload: &[u8], mask_key: [u8; 4]) -> Result<(), Full> {
        self.ping_or_pong(Opcode::Ping, payload, mask_key)
    }

    /// Queues a Close frame, the first time; later calls do nothing.
    ///
    /// A `reason` of more than 123 bytes, or than there is room for, is cut between characters. Without a code, or with one
    /// that may not be sent, the frame is empty. [`Full`] is possible only if others fill the outbox.
    pub fn close(&mut self, code: Option<CloseCode>, reason: &str, mask_key: [u8; 4]) -> Result<(), Full> {
        if self.closing {
            return Ok(());
        }
        match code.filter(|code| code.is_valid_on_wire()) {
            Some(code) => {
                let room = self.outbox.room().saturating_sub(CLOSE_FRAME_BYTES);
                self.push(Opcode::Close, &code.0.to_be_bytes(), close::cut(reason, room), mask_key)?;
            }
            None => self.push(Opcode::Close, &[], &[], mask_key)?,
        }
        self.closing = true;
        Ok(())
    }

    /// True if a Close frame was queued: no data may follow it.
    #[inline]
    pub const fn is_closing(&self) -> bool {
        self.closing
    }

    /// True if there is room for the answer to any one frame. While there is not, receive nothing.
    #[inline]
    pub const fn can_answer(&self) -> bool {
        self.outbox.room() >= Self::ANSWER
    }

    /// The frames that wait to be written.
    #[inline]
    pub const fn outbox(&self) -> &Outbox<N> {
        &self.outbox
    }

    /// To tell what was written, or to queue more.
    #[inline]
    pub const fn outbox_mut(&mut self) -> &mut Outbox<N> {
        &mut self.outbox
    }

    fn ping_or_pong(&mut self, opcode: Opcode, payload: &[u8], mask_key: [u8; 4]) -> Result<(), Full> {
        if self.closing {
            return Ok(());
        }
        let frame = self.data_header(opcode, true, payload.len() as u64, mask_key).size() + payload.len();
        if frame + CLOSE_FRAME_BYTES > self.outbox.room() {
            return Err(Full);
        }
        self.push(opcode, payload, &[], mask_key)
    }

    /// Queues a control frame whose payload is `head` and `tail`.
    fn push(&mut self, opcode: Opcode, head: &[u8], tail: &[u8], mask_key: [u8; 4]) -> Result<(), Full> {
        let len = head.len() + tail.len();
        if len > CONTROL_PAYLOAD_BYTES {
            return Err(Full);
        }
        let header = self.data_header(opcode, true, len as u64, mask_key);
        let mut header_bytes = [0; FrameHeader::MAX];
        let header_bytes = {
            let size = header.write(&mut header_bytes);
            header_bytes.get(..size).ok_or(Full)?
        };
        let mut frame = [0; CONTROL_FRAME_BYTES];
        let frame = frame.get_mut(..header_bytes.len() + len).ok_or(Full)?;
        let (front, payload) = frame.split_at_mut_checked(header_bytes.len()).ok_or(Full)?;
        front.copy_from_slice(header_bytes);
        let (first, second) = payload.split_at_mut_checked(head.len()).ok_or(Full)?;
        first.copy_from_slice(head);
        second.get_mut(..tail.len()).ok_or(Full)?.copy_from_slice(tail);
        if let Some(key) = header.mask {
            mask(key, 0, payload);
        }
        self.outbox.push(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::text::any_text;
    use crate::ws::{Event, Receiver};
    use proptest::prelude::*;
    use std::vec::Vec;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// Reads the only frame in the outbox of a sender as its peer would.
    fn received<const N: usize>(sender: &Sender<N>, peer: Role) -> (Event, Vec<u8>) {
        let mut bytes = sender.outbox().pending().to_vec();
        let step = Receiver::new(peer, &Limits::HOST).receive(&mut bytes).unwrap();
        assert_eq!(step.consumed, bytes.len(), "one frame");
        (step.event.unwrap(), bytes)
    }

    /// Covers: RFC6455-5.1-3
    #[test]
    fn a_server_sends_the_plain_frames_of_the_rfc() {
        let mut sender = Sender::<320>::new(Role::Server);
        sender.ping(b"Hello", KEY).unwrap();
        sender.pong(b"", KEY).unwrap();
        sender.close(Some(CloseCode::NORMAL), "", KEY).unwrap();
        assert_eq!(sender.outbox().pending(), b"\x89\x05Hello\x8a\x00\x88\x02\x03\xe8");
    }

    /// Covers: RFC6455-5.1-1
    #[test]
    fn a_client_masks_what_it_sends() {
        let mut sender = Sender::<320>::new(Role::Client);
        sender.pong(b"Hello", KEY).unwrap();
        assert_eq!(sender.outbox().pending(), b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(sender.data_header(Opcode::Text, true, 5, KEY).mask, Some(KEY));
        let server = Sender::<320>::new(Role::Server);
        assert_eq!(server.data_header(Opcode::Text, true, 5, KEY).mask, None);
    }

    /// Covers: RFC6455-5.5.1-2
    #[test]
    fn only_the_first_close_is_sent_and_nothing_after_it() {
        let mut sender = Sender::<320>::new(Role::Server);
        assert!(!sender.is_closing());
        sender.close(Some(CloseCode::GOING_AWAY), "bye", KEY).unwrap();
        assert!(sender.is_closing());
        sender.close(Some(CloseCode::NORMAL), "", KEY).unwrap();
        sender.pong(b"late", KEY).unwrap();
        assert_eq!(sender.outbox().pending(), b"\x88\x05\x03\xe9bye");
    }

    /// Covers: RFC6455-7.4.1-1
    #[test]
    fn a_code_that_may_not_be_sent_leaves_the_close_empty() {
        for code in [None, Some(CloseCode::NO_STATUS), Some(CloseCode::ABNORMAL), Some(CloseCode(0))] {
            let mut sender = Sender::<320>::new(Role::Server);
            sender.close(code, "reason", KEY).unwrap();
            assert_eq!(sender.outbox().pending(), b"\x88\x00");
        }
    }

    #[test]
    fn pongs_that_are_not_read_stop_but_leave_room_to_close() {
        for role in [Role::Client, Role::Server] {
            for len in [0, 1, 7, 60, 125] {
                let mut sender = Sender::<320>::new(role);
                let mut pongs = 0;
                while sender.can_answer() {
                    sender.pong(&[b'p'; 125][..len], KEY).unwrap();
                    pongs += 1;
                }
                assert!(pongs > 0);
                while sender.pong(&[b'p'; 125][..len], KEY).is_ok() {}
                assert_eq!(sender.close(Some(CloseCode::POLICY), &"x".repeat(123), KEY), Ok(()));
                let waiting = sender.outbox().pending().len();
                sender.outbox_mut().sent(waiting);
                assert!(sender.can_answer());
            }
        }
    }

    #[test]
    fn the_smallest_outbox_holds_the_longest_pong_and_a_close() {
        let mut sender = Sender::<{ Sender::<320>::ANSWER }>::new(Role::Client);
        assert!(sender.can_answer());
        assert_eq!(sender.pong(&[b'p'; 125], KEY), Ok(()));
        assert!(!sender.can_answer());
        assert_eq!(sender.pong(b"", KEY), Err(Full), "the rest is for the close");
        assert_eq!(sender.close(Some(CloseCode::NORMAL), "", KEY), Ok(()));
        assert_eq!(sender.outbox().room(), 0);
    }

    /// Covers: RFC6455-5.5-1
    #[test]
    fn a_ping_of_more_than_125_bytes_is_refused_whole() {
        let mut sender = Sender::<1024>::new(Role::Server);
        assert_eq!(sender.ping(&[0; 126], KEY), Err(Full));
        assert!(sender.outbox().is_empty());
        assert_eq!(sender.ping(&[0; 125], KEY), Ok(()));
        let mut client = Sender::<1024>::new(Role::Client);
        assert_eq!(client.ping(&[0; 125], KEY), Ok(()));
        assert_eq!(client.outbox().pending().len(), CONTROL_FRAME_BYTES, "there is no longer one");
    }

    proptest! {
        #[test]
        fn the_peer_reads_every_control_frame(
            payload in prop::collection::vec(any::<u8>(), 0..=125), reason in any_text(), key: [u8; 4], client: bool,
        ) {
            let (role, peer) = if client { (Role::Client, Role::Server) } else { (Role::Server, Role::Client) };
            let mut sender = Sender::<262>::new(role);
            sender.pong(&payload, key).unwrap();
            let (event, bytes) = received(&sender, peer);
            let Event::Pong { range } = event else { panic!("{event:?}") };
            prop_assert_eq!(&bytes[range], &payload);

            let mut sender = Sender::<262>::new(role);
            sender.close(Some(CloseCode::TOO_BIG), &reason, key).unwrap();
            let (event, bytes) = received(&sender, peer);
            let Event::Close { code, reason: range } = event else { panic!("{event:?}") };
            prop_assert_eq!(code, Some(CloseCode::TOO_BIG));
            prop_assert_eq!(&bytes[range], close::cut(&reason, usize::MAX));
        }
    }
}
