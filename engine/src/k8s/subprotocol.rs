//! The subprotocols of exec, attach and port-forward, and how client and server agree on one.
//!
//! | name | codec | error channel | resize on SPDY | served over |
//! |---|---|---|---|---|
//! | none offered (`""`) | raw | text | - | WebSocket |
//! | `channel.k8s.io` | raw | text | no | SPDY, WebSocket |
//! | `base64.channel.k8s.io` | base64 | text | - | WebSocket |
//! | `v2.channel.k8s.io` | raw | text | no | SPDY |
//! | `v3.channel.k8s.io` | raw | text | yes | SPDY |
//! | `v4.channel.k8s.io` | raw | `Status` | yes | SPDY, WebSocket |
//! | `v4.base64.channel.k8s.io` | base64 | `Status` | - | WebSocket |
//! | `v5.channel.k8s.io` | raw, and CLOSE | `Status` | yes | WebSocket (translator) |
//! | `portforward.k8s.io` | - | - | - | SPDY |
//! | `SPDY/3.1+portforward.k8s.io` | - | - | - | WebSocket (tunnel) |
//!
//! `websocket-channels.md` section 1, `remotecommand.md` section 1, `port-forward.md`.

use core::fmt;

/// What both ends speak once the connection is upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subprotocol {
    /// `v5.channel.k8s.io`: as v4, and the client can half-close a channel.
    V5,
    /// `v4.channel.k8s.io`: the error channel carries a JSON `Status`, always.
    V4,
    /// `v3.channel.k8s.io`: as v2, with the resize stream.
    V3,
    /// `v2.channel.k8s.io`: as v1, with a half-close of stdin that works.
    V2,
    /// `channel.k8s.io` (there is no `v1.` on the wire).
    V1,
    /// `v4.base64.channel.k8s.io`: v4 in text messages.
    V4Base64,
    /// `base64.channel.k8s.io`: v1 in text messages.
    V1Base64,
    /// A WebSocket client that offers nothing: spoken as v1, and not named in the answer.
    None,
    /// `portforward.k8s.io`: pairs of streams on SPDY.
    PortForward,
    /// `SPDY/3.1+portforward.k8s.io`: the same inside WebSocket messages.
    TunnelPortForward,
}

impl Subprotocol {
    /// What an SPDY server takes for exec and attach.
    pub const SPDY_SERVER: &'static [Self] = &[Self::V4, Self::V3, Self::V2, Self::V1];
    /// What a Go client offers on SPDY for exec and attach, most preferred first. No server takes v5 there.
    pub const SPDY_CLIENT_OFFER: &'static [Self] = &[Self::V5, Self::V4, Self::V3, Self::V2, Self::V1];
    /// What a CRI server takes over WebSocket for exec and attach.
    pub const WEBSOCKET_SERVER: &'static [Self] =
        &[Self::None, Self::V1, Self::V1Base64, Self::V4, Self::V4Base64];
    /// What the translator takes.
    pub const TRANSLATOR: &'static [Self] = &[Self::V5];
    /// What a client offers over WebSocket to reach translators and CRI servers alike.
    pub const WEBSOCKET_CLIENT_OFFER: &'static [Self] = &[Self::V5, Self::V4];
    /// What an SPDY server takes for port-forward, and what a client offers it.
    pub const SPDY_PORT_FORWARD: &'static [Self] = &[Self::PortForward];
    /// What the tunnel takes for port-forward, and what a client offers it.
    pub const TUNNEL: &'static [Self] = &[Self::TunnelPortForward];
    /// What a CRI server takes over WebSocket for the legacy port-forward.
    pub const WEBSOCKET_PORT_FORWARD: &'static [Self] = &[Self::None, Self::V4, Self::V4Base64];

    const ALL: [Self; 10] = [
        Self::V5,
        Self::V4,
        Self::V3,
        Self::V2,
        Self::V1,
        Self::V4Base64,
        Self::V1Base64,
        Self::None,
        Self::PortForward,
        Self::TunnelPortForward,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V3 => "v3.channel.k8s.io",
            Self::V2 => "v2.channel.k8s.io",
            Self::V1 => "channel.k8s.io",
            Self::V4Base64 => "v4.base64.channel.k8s.io",
            Self::V1Base64 => "base64.channel.k8s.io",
            Self::None => "",
            Self::PortForward => "portforward.k8s.io",
            Self::TunnelPortForward => "SPDY/3.1+portforward.k8s.io",
        }
    }

    /// The subprotocol of this name, exactly as spelled.
    pub fn from_name(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        Self::ALL.into_iter().find(|known| known.name().as_bytes() == name)
    }

    /// Payloads are base64, messages are text, and the channel byte is an ASCII digit.
    pub const fn is_base64(self) -> bool {
        matches!(self, Self::V4Base64 | Self::V1Base64)
    }

    /// The client can half-close a channel with a CLOSE message.
    pub const fn has_close(self) -> bool {
        matches!(self, Self::V5)
    }

    /// The error channel carries a JSON `Status`, also on success. Others carry text, and on success nothing.
    pub const fn status_is_json(self) -> bool {
        matches!(self, Self::V5 | Self::V4 | Self::V4Base64)
    }

    /// A session with a terminal has a resize stream on SPDY. (Over WebSocket channel 4 exists in all of them.)
    pub const fn has_resize_on_spdy(self) -> bool {
        matches!(self, Self::V5 | Self::V4 | Self::V3)
    }
}

impl fmt::Display for Subprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Chooses what a server speaks: the first item of the *client's* list that is in `known`.
///
/// `offered` are the values of all header lines of that name (`Sec-WebSocket-Protocol` or
/// `X-Stream-Protocol-Version`), in order; each is split at commas, trimmed, and empty items are dropped.
/// Without any item the offer is [`Subprotocol::None`], which only WebSocket servers have in `known`.
/// The item that carries a browser's bearer token is never chosen.
///
/// ```
/// use strait::k8s::{Refused, Subprotocol, negotiate};
///
/// let chosen = negotiate(["v5.channel.k8s.io, v4.channel.k8s.io"], Subprotocol::SPDY_SERVER);
/// assert_eq!(chosen, Ok(Subprotocol::V4));
/// assert_eq!(negotiate(["v9"], Subprotocol::SPDY_SERVER), Err(Refused::NothingInCommon));
/// ```
pub fn negotiate<L>(
    offered: impl IntoIterator<Item = L>,
    known: &[Subprotocol],
) -> Result<Subprotocol, Refused>
where
    L: AsRef<[u8]>,
{
    let mut refused = Refused::Missing;
    for line in offered {
        refused = refused.max(Refused::NoItem);
        for item in items(line.as_ref()) {
            if is_bearer(item) {
                refused = refused.max(Refused::OnlyBearer);
                continue;
            }
            refused = Refused::NothingInCommon;
            if let Some(chosen) = known.iter().find(|known| known.name().as_bytes() == item) {
                return Ok(*chosen);
            }
        }
    }
    match refused {
        Refused::Missing | Refused::NoItem if known.contains(&Subprotocol::None) => Ok(Subprotocol::None),
        _ => Err(refused),
    }
}

/// The items of one header line: split at commas, trimmed, without the empty ones.
pub fn items(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// True for an item of `Sec-WebSocket-Protocol` that is no protocol but a browser's bearer token.
///
/// It is a credential: never answer with it, and never log it (`http-upgrade.md` section 3.1).
pub fn is_bearer(item: &[u8]) -> bool {
    item.starts_with(b"base64url.bearer.authorization.k8s.io.")
}

/// No subprotocol was chosen. The answers differ by the kind of upgrade that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// There is no such header.
    Missing,
    /// The header is there, and no item in it.
    NoItem,
    /// The only item is a bearer token.
    OnlyBearer,
    /// None of the items is known.
    NothingInCommon,
}

impl Refused {
    /// HTTP status of the answer to an SPDY upgrade (`http-upgrade.md` section 2.2).
    pub const fn spdy_status(self) -> u16 {
        match self {
            Self::Missing | Self::NoItem => 400,
            Self::OnlyBearer | Self::NothingInCommon => 403,
        }
    }

    /// HTTP status of the answer to a WebSocket upgrade (`http-upgrade.md` sections 3.1 and 3.3).
    pub const fn websocket_status(self) -> u16 {
        match self {
            Self::OnlyBearer => 401,
            Self::Missing | Self::NoItem | Self::NothingInCommon => 403,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no subprotocol is offered",
            Self::NoItem => "the offer of subprotocols is empty",
            Self::OnlyBearer => "missing additional subprotocol",
            Self::NothingInCommon => "unable to negotiate protocol",
        })
    }
}

impl core::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn chosen(offered: &[&str], known: &[Subprotocol]) -> Result<Subprotocol, Refused> {
        negotiate(offered, known)
    }

    #[test]
    fn names_lead_back_to_their_subprotocol() {
        for subprotocol in Subprotocol::ALL {
            assert_eq!(Subprotocol::from_name(subprotocol.name()), Some(subprotocol));
        }
        for name in ["v1.channel.k8s.io", "V4.channel.k8s.io", "v4.channel.k8s.io ", "v2.portforward.k8s.io"]
        {
            assert_eq!(Subprotocol::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_table_of_properties_holds() {
        // name, base64, close, JSON status, resize on SPDY
        let table = [
            ("", false, false, false, false),
            ("channel.k8s.io", false, false, false, false),
            ("base64.channel.k8s.io", true, false, false, false),
            ("v2.channel.k8s.io", false, false, false, false),
            ("v3.channel.k8s.io", false, false, false, true),
            ("v4.channel.k8s.io", false, false, true, true),
            ("v4.base64.channel.k8s.io", true, false, true, false),
            ("v5.channel.k8s.io", false, true, true, true),
            ("portforward.k8s.io", false, false, false, false),
            ("SPDY/3.1+portforward.k8s.io", false, false, false, false),
        ];
        for (name, base64, close, json, resize) in table {
            let it = Subprotocol::from_name(name).unwrap();
            let has = (it.is_base64(), it.has_close(), it.status_is_json(), it.has_resize_on_spdy());
            assert_eq!(has, (base64, close, json, resize), "{name}");
        }
    }

    #[test]
    fn the_go_client_gets_v4_on_spdy_though_it_prefers_v5() {
        let lines: Vec<_> = Subprotocol::SPDY_CLIENT_OFFER.iter().map(|offer| offer.name()).collect();
        assert_eq!(lines[4], "channel.k8s.io");
        assert_eq!(chosen(&lines, Subprotocol::SPDY_SERVER), Ok(Subprotocol::V4));
        assert_eq!(chosen(&[&lines.join(",")], Subprotocol::SPDY_SERVER), Ok(Subprotocol::V4));
    }

    /// Covers: RFC6455-4.2.2-3
    #[test]
    fn the_order_of_the_client_decides() {
        let known = Subprotocol::SPDY_SERVER;
        assert_eq!(chosen(&["channel.k8s.io", "v4.channel.k8s.io"], known), Ok(Subprotocol::V1));
        assert_eq!(chosen(&[" , ,\tv2.channel.k8s.io ,v4.channel.k8s.io"], known), Ok(Subprotocol::V2));
    }

    #[test]
    fn the_clients_of_the_table_get_what_it_says() {
        let javascript =
            "v5.channel.k8s.io, v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io";
        for offer in
            [javascript, "v5.channel.k8s.io,v4.channel.k8s.io", "v4.channel.k8s.io, v5.channel.k8s.io"]
        {
            assert_eq!(chosen(&[offer], Subprotocol::TRANSLATOR), Ok(Subprotocol::V5), "{offer}");
            assert_eq!(chosen(&[offer], Subprotocol::WEBSOCKET_SERVER), Ok(Subprotocol::V4), "{offer}");
            assert_eq!(chosen(&[offer], Subprotocol::WEBSOCKET_PORT_FORWARD), Ok(Subprotocol::V4), "{offer}");
        }
        // All lines count, not the first alone.
        let lines = ["v4.channel.k8s.io", "v5.channel.k8s.io"];
        assert_eq!(chosen(&lines, Subprotocol::TRANSLATOR), Ok(Subprotocol::V5));
        for refused in ["v2.channel.k8s.io", "v3.channel.k8s.io", "v5.channel.k8s.io"] {
            assert_eq!(chosen(&[refused], Subprotocol::WEBSOCKET_SERVER), Err(Refused::NothingInCommon));
        }
        assert_eq!(
            chosen(&["SPDY/3.1+portforward.k8s.io"], Subprotocol::TUNNEL),
            Ok(Subprotocol::TunnelPortForward)
        );
    }

    #[test]
    fn no_offer_is_the_nameless_one_where_a_server_knows_it() {
        for offer in [&[][..], &[""], &[" , "]] {
            assert_eq!(chosen(offer, Subprotocol::WEBSOCKET_SERVER), Ok(Subprotocol::None));
            assert_eq!(chosen(offer, Subprotocol::WEBSOCKET_PORT_FORWARD), Ok(Subprotocol::None));
        }
        assert_eq!(chosen(&[], Subprotocol::TRANSLATOR).map_err(Refused::websocket_status), Err(403));
    }

    #[test]
    fn the_refusals_of_spdy_differ() {
        let known = Subprotocol::SPDY_SERVER;
        let answer = |offered| chosen(offered, known).map_err(|refused| (refused, refused.spdy_status()));
        assert_eq!(answer(&[]), Err((Refused::Missing, 400)));
        assert_eq!(answer(&["", ", ,"]), Err((Refused::NoItem, 400)));
        assert_eq!(answer(&["v9"]), Err((Refused::NothingInCommon, 403)));
        assert_eq!(answer(&["v5.channel.k8s.io"]), Err((Refused::NothingInCommon, 403)));
    }

    /// Covers: RFC6455-10.5-1
    #[test]
    fn a_bearer_token_is_never_chosen_and_never_enough() {
        let token = "base64url.bearer.authorization.k8s.io.dG9rZW4";
        for known in [Subprotocol::TRANSLATOR, Subprotocol::WEBSOCKET_SERVER] {
            assert_eq!(chosen(&[token], known), Err(Refused::OnlyBearer));
        }
        assert_eq!(Refused::OnlyBearer.websocket_status(), 401);
        let offer = [token, "v9, v4.channel.k8s.io"];
        assert_eq!(chosen(&offer, Subprotocol::WEBSOCKET_SERVER), Ok(Subprotocol::V4));
        assert_eq!(chosen(&["v9", token], Subprotocol::WEBSOCKET_SERVER), Err(Refused::NothingInCommon));
    }
}
