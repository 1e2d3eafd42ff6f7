//! The stack copies between its rings and the session: the least flash.

use core::pin::pin;
use core::task::{Context, Poll};

use embassy_net::tcp::{Error, TcpSocket};

pub(super) fn poll_read(
    socket: &mut TcpSocket<'_>,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<Result<usize, Error>> {
    pin!(socket.read(into)).poll(cx)
}

pub(super) fn poll_write(
    socket: &mut TcpSocket<'_>,
    cx: &mut Context<'_>,
    from: &[u8],
) -> Poll<Result<usize, Error>> {
    pin!(socket.write(from)).poll(cx)
}
