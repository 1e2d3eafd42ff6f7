//! The socket lends its ring, and bytes are copied by `copy`. The stack's own way is `memcpy`, which takes more than twice the
//! instructions where ring and session are not aligned to each other, and that is nearly always.

use core::pin::pin;
use core::task::{Context, Poll};

use embassy_net::tcp::{Error, TcpSocket};

pub(super) fn poll_read(
    socket: &mut TcpSocket<'_>,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<Result<usize, Error>> {
    let mut filled = 0;
    // A ring lends what lies up to its end, and then what lies at its beginning.
    while let Some(room) = into.get_mut(filled..).filter(|room| !room.is_empty()) {
        let loan = socket.read_with(|received| {
            let count = copy(room, received);
            (count, count)
        });
        let read = pin!(loan).poll(cx);
        match read {
            Poll::Ready(Ok(count)) => filled += count,
            _ if filled > 0 => break,
            Poll::Pending => return Poll::Pending,
            // Without room for a byte this tells the end of the peer's half from that of the connection.
            Poll::Ready(Err(_)) => {
                return pin!(socket.read(&mut [])).poll(cx);
            }
        }
    }
    Poll::Ready(Ok(filled))
}

pub(super) fn poll_write(
    socket: &mut TcpSocket<'_>,
    cx: &mut Context<'_>,
    from: &[u8],
) -> Poll<Result<usize, Error>> {
    let loan = socket.write_with(|free| {
        let count = copy(free, from);
        (count, count)
    });
    pin!(loan).poll(cx)
}

/// Copies what there is, as far as there is room, and says how much that was.
///
/// Words are read and written wherever they lie. `memcpy` of a Cortex-M3 puts each together from two, because others of its
/// architecture must.
fn copy(to: &mut [u8], from: &[u8]) -> usize {
    let count = to.len().min(from.len());
    let (to, to_tail) = to.get_mut(..count).unwrap_or_default().as_chunks_mut::<16>();
    let (from, from_tail) = from.get(..count).unwrap_or_default().as_chunks::<16>();
    for (to, from) in to.iter_mut().zip(from) {
        // One by one, or the compiler would see that this is `memcpy`.
        if let ([to_1, to_2, to_3, to_4], [from_1, from_2, from_3, from_4]) =
            (to.as_chunks_mut::<4>().0, from.as_chunks::<4>().0)
        {
            (*to_1, *to_2, *to_3, *to_4) = (*from_1, *from_2, *from_3, *from_4);
        }
    }
    for (to, from) in to_tail.iter_mut().zip(from_tail) {
        *to = *from;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_at_every_length_and_place() {
        let source: [u8; 64] = core::array::from_fn(|at| at as u8 + 1);
        for (from, to) in (0..16).zip(0..4).chain((0..4).zip([3, 0, 2, 1])) {
            for len in 0..=40 {
                let mut target = [0; 64];
                assert_eq!(copy(&mut target[to..to + len], &source[from..]), len);
                assert_eq!(target[to..to + len], source[from..from + len]);
                assert!(target[..to].iter().chain(&target[to + len..]).all(|byte| *byte == 0));
                assert_eq!(copy(&mut target, &source[..len]), len, "there is no more to copy");
            }
        }
    }
}
