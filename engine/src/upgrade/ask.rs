use core::fmt;

use super::Upgrade;
use crate::http::{HeadWriter, Response};
use crate::k8s::Subprotocol;
use crate::ws;

/// Bytes of a `Content-Type` that are kept; a longer one is taken for text.
const CONTENT_TYPE: usize = 64;

/// An upgrade that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientUpgrade<'k> {
    /// A WebSocket, under this key: [`ws::client_key`] makes one.
    WebSocket {
        /// Value of `Sec-WebSocket-Key`.
        key: &'k [u8],
    },
    /// SPDY/3.1.
    Spdy,
}

impl ClientUpgrade<'_> {
    /// What the connection is to become.
    pub const fn upgrade(&self) -> Upgrade {
        match self {
            Self::WebSocket { .. } => Upgrade::WebSocket,
            Self::Spdy => Upgrade::Spdy,
        }
    }

    /// The method of its request, which API servers take for the verb to be authorized: `get` and `create`.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::WebSocket { .. } => "GET",
            Self::Spdy => "POST",
        }
    }

    /// Appends its headers, with `protocols`, most preferred first.
    pub fn headers<'a, T: AsRef<[u8]>>(
        &self,
        head: HeadWriter<'a>,
        protocols: impl IntoIterator<Item = T>,
    ) -> HeadWriter<'a> {
        let upgrade = self.upgrade();
        let head = head.header("Connection", "Upgrade").header("Upgrade", upgrade.name());
        match self {
            Self::WebSocket { key } => head
                .header("Sec-WebSocket-Key", key)
                .header("Sec-WebSocket-Version", "13")
                .list(upgrade.header(), protocols),
            // One line each, as Go's client has it.
            Self::Spdy => protocols
                .into_iter()
                .fold(head, |head, protocol| head.header(upgrade.header(), protocol))
                .content_length(0),
        }
    }

    /// What the answer has to be, if `offered` was asked for.
    pub fn expects(&self, offered: &'static [Subprotocol]) -> Expected {
        let key = match *self {
            // What is no key cannot be answered.
            Self::WebSocket { key } => key.try_into().ok(),
            Self::Spdy => None,
        };
        Expected { upgrade: self.upgrade(), key, offered: Some(offered) }
    }
}

/// The answer that an upgrade waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    upgrade: Upgrade,
    /// A WebSocket's key. What answers it is a SHA-1, whose time and stack are spent when there is an answer.
    key: Option<[u8; 24]>,
    /// `None` if the offer is another client's, to whom the answer is passed on.
    offered: Option<&'static [Subprotocol]>,
}

impl Expected {
    /// What the connection is to become.
    pub const fn upgrade(&self) -> Upgrade {
        self.upgrade
    }

    /// A WebSocket's key.
    pub(crate) fn key(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| key.as_slice())
    }

    /// The same, and whatever is chosen is left to the client whose offer it was.
    pub(crate) const fn of_any(self) -> Self {
        Self { offered: None, ..self }
    }

    /// Checks that a response grants the upgrade, and says the protocol that it chose.
    ///
    /// A SPDY server that names none means version 1, where that was offered (`http-upgrade.md` section 2.3).
    pub fn check<const H: usize>(&self, response: &Response<'_, H>) -> Result<Subprotocol, UpgradeError> {
        let status = response.status;
        match status {
            101 => {}
            300..400 => return Err(UpgradeError::Redirect { status }),
            ..400 => return Err(UpgradeError::Status { status }),
            _ => return Err(UpgradeError::Refused { status, content_type: content_type(response) }),
        }
        if !response.headers.has_token("Connection", "upgrade")
            || !response.headers.has_token("Upgrade", self.upgrade.name())
        {
            return Err(UpgradeError::NotUpgraded);
        }
        if self.upgrade == Upgrade::WebSocket
            && !self.is_accepted(response.headers.get("Sec-WebSocket-Accept"))
        {
            return Err(UpgradeError::Accept);
        }
        let name = response.headers.get(self.upgrade.header()).filter(|name| !name.is_empty());
        let chosen = match (name, self.upgrade) {
            (None, Upgrade::Spdy) => Some(Subprotocol::V1),
            (None, Upgrade::WebSocket) => Some(Subprotocol::None),
            (Some(name), _) => Subprotocol::from_name(name),
        };
        let is_ours = |chosen: &Subprotocol| self.offered.is_none_or(|offered| offered.contains(chosen));
        chosen.filter(is_ours).ok_or_else(|| match name {
            None => UpgradeError::NoProtocol,
            Some(name) => UpgradeError::Protocol { name: cut(name) },
        })
    }

    #[inline(never)]
    fn is_accepted(&self, accept: Option<&[u8]>) -> bool {
        self.key.is_some_and(|key| accept == Some(&ws::accept_key(&key)))
    }
}

fn content_type<const H: usize>(response: &Response<'_, H>) -> heapless::String<CONTENT_TYPE> {
    let shown = response.headers.get_str("Content-Type").filter(|shown| !shown.is_empty());
    let shown = shown.and_then(|shown| heapless::String::try_from(shown).ok());
    shown.or_else(|| "text/plain; charset=utf-8".try_into().ok()).unwrap_or_default()
}

/// As much of a name as there is room for, up to what is no UTF-8.
fn cut(name: &[u8]) -> heapless::String<64> {
    let text = name.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let end = text.floor_char_boundary(64);
    text.get(..end).and_then(|text| text.try_into().ok()).unwrap_or_default()
}

/// Why a response grants no upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The server refuses. Its body may be a `Status`.
    Refused {
        /// HTTP status, 400 or above.
        status: u16,
        /// Type of the body; text if it names none.
        content_type: heapless::String<CONTENT_TYPE>,
    },
    /// The server points elsewhere. Never followed: it would carry the client's credentials to wherever it points
    /// (CVE-2020-8559).
    Redirect {
        /// HTTP status.
        status: u16,
    },
    /// The server answers as if there were no upgrade.
    Status {
        /// HTTP status below 300, and not 101.
        status: u16,
    },
    /// A 101 to something else.
    NotUpgraded,
    /// A 101 that does not answer the key.
    Accept,
    /// A 101 without a protocol where one must be chosen.
    NoProtocol,
    /// A 101 with a protocol that was not offered.
    Protocol {
        /// Its name, or the first 64 bytes of it.
        name: heapless::String<64>,
    },
}

impl UpgradeError {
    /// True if another protocol may work where this one did not (`http-upgrade.md` section 4).
    pub const fn is_about_the_protocol(&self) -> bool {
        !matches!(self, Self::Redirect { .. })
    }

    /// HTTP status of the answer to the client behind whose request this upgrade was.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Refused { status, .. } => *status,
            _ => 500,
        }
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, .. } => write!(f, "unable to upgrade connection: status code {status}"),
            Self::Redirect { status } => write!(f, "redirect not allowed: upstream answered {status}"),
            Self::Status { status } => write!(f, "invalid upgrade response: status code {status}"),
            Self::NotUpgraded => f.write_str("unable to upgrade: missing upgrade headers in response"),
            Self::Accept => f.write_str("unable to upgrade: wrong Sec-WebSocket-Accept in response"),
            Self::NoProtocol => f.write_str("unable to upgrade: upstream chose no protocol"),
            Self::Protocol { name } => write!(f, "upstream chose the unknown protocol {name}"),
        }
    }
}

impl core::error::Error for UpgradeError {}
