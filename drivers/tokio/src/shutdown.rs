use tokio_util::sync::CancellationToken;

/// Tells servers to stop, in two steps: first they take nothing new, then they end what runs.
///
/// Clones stand for the same servers. A [`CancellationToken`] is both steps at once.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    closing: CancellationToken,
}

impl Shutdown {
    /// For servers that run.
    pub fn new() -> Self {
        Self::default()
    }

    /// No connection is accepted any more and no session begun. Sessions that run go on, until they end, until the
    /// drain timeout of their server, or until [`close`](Self::close).
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Running sessions are ended with a status, and cut if that takes more than 5 s.
    pub fn close(&self) {
        self.draining.cancel();
        self.closing.cancel();
    }

    /// True once nothing new is taken.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// True once running sessions are told to end.
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Waits until nothing new is taken.
    pub async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// Waits until running sessions are told to end.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// For one session: cancelled when it has to end.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// For one of the servers: it follows this one, and can be ahead of it.
    pub(crate) fn child(&self) -> Self {
        Self { draining: self.draining.child_token(), closing: self.closing.child_token() }
    }
}

impl From<CancellationToken> for Shutdown {
    fn from(stop: CancellationToken) -> Self {
        Self { draining: stop.clone(), closing: stop }
    }
}
