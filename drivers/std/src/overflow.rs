use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::TcpStream;

use strait::Instant;
use strait::bridge::Relief;

/// Input of a client that the process at the other end does not read, as [`Relief`] has it.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    bytes: VecDeque<u8>,
    relief: Relief,
}

impl Overflow {
    /// When a stalled client may send something.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.relief.deadline()
    }

    /// Moves held bytes into `space` and says how many; `None` if none are held.
    pub(crate) fn give(&mut self, space: &mut [u8]) -> Option<usize> {
        self.relief.flows();
        if self.bytes.is_empty() {
            return None;
        }
        self.bytes.read(space).ok()
    }

    /// Takes a portion from a client that is stalled, when it is due. The result is as of a read; `None` if nothing is due.
    pub(crate) fn take(&mut self, now: Instant, mut from: &TcpStream) -> Option<io::Result<usize>> {
        let portion = self.relief.portion(now, self.bytes.len());
        let mut piece = vec![0; if portion > 0 { 64 * 1024 } else { 0 }];
        let mut taken = 0;
        while taken < portion {
            match from.read(&mut piece) {
                Ok(count @ 1..) => {
                    self.bytes.extend(piece.get(..count).unwrap_or_default());
                    taken += count;
                }
                // Whatever ended is told when what was taken has been passed on.
                _ if taken > 0 => break,
                ended => return Some(ended),
            }
        }
        (taken > 0).then_some(Ok(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn what_is_held_of_a_stalled_client_is_given_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = listener.accept().unwrap().0;
        ours.set_nonblocking(true).unwrap();
        let sent: Vec<u8> = (0..20 * 1024 * 1024).map(|index: u32| (index % 251) as u8).collect();
        let written = sent.clone();
        let writer = thread::spawn(move || client.write_all(&written));
        let (mut overflow, mut now) = (Overflow::default(), Instant::ZERO);
        assert!(overflow.take(now, &ours).is_none(), "not before the first interval");
        let started = std::time::Instant::now();
        while overflow.bytes.len() < Relief::LIMIT && started.elapsed().as_secs() < 60 {
            now = overflow.deadline().unwrap();
            let _ = overflow.take(now, &ours);
        }
        now = overflow.deadline().unwrap();
        assert!(overflow.take(now, &ours).is_none(), "it is enough");
        let mut given = Vec::new();
        let mut space = vec![0; 70_000];
        while let Some(count) = overflow.give(&mut space) {
            given.extend_from_slice(&space[..count]);
        }
        assert!(given.len() >= Relief::LIMIT && sent.starts_with(&given));
        assert_eq!(overflow.deadline(), None, "it is not stalled any more");
        drop(ours);
        let _ = writer.join();
    }
}
