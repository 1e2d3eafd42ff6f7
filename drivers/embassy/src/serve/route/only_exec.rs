use strait::gateway::{Hop, Translation};
use strait::http::{Request, WriteError};
use strait::upgrade::Refusal;

use super::{HEADERS, Way, Work, answer};

/// Exec and attach over WebSocket are served, and nothing else.
#[inline(never)]
pub(super) fn way(
    request: &Request<'_, HEADERS>,
    hop: &Hop<'_>,
    out: &mut [u8],
) -> Result<Way, Refusal<'static>> {
    let Some(Translation { agreed, streams }) = Translation::of(request)? else {
        return Ok(answer(501, &"only exec and attach over WebSocket are served here", out));
    };
    let request = Translation::write_request(request, hop, out).map_err(Refusal::CannotPass)?;
    Ok(Way::Translate { request, work: Work::Exec(streams), agreed, expected: Translation::expected() })
}

/// The answer to what was refused.
pub(super) fn write_refusal(
    refused: &Refusal<'_>,
    _: &Request<'_, HEADERS>,
    out: &mut [u8],
) -> Result<usize, WriteError> {
    refused.write_websocket(out)
}
