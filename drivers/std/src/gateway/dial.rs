use std::io;
use std::net::TcpStream;

use strait::gateway::{Attempt, DialError, Hop, Plan, UpstreamProtocol};
use strait::http::{Request, Response};
use strait::k8s::Subprotocol;
use strait::upgrade::UpgradeError;

use super::Gateway;
use crate::answer::fitted;
use crate::connect::connect;
use crate::head::{Head, HeadFailure};
use crate::wait::Patience;

/// Why there is no upstream for a session.
pub(super) type Failure = DialError<io::Error, Vec<u8>>;

/// Upstream's connection after its upgrade.
pub(super) struct Upgraded<'p> {
    pub(super) io: TcpStream,
    /// The 101, and what came behind it.
    pub(super) answer: Head,
    pub(super) protocol: Subprotocol,
    pub(super) attempt: &'p Attempt,
}

impl Gateway {
    /// Asks upstream in all ways of the plan, until it grants one or says something else than that it does not know it.
    pub(super) fn dial<'p>(
        &self,
        request: &Request<'_>,
        hop: &Hop<'_>,
        plan: &'p Plan,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Upgraded<'p>, Failure> {
        let mut result = Err(DialError::Closed);
        for attempt in &plan.attempts {
            result = self.try_one(request, hop, attempt, is_over);
            let Err(error) = &result else {
                self.learn(plan, attempt);
                break;
            };
            tracing::debug!(%error, "upstream cannot be used so");
            if !error.is_about_the_protocol() {
                break;
            }
            self.found().doubt(plan.verb);
        }
        result
    }

    fn learn(&self, plan: &Plan, attempt: &Attempt) {
        let is_news = self.found().learn(plan.verb, attempt.proves);
        if is_news && self.planner.protocol == UpstreamProtocol::Auto {
            tracing::info!(protocol = ?attempt.proves, "upstream's protocol found");
        }
    }

    fn try_one<'p>(
        &self,
        request: &Request<'_>,
        hop: &Hop<'_>,
        attempt: &'p Attempt,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Upgraded<'p>, Failure> {
        let head = fitted(|out| attempt.write_request(request, hop, out))
            .map_err(|error| DialError::Connect(io::Error::other(error)))?;
        let patience = Patience::new(self.limits.handshake, is_over);
        let io = self.connect(&patience).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => DialError::Timeout,
            _ => DialError::Connect(error),
        })?;
        let mut socket = &io;
        patience.write_all(&mut socket, &head).map_err(DialError::Io)?;
        let answer = Head::read(&mut socket, self.limits.head_bytes, &patience).map_err(no_head)?;
        let response: Response = Response::parse(answer.head()).map_err(DialError::Malformed)?;
        match attempt.check_answer(&response) {
            Ok(protocol) => Ok(Upgraded { io, answer, protocol, attempt }),
            Err(error) => {
                let is_kept = matches!(error, UpgradeError::Refused { .. });
                let patience = patience.anew(self.limits.handshake / 3);
                let body = response.body(request.method);
                let body = if is_kept { answer.refusal(&mut socket, body, &patience) } else { Vec::new() };
                Err(DialError::Upgrade { error, body })
            }
        }
    }

    pub(super) fn connect(&self, patience: &Patience<'_>) -> io::Result<TcpStream> {
        connect(&self.authority, patience)
    }
}

/// The status that a session ends with whose client was answered already.
pub(super) fn status_of(error: &Failure) -> Vec<u8> {
    tracing::debug!(%error, "upstream cannot be used");
    let mut json = vec![0; 4096];
    let length = error.write_status(&mut json).unwrap_or(0);
    json.truncate(length);
    json
}

fn no_head(failure: HeadFailure) -> Failure {
    match failure {
        HeadFailure::Closed => DialError::Closed,
        HeadFailure::Timeout => DialError::Silent,
        HeadFailure::Malformed(error) => DialError::Malformed(error),
        HeadFailure::Io(error) => DialError::Io(error),
    }
}
