use strait::gateway::Then;
use strait::upgrade::{Accepted, Refusal};

use super::{Asked, Ended};

/// Port-forward is passed on as it is.
pub(super) const IS_TRANSLATED: bool = false;

/// There is none.
pub(super) enum Forward {}

impl Forward {
    pub(super) fn of(_: Then, _: &str, _: &Accepted) -> Result<Self, Refusal<'static>> {
        Err(Refusal::UnknownUpgrade)
    }

    #[expect(clippy::unused_async, reason = "as where there is something to wait for")]
    pub(super) async fn serve<C, D, S>(self, _: Asked<'_, C, D, S>) -> Ended {
        match self {}
    }
}
