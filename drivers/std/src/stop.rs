use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Says when to stop, to all threads that have a clone of it. They see it within 200 ms.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<State>);

#[derive(Debug, Default)]
struct State {
    level: AtomicU8,
    parent: Option<Stop>,
}

const RUN: u8 = 0;
const DRAIN: u8 = 1;
const CLOSE: u8 = 2;

impl Stop {
    /// Nothing has to stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// No more connections are accepted; sessions go on.
    pub fn drain(&self) {
        self.0.level.fetch_max(DRAIN, Ordering::Relaxed);
    }

    /// Sessions are ended too, with a status.
    pub fn close(&self) {
        self.0.level.fetch_max(CLOSE, Ordering::Relaxed);
    }

    /// One that stops when this one does, or before.
    pub(crate) fn child(&self) -> Self {
        Self(Arc::new(State { level: AtomicU8::new(RUN), parent: Some(self.clone()) }))
    }

    /// It was told to drain or to close.
    pub fn is_draining(&self) -> bool {
        self.level() != RUN
    }

    /// It was told to close.
    pub fn is_closing(&self) -> bool {
        self.level() == CLOSE
    }

    fn level(&self) -> u8 {
        let above = self.0.parent.as_ref().map_or(RUN, Self::level);
        self.0.level.load(Ordering::Relaxed).max(above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stops_with_its_parent_and_not_the_other_way() {
        let parent = Stop::new();
        let (child, other) = (parent.child(), parent.child());
        child.close();
        assert!(child.is_closing() && !parent.is_draining() && !other.is_draining());
        parent.drain();
        assert!(other.is_draining() && !other.is_closing() && child.is_closing());
        parent.close();
        assert!(other.is_closing());
    }
}
