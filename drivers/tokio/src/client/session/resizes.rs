use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use strait::k8s::TerminalSize;
use tokio::sync::watch;

type Sizes = watch::Receiver<Option<TerminalSize>>;

/// The next change of a size. The receiver comes back with it.
type Next<'a> = Pin<Box<dyn Future<Output = Option<Sizes>> + Send + 'a>>;

/// Changes of the terminal's size, and the first one at once.
pub(super) struct Resizes<'a> {
    /// `None` when there will be no other one.
    next: Option<Next<'a>>,
    /// The first size is sent after another one, so that what runs on the terminal draws itself again.
    redraws: bool,
}

impl Resizes<'_> {
    /// With no `sizes`, none ever.
    pub(super) fn new(sizes: Option<Sizes>, redraws: bool) -> Self {
        Self { next: sizes.map(|sizes| next(sizes, true)), redraws }
    }

    /// Ready with the sizes to send, if any, in their order.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<[Option<TerminalSize>; 2]> {
        let Some(pending) = &mut self.next else { return Poll::Pending };
        let Poll::Ready(changed) = pending.as_mut().poll(cx) else { return Poll::Pending };
        let Some(mut sizes) = changed else {
            self.next = None;
            return Poll::Pending;
        };
        let size = *sizes.borrow_and_update();
        self.next = Some(next(sizes, false));
        let other = size.filter(|_| mem::take(&mut self.redraws)).map(|size| TerminalSize {
            columns: size.columns.saturating_add(1),
            rows: size.rows.saturating_add(1),
        });
        Poll::Ready([other, size])
    }
}

/// The next change, or what there is already if it is the `first` one.
fn next<'a>(mut sizes: Sizes, first: bool) -> Next<'a> {
    Box::pin(async move {
        if first && sizes.borrow().is_some() {
            return Some(sizes);
        }
        sizes.changed().await.ok().map(|()| sizes)
    })
}
