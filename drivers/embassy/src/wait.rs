use core::pin::Pin;
use core::task::{Context, Poll};

use embassy_time::{Duration, Instant, Timer};

/// Ready once an instant has come; before that, the task is woken then.
pub(crate) fn poll_until(cx: &mut Context<'_>, instant: Instant) -> Poll<()> {
    if Instant::now() >= instant {
        return Poll::Ready(());
    }
    // It wakes the task also when it is dropped.
    let _ = Pin::new(&mut Timer::at(instant)).poll(cx);
    Poll::Pending
}

/// So long from now on.
#[inline(never)]
pub(crate) fn within(time: Duration) -> Instant {
    Instant::now() + time
}
