#[cfg_attr(feature = "pass-on", path = "route/all.rs")]
#[cfg_attr(not(feature = "pass-on"), path = "route/only_exec.rs")]
mod ways;

use core::net::IpAddr;

use strait::gateway::Hop;
use strait::http::{HeadError, Request, origin, write_text};
use strait::k8s::StreamSet;
use strait::upgrade::{Accepted, Expected, Refusal};

#[cfg(feature = "port-forward")]
use super::forward::Forward;
#[cfg(feature = "pass-on")]
use super::onward::Onward;
use super::{HEADERS, Options};
use crate::head::HeadFailure;

/// What a request gets. What is to be sent lies in memory.
pub(super) enum Way {
    /// This answer, after which the connection is closed.
    Answer { status: u16, length: usize },
    /// A session that is translated.
    Translate { request: usize, work: Work, agreed: Accepted, expected: Expected },
    /// It goes on as it is.
    #[cfg(feature = "pass-on")]
    Onward(Onward),
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
        return answer(403, &"requests of web pages from this Origin are not allowed", out);
    }
    let hop = Hop {
        authority: options.authority,
        prefix: options.prefix,
        client: peer,
        authorization: options.authorization,
    };
    let way = ways::way(request, &hop, out);
    way.unwrap_or_else(|refused| refusal(&refused, request, out))
}

// Each step is a function of its own: on the stack, what one takes is free again for the next.
#[inline(never)]
fn parse(head: &[u8]) -> Result<Request<'_, HEADERS>, HeadError> {
    Request::parse(head)
}

#[inline(never)]
fn refusal(refused: &Refusal<'_>, request: &Request<'_, HEADERS>, out: &mut [u8]) -> Way {
    match ways::write_refusal(refused, request, out) {
        Ok(length) => Way::Answer { status: refused.status(), length },
        Err(_) => answer(refused.status(), refused, out),
    }
}

#[inline(never)]
fn answer(status: u16, message: &dyn core::fmt::Display, out: &mut [u8]) -> Way {
    // Without room for any answer the connection is closed without one.
    let length = write_text(status, [], message, out).unwrap_or_default();
    Way::Answer { status, length }
}

/// The answer to a request whose head could not be read; `None` if there is nobody to answer.
pub(super) fn to_failed_head(failure: HeadFailure, out: &mut [u8]) -> Option<Way> {
    match failure {
        HeadFailure::Closed | HeadFailure::Io(_) => None,
        HeadFailure::Timeout => Some(answer(408, &"the request's head was not complete in time", out)),
        HeadFailure::Malformed(error) => {
            // By reference, as in `route`: there is one function for both.
            let error = &error;
            Some(answer(error.status(), error, out))
        }
    }
}
