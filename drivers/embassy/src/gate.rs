use core::cell::Cell;
use core::task::Context;

use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken};
use embassy_sync::waitqueue::AtomicWaker;

/// How many more clients can come, as the door has counted and the wire has seen.
pub(crate) struct Gate {
    /// The door's port, while it lets clients in.
    port: Cell<Option<u16>>,
    free: Cell<usize>,
    door: AtomicWaker,
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Self { port: Cell::new(None), free: Cell::new(0), door: AtomicWaker::new() }
    }

    /// So many sockets listen at `port`; without one nothing is held back. The door is woken when that has to be said anew.
    pub(crate) fn set(&self, port: Option<u16>, free: usize, cx: &Context<'_>) {
        self.door.register(cx.waker());
        self.port.set(port);
        self.free.set(free);
    }

    /// False for a frame that asks for a connection for which no socket listens.
    fn admits(&self, frame: &[u8]) -> bool {
        if self.port.get().is_none() || asks_for(frame) != self.port.get() {
            return true;
        }
        // A repeated question is counted twice; then the door counts again.
        self.door.wake();
        let left = self.free.get().checked_sub(1);
        self.free.set(left.unwrap_or_default());
        left.is_some()
    }
}

/// A network driver from [`Backlog::guard`](crate::Backlog::guard).
pub struct Guarded<'a, D> {
    pub(crate) driver: D,
    pub(crate) gate: &'a Gate,
}

impl<D> core::fmt::Debug for Guarded<'_, D> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Guarded").field("free", &self.gate.free).finish_non_exhaustive()
    }
}

impl<D: Driver> Driver for Guarded<'_, D> {
    type RxToken<'b>
        = Received<'b, D::RxToken<'b>>
    where
        Self: 'b;
    type TxToken<'b>
        = D::TxToken<'b>
    where
        Self: 'b;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let Self { driver, gate } = self;
        driver.receive(cx).map(|(token, transmit)| (Received { token, gate }, transmit))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.driver.transmit(cx)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.driver.link_state(cx)
    }

    fn capabilities(&self) -> Capabilities {
        self.driver.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.driver.hardware_address()
    }
}

/// A frame that was received.
pub struct Received<'a, T> {
    token: T,
    gate: &'a Gate,
}

impl<T> core::fmt::Debug for Received<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Received").finish_non_exhaustive()
    }
}

impl<T: RxToken> RxToken for Received<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        self.token.consume(|frame| {
            let admitted = self.gate.admits(frame);
            // Nothing in an empty frame is answered.
            f(if admitted { frame } else { &mut [] })
        })
    }
}

/// The port of this host to which a frame asks for a connection.
///
/// ```text
/// Ethernet: 12 bytes of addresses, type (0x0800) | IPv4: version and words of header, ..., protocol (6) at 9, ...
/// TCP: source port, destination port at 2, ..., flags at 13
/// ```
fn asks_for(frame: &[u8]) -> Option<u16> {
    const SYN_OF_SYN_ACK_RST: u8 = 0x02;
    let packet = frame.get(12..)?.strip_prefix(&[0x08, 0x00])?;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let segment = packet.get(header..).filter(|_| packet.get(9) == Some(&6))?;
    let asks = segment.get(13)? & 0x16 == SYN_OF_SYN_ACK_RST;
    let (port, _) = segment.get(2..)?.split_first_chunk()?;
    asks.then(|| u16::from_be_bytes(*port))
}

#[cfg(test)]
mod tests {
    use super::asks_for;

    fn frame(words: u8, protocol: u8, flags: u8) -> [u8; 14 + 60 + 20] {
        let mut frame = [0; 14 + 60 + 20];
        frame[12] = 0x08;
        let (_, packet) = frame.split_at_mut(14);
        packet[0] = 0x40 | words;
        packet[9] = protocol;
        let (_, segment) = packet.split_at_mut(usize::from(words) * 4);
        segment[2..4].copy_from_slice(&8080_u16.to_be_bytes());
        segment[13] = flags;
        frame
    }

    #[test]
    fn only_the_first_segment_of_a_connection_asks_for_one() {
        assert_eq!(asks_for(&frame(5, 6, 0x02)), Some(8080));
        assert_eq!(asks_for(&frame(15, 6, 0xc2)), Some(8080), "with options, and with congestion flags");
        for (protocol, flags) in
            [(6, 0x12), (6, 0x10), (6, 0x18), (6, 0x11), (6, 0x04), (6, 0x06), (17, 0x02)]
        {
            assert_eq!(asks_for(&frame(5, protocol, flags)), None);
        }
    }

    #[test]
    fn what_is_cut_asks_for_nothing() {
        let frame = frame(5, 6, 0x02);
        for end in 0..14 + 20 + 14 {
            assert_eq!(asks_for(&frame[..end]), None);
        }
        let mut arp = frame;
        arp[13] = 0x06;
        assert_eq!(asks_for(&arp), None);
    }
}
