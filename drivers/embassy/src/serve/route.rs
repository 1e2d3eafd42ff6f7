use core::net::IpAddr;

use strait::gateway::{Attempt, Hop, Planner, Then, UpstreamProtocol};
use strait::http::{HeadError, Request, origin, write_text};
use strait::k8s::StreamSet;
#[cfg(feature = "port-forward")]
use strait::k8s::{Ports, Target};
use strait::upgrade::{Accepted, Refusal, Upgrade};

#[cfg(feature = "port-forward")]
use super::forward::Forward;
use super::{HEADERS, Options};
use crate::head::HeadFailure;

/// What a request gets. What is to be sent lies in memory.
pub(super) enum Way {
    /// This answer, after which the connection is closed.
    Answer { status: u16, length: usize },
    /// It is passed on, with `body` bytes behind it.
    Plain { request: usize, body: u64 },
    /// A session that is translated.
    Translate { request: usize, work: Work, agreed: Accepted, attempt: Attempt },
    /// A session that nobody looks at.
    PassOn { request: usize, attempt: Attempt },
}

/// What a session is translated from. Upstream speaks SPDY.
pub(super) enum Work {
    /// Exec or attach over WebSocket, of which these streams were asked for.
    Exec(StreamSet),
    /// Port-forward.
    #[cfg(feature = "port-forward")]
    Forward(Forward),
}

/// Decides what a request gets. On the stack, and not in the memory of the session: it is large, and soon over.
#[inline(never)]
pub(super) fn route(head: &[u8], peer: Option<IpAddr>, options: &Options<'_>, out: &mut [u8]) -> Way {
    // Looked at where it is: moved, it would be on the stack twice.
    let parsed = parse(head);
    let request = match &parsed {
        Ok(request) => request,
        Err(error) => return answer(error.status(), error, out),
    };
    if !origin::is_allowed(request, false, &[""; 0]) {
        return answer(403, "requests of web pages from this Origin are not allowed", out);
    }
    let hop = Hop {
        authority: options.authority,
        prefix: options.prefix,
        client: peer,
        authorization: options.authorization,
    };
    let planner = Planner {
        protocol: UpstreamProtocol::Spdy,
        translates_port_forward: cfg!(feature = "port-forward"),
        ..Planner::default()
    };
    let way = if Upgrade::is_asked_for(request) {
        upgrade(&planner, request, &hop, out)
    } else {
        plain(&planner, request, &hop, out)
    };
    way.unwrap_or_else(|refused| refusal(&refused, request, out))
}

// Each step is a function of its own: on the stack, what one takes is free again for the next.
#[inline(never)]
fn parse(head: &[u8]) -> Result<Request<'_, HEADERS>, HeadError> {
    Request::parse(head)
}

#[inline(never)]
fn refusal(refused: &Refusal<'_>, request: &Request<'_, HEADERS>, out: &mut [u8]) -> Way {
    match refused.write(request, out) {
        Ok(length) => Way::Answer { status: refused.status(), length },
        Err(_) => answer(refused.status(), refused, out),
    }
}

#[inline(never)]
fn plain(
    planner: &Planner,
    request: &Request<'_, HEADERS>,
    hop: &Hop<'_>,
    out: &mut [u8],
) -> Result<Way, Refusal<'static>> {
    let plain = planner.plain(request)?;
    let length = plain.write_request(request, hop, out).map_err(Refusal::CannotPass)?;
    Ok(Way::Plain { request: length, body: plain.body() })
}

#[inline(never)]
fn upgrade(
    planner: &Planner,
    request: &Request<'_, HEADERS>,
    hop: &Hop<'_>,
    out: &mut [u8],
) -> Result<Way, Refusal<'static>> {
    // No key of this end's is needed: upstream is asked for SPDY, or for what the client asked for.
    let mut plan = planner.plan(request, [0; 16])?;
    let length = write(plan.attempts.first(), request, hop, out)?;
    let attempt = plan.attempts.pop().ok_or(Refusal::UnknownUpgrade)?;
    if attempt.then == Then::PassOn {
        return Ok(Way::PassOn { request: length, attempt });
    }
    let agreed = plan.agreed.ok_or(Refusal::UnknownUpgrade)?;
    let work = match attempt.then {
        Then::ToSpdy => Work::Exec(plan.streams),
        #[cfg(feature = "port-forward")]
        Then::TunnelToSpdy => Work::Forward(Forward::Tunnel),
        #[cfg(feature = "port-forward")]
        Then::PortsToSpdy => {
            let ports = Ports::of(&Target::parse(request.target)?, agreed.protocol)?;
            Work::Forward(Forward::Ports(ports))
        }
        _ => return Err(Refusal::UnknownUpgrade),
    };
    Ok(Way::Translate { request: length, work, agreed, attempt })
}

#[inline(never)]
fn write(
    attempt: Option<&Attempt>,
    request: &Request<'_, HEADERS>,
    hop: &Hop<'_>,
    out: &mut [u8],
) -> Result<usize, Refusal<'static>> {
    let attempt = attempt.ok_or(Refusal::UnknownUpgrade)?;
    attempt.write_request(request, hop, out).map_err(Refusal::CannotPass)
}

#[inline(never)]
fn answer(status: u16, message: impl core::fmt::Display, out: &mut [u8]) -> Way {
    // Without room for any answer the connection is closed without one.
    let length = write_text(status, [], message, out).unwrap_or_default();
    Way::Answer { status, length }
}

/// The answer to a request whose head could not be read; `None` if there is nobody to answer.
pub(super) fn to_failed_head(failure: HeadFailure, out: &mut [u8]) -> Option<Way> {
    match failure {
        HeadFailure::Closed | HeadFailure::Io(_) => None,
        HeadFailure::Timeout => Some(answer(408, "the request's head was not complete in time", out)),
        HeadFailure::Malformed(error) => Some(answer(error.status(), error, out)),
    }
}
