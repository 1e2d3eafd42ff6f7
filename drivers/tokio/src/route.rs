use std::net::SocketAddr;

use strait::gateway::{Attempt, Plan, Planner};
use strait::http::Request;
use strait::upgrade::Refusal;

use crate::answer;
use crate::upstream::Upstream;

/// An upgrade that can be tried.
pub(crate) struct Route {
    /// The request's path, without its query: commands may be secrets.
    pub(crate) path: String,
    pub(crate) plan: Plan,
    /// What each attempt of the plan sends to upstream.
    heads: Vec<Vec<u8>>,
}

impl Route {
    /// The ways in which an upgrade can go to upstream, or its answer.
    pub(crate) fn of(
        planner: &Planner,
        upstream: &Upstream,
        request: &Request<'_>,
        peer: SocketAddr,
        nonce: [u8; 16],
    ) -> Result<Self, Vec<u8>> {
        let plan = planner.plan(request, nonce).map_err(|refusal| answer::refusal(&refusal, request))?;
        let hop = upstream.hop(peer);
        let written = plan.attempts.iter().map(|attempt| {
            let head = answer::fitted(|out| attempt.write_request(request, &hop, out));
            head.map_err(|error| answer::refusal(&Refusal::CannotPass(error), request))
        });
        let heads = written.collect::<Result<_, _>>()?;
        Ok(Self { path: request.path().into(), plan, heads })
    }

    /// The attempts, in the order in which they are made, and what each sends to upstream.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = (&Attempt, &[u8])> {
        self.plan.attempts.iter().zip(self.heads.iter().map(Vec::as_slice))
    }
}
