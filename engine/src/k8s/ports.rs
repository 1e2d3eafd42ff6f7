//! The ports of a port-forward: the query that names them, and their channels and streams.
//!
//! The legacy form over WebSocket gives each port two channels. Right behind the 101 the server begins every channel with
//! a message that holds the channel's port, little-endian, port by port:
//!
//! ```text
//! query      API server  ports=8080&ports=9090       kubelet  port=8080,9090       (either spells a list in both ways)
//!
//! channel    0 data of 8080      1 error of 8080      2 data of 9090      3 error of 9090      ...
//! direction  both                from the server      both                from the server
//! begins     00 90 1f            01 90 1f             02 82 23            03 82 23
//! ```
//!
//! Over SPDY, and in the tunnel, a connection to a port is a pair of streams with the headers `streamtype`
//! ([`PortStream`]), `port` and `requestid`; no query is needed.
//!
//! `port-forward.md` sections 1 and 3.

use super::channel::Channel;
use super::request::{RequestError, Server, Target};
use super::subprotocol::Subprotocol;
use crate::http::target;

/// Header of a SPDY stream that says which [`PortStream`] it is.
pub const STREAM_TYPE: &str = "streamtype";
/// Header of a SPDY stream that names the port, in decimal.
pub const PORT: &str = "port";
/// Header of a SPDY stream that tells which pair it belongs to; old clients send none.
pub const REQUEST_ID: &str = "requestid";

/// The ports that a legacy port-forward names, in order, at most `N`; 128 are as many as there are channels for.
///
/// ```
/// use strait::k8s::{Channel, PortChannel, PortStream, Ports, Subprotocol, Target};
///
/// let target = Target::parse("/portForward/default/p?port=8080,9090")?;
/// let ports: Ports = Ports::of(&target, Subprotocol::V4)?;
/// assert_eq!(ports.as_slice(), [8080, 9090]);
/// let third = PortChannel { index: 1, stream: PortStream::Data };
/// assert_eq!(ports.channels().nth(2), Some((third, 9090)));
/// assert_eq!(third.channel(), Channel::new(2));
/// # Ok::<(), strait::k8s::RequestError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports<const N: usize = 128>(heapless::Vec<u16, N>);

impl<const N: usize> Ports<N> {
    /// The ports of a request, if there is one at least, each is good, and there is a channel of `subprotocol` and room
    /// for all of them.
    ///
    /// # Errors
    /// [`RequestError::NoPorts`], [`InvalidPort`](RequestError::InvalidPort) and
    /// [`TooManyPorts`](RequestError::TooManyPorts).
    pub fn of(target: &Target<'_>, subprotocol: Subprotocol) -> Result<Self, RequestError> {
        let limit = most_ports(subprotocol).min(N);
        let mut ports = Self::default();
        for port in target.ports() {
            let port = port?;
            if ports.0.len() >= limit || ports.0.push(port).is_err() {
                return Err(RequestError::TooManyPorts { limit });
            }
        }
        if ports.0.is_empty() { Err(RequestError::NoPorts) } else { Ok(ports) }
    }

    /// One port.
    pub fn one(port: u16) -> Self {
        Self(core::iter::once(port).take(N).collect())
    }

    /// The ports.
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }

    /// All channels with their ports, in the order in which a server begins them.
    pub fn channels(&self) -> impl Iterator<Item = (PortChannel, u16)> + Clone + '_ {
        (0..).zip(&self.0).flat_map(|(index, &port)| {
            [PortStream::Data, PortStream::Error].map(|stream| (PortChannel { index, stream }, port))
        })
    }

    /// Which port a message is about; `None` if its channel belongs to none of them.
    pub fn find(&self, channel: Channel) -> Option<(PortChannel, u16)> {
        let channel = PortChannel::of(channel);
        Some((channel, *self.0.get(usize::from(channel.index))?))
    }
}

/// Most ports that a legacy client can name: two channels a port, and in base64 a channel is one character from `0` up
/// to the end of ASCII, because the message is text.
pub const fn most_ports(subprotocol: Subprotocol) -> usize {
    if subprotocol.is_base64() { (0x80 - b'0' as usize) / 2 } else { 128 }
}

/// A channel of the legacy port-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortChannel {
    /// Which of the request's ports, counted from 0.
    pub index: u8,
    /// Which of its two channels.
    pub stream: PortStream,
}

impl PortChannel {
    /// The channel of a message.
    pub const fn of(channel: Channel) -> Self {
        let number = channel.number();
        Self {
            index: number / 2,
            stream: if number.is_multiple_of(2) { PortStream::Data } else { PortStream::Error },
        }
    }

    /// Its number on the wire: `2 * index`, and one more for errors. An index above 127 has none: it wraps.
    pub const fn channel(self) -> Channel {
        let number = self.index.wrapping_mul(2);
        Channel::new(match self.stream {
            PortStream::Data => number,
            PortStream::Error => number.wrapping_add(1),
        })
    }
}

/// One of the two streams of a connection to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortStream {
    /// What went wrong, as text; the client half-closes it at once.
    Error,
    /// The bytes of the connection, both ways.
    Data,
}

impl PortStream {
    /// Value of the header [`STREAM_TYPE`].
    pub const fn stream_type(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Data => "data",
        }
    }

    /// The stream with this [`STREAM_TYPE`], in lower case as it must be sent.
    pub fn from_stream_type(value: &[u8]) -> Option<Self> {
        [Self::Error, Self::Data].into_iter().find(|stream| stream.stream_type().as_bytes() == value)
    }

    /// The other stream of its pair.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Error => Self::Data,
            Self::Data => Self::Error,
        }
    }
}

/// The payload of the first message of a channel: its port.
pub const fn port_message(port: u16) -> [u8; 2] {
    port.to_le_bytes()
}

/// The port that the first message of a channel names; `None` if it is no such message.
pub fn read_port_message(payload: &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(payload.try_into().ok()?))
}

/// A port as a SPDY header or a query has it: decimal, 1 to 65,535, without a sign.
pub fn parse_port(digits: impl IntoIterator<Item = u8>) -> Option<u16> {
    let mut port = None;
    for byte in digits {
        let digit = char::from(byte).to_digit(10).and_then(|digit| u16::try_from(digit).ok())?;
        port = Some(port.unwrap_or(0_u16).checked_mul(10)?.checked_add(digit)?);
    }
    port.filter(|&port| port > 0)
}

impl<'a> Target<'a> {
    /// The ports that a legacy port-forward over WebSocket names, in order; the others need none.
    ///
    /// Each item that is no port from 1 to 65,535 is a [`RequestError::InvalidPort`].
    pub fn ports(&self) -> impl Iterator<Item = Result<u16, RequestError>> + Clone + use<'a> {
        let name = match self.server {
            Server::Api => "ports",
            Server::Kubelet | Server::Cri => "port",
        };
        let mut list = self.values(name).flat_map(|value| target::decode(value).chain([b',']));
        core::iter::from_fn(move || {
            let first = list.next()?;
            let rest = core::iter::from_fn(|| list.next());
            let mut item = core::iter::once(first).chain(rest).take_while(|&byte| byte != b',');
            let port = parse_port(item.by_ref());
            item.for_each(drop);
            Some(port.ok_or(RequestError::InvalidPort))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    const API: &str = "/api/v1/namespaces/n/pods/p/portforward";

    fn ports(target: &str, subprotocol: Subprotocol) -> Result<Ports, RequestError> {
        Ports::of(&Target::parse(target).unwrap(), subprotocol)
    }

    #[test]
    fn ports_are_repeated_or_listed() {
        let list = |target: &str| ports(target, Subprotocol::V4).map(|ports| ports.as_slice().to_vec());
        assert_eq!(list(&format!("{API}?ports=8080&ports=1,65535")), Ok(std::vec![8080, 1, 65535]));
        assert_eq!(list("/portForward/n/p?port=8080%2C9090&ports=1"), Ok(std::vec![8080, 9090]));
        for bad in ["", "0", "65536", "-1", "+1", "1,", ",1", "1,,2", "1,x1,2", "1%202", "99999999999"] {
            assert_eq!(list(&format!("{API}?ports={bad}")), Err(RequestError::InvalidPort), "{bad}");
        }
        assert_eq!(list(API), Err(RequestError::NoPorts));
        assert_eq!((RequestError::NoPorts.status(), RequestError::InvalidPort.status()), (400, 400));
    }

    #[test]
    fn a_bad_item_does_not_hide_the_ones_behind_it() {
        let text = format!("{API}?ports=1x,2&ports=3");
        let items: Vec<_> = Target::parse(&text).unwrap().ports().collect();
        assert_eq!(items, [Err(RequestError::InvalidPort), Ok(2), Ok(3)]);
    }

    #[test]
    fn there_are_as_many_ports_as_channels_and_room() {
        let list = |count: u16| {
            let list: Vec<_> = (1..=count).map(|port| format!("{port}")).collect();
            format!("{API}?ports={}", list.join(","))
        };
        for (subprotocol, limit) in
            [(Subprotocol::None, 128), (Subprotocol::V4, 128), (Subprotocol::V4Base64, 40)]
        {
            let fits = ports(&list(limit), subprotocol).unwrap();
            let wires: Vec<_> = fits.channels().map(|(at, _)| at.channel().to_wire(subprotocol)).collect();
            assert_eq!(wires.len(), usize::from(limit) * 2);
            assert!(wires.is_sorted_by(|one, next| one < next), "no number is used twice");
            assert!(!subprotocol.is_base64() || wires.is_ascii());
            let excess = RequestError::TooManyPorts { limit: limit.into() };
            assert_eq!(ports(&list(limit + 1), subprotocol), Err(excess));
        }
        let text = list(3);
        let few: Result<Ports<2>, _> = Ports::of(&Target::parse(&text).unwrap(), Subprotocol::V4);
        assert_eq!(few, Err(RequestError::TooManyPorts { limit: 2 }));
    }

    #[test]
    fn one_port_needs_no_request() {
        assert_eq!(Ports::<1>::one(8080).as_slice(), [8080]);
        assert!(Ports::<0>::one(8080).as_slice().is_empty(), "where there is room for it");
    }

    #[test]
    fn channels_lead_back_to_their_ports() {
        let ports = ports(&format!("{API}?ports=8080,9090"), Subprotocol::V4).unwrap();
        let begin: Vec<_> = ports
            .channels()
            .map(|(at, port)| {
                assert_eq!(ports.find(at.channel()), Some((at, port)));
                (at.channel().number(), port_message(port))
            })
            .collect();
        assert_eq!(begin, [(0, [0x90, 0x1f]), (1, [0x90, 0x1f]), (2, [0x82, 0x23]), (3, [0x82, 0x23])]);
        assert_eq!(ports.find(Channel::new(4)), None);
        for number in 0..=u8::MAX {
            assert_eq!(PortChannel::of(Channel::new(number)).channel(), Channel::new(number));
        }
    }

    #[test]
    fn a_port_message_has_exactly_two_bytes() {
        assert_eq!(read_port_message(&port_message(8080)), Some(8080));
        for bad in [&b""[..], b"\x90", b"\x90\x1f\x00"] {
            assert_eq!(read_port_message(bad), None);
        }
    }

    #[test]
    fn stream_types_are_lower_case() {
        for stream in [PortStream::Error, PortStream::Data] {
            assert_eq!(PortStream::from_stream_type(stream.stream_type().as_bytes()), Some(stream));
            assert_eq!(stream.other().other(), stream);
        }
        assert_eq!(PortStream::from_stream_type(b"Data"), None);
        assert_eq!(PortStream::from_stream_type(b"stdin"), None);
    }
}
