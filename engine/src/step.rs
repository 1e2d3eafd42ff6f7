/// What one call of a state machine's `receive` did.
///
/// Every receiver of the engine has the same shape: it is given the bytes that were received and not
/// yet consumed, and answers how many of them it took and at most one event. Ranges in an event are
/// indices into the slice that was given, inside the consumed part.
///
/// `consumed == 0` without an event means that more bytes are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<E> {
    /// Bytes taken from the front of the input.
    pub consumed: usize,
    /// What they meant, if they completed something that the caller has to know.
    pub event: Option<E>,
}

impl<E> Step<E> {
    /// Nothing can be done with what is there: more bytes are needed.
    pub const NEED_MORE: Self = Self { consumed: 0, event: None };

    /// Took `consumed` bytes that mean nothing to the caller (yet).
    #[inline]
    pub const fn skip(consumed: usize) -> Self {
        Self { consumed, event: None }
    }

    /// Took `consumed` bytes, which mean `event`.
    #[inline]
    pub const fn event(consumed: usize, event: E) -> Self {
        Self { consumed, event: Some(event) }
    }
}

/// Which end of a connection this state machine plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that asked for the upgrade: masks its WebSocket frames, opens odd SPDY streams.
    Client,
    /// The end that answered it.
    Server,
}
