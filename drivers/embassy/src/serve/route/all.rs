use strait::gateway::{Attempt, Hop, Planner, Then, UpstreamProtocol};
use strait::http::{Request, WriteError};
#[cfg(feature = "port-forward")]
use strait::k8s::{Ports, Target};
use strait::upgrade::{Refusal, Upgrade};

use super::{HEADERS, Way, Work};
#[cfg(feature = "port-forward")]
use crate::serve::forward::Forward;
use crate::serve::onward::Onward;

/// The answer to what was refused.
pub(super) fn write_refusal(
    refused: &Refusal<'_>,
    request: &Request<'_, HEADERS>,
    out: &mut [u8],
) -> Result<usize, WriteError> {
    refused.write(request, out)
}

/// Everything is served: what is not translated is passed on.
pub(super) fn way(
    request: &Request<'_, HEADERS>,
    hop: &Hop<'_>,
    out: &mut [u8],
) -> Result<Way, Refusal<'static>> {
    let planner = Planner {
        protocol: UpstreamProtocol::Spdy,
        translates_port_forward: cfg!(feature = "port-forward"),
        ..Planner::default()
    };
    if Upgrade::is_asked_for(request) {
        upgrade(&planner, request, hop, out)
    } else {
        plain(&planner, request, hop, out)
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
    Ok(Way::Onward(Onward::Plain { request: length, body: plain.body() }))
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
        return Ok(Way::Onward(Onward::Session { request: length, expected: *attempt.expected() }));
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
    Ok(Way::Translate { request: length, work, agreed, expected: *attempt.expected() })
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
