use core::time::Duration;

use crate::time::Instant;

/// Says how much a driver takes from a client whose input the process at the other end does not read, and holds beside the lane.
///
/// A Go client gives up a session when one of its messages cannot be written for 60 s
/// (`websocket-channels.md` section 7), although a process that does not read its input is nothing unusual.
/// So a stalled client is allowed a little from time to time: enough for some five minutes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Relief {
    /// When the next portion is due, if the client is stalled.
    next: Option<Instant>,
}

impl Relief {
    /// How often something is taken.
    pub const INTERVAL: Duration = Duration::from_secs(40);

    /// How much is taken then. It has to set the client's write free: Linux opens a closed window only when a sixteenth of the
    /// receive buffer is free, and lets a process write again only when a third of its send buffer is, which
    /// may be 6 MiB and 4 MiB.
    pub const PORTION: usize = 2 * 1024 * 1024;

    /// Most that is held for one session; after that, its client has to wait after all.
    pub const LIMIT: usize = 16 * 1024 * 1024;

    /// When a stalled client may send something.
    pub const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// There is room in the lane: the client is not stalled.
    pub const fn flows(&mut self) {
        self.next = None;
    }

    /// Bytes to be taken now from a stalled client of which `held` bytes are held. Zero if it is not time, or if it is enough.
    pub fn portion(&mut self, now: Instant, held: usize) -> usize {
        let due = *self.next.get_or_insert(now.after(Self::INTERVAL));
        if now < due {
            return 0;
        }
        self.next = Some(now.after(Self::INTERVAL));
        if held >= Self::LIMIT { 0 } else { Self::PORTION }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_client_gets_a_portion_an_interval_up_to_the_limit() {
        let (mut relief, mut now) = (Relief::default(), Instant::ZERO);
        assert_eq!((relief.deadline(), relief.portion(now, 0)), (None, 0), "not before the first interval");
        let mut held = 0;
        for _ in 0..60 {
            now = relief.deadline().unwrap();
            held += relief.portion(now, held);
            assert_eq!(relief.portion(now, held), 0, "once an interval");
        }
        assert_eq!((held, Relief::LIMIT), (16_777_216, 16_777_216));
        relief.flows();
        assert_eq!(relief.deadline(), None);
    }
}
