use std::net::SocketAddr;
use std::time::{Duration, Instant};

use strait::k8s::Subprotocol;

use crate::pair_client::PATIENCE;
use crate::{Carrier, ChannelClient, End, PairClient};

/// How a client forwards ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwards {
    /// Pairs of streams.
    Pairs(Carrier),
    /// Pairs of channels.
    Channels(Subprotocol),
}

/// A client of either kind, with connections that are counted from 0.
#[derive(Debug)]
pub struct ForwardClient {
    wire: Wire,
}

#[derive(Debug)]
enum Wire {
    /// With the error stream and the data stream of each connection.
    Pairs(PairClient, Vec<(u32, u32)>),
    Channels(ChannelClient),
}

impl Forwards {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pairs(Carrier::Tunnel),
        Self::Pairs(Carrier::Spdy),
        Self::Channels(Subprotocol::V4),
        Self::Channels(Subprotocol::V4Base64),
        Self::Channels(Subprotocol::None),
    ];

    /// Channels have no word for it, nor for the end of a connection.
    pub const fn can_half_close(self) -> bool {
        matches!(self, Self::Pairs(_))
    }
}

impl ForwardClient {
    /// Begins a session with a connection to each of `ports`.
    pub fn connect(server: SocketAddr, forwards: Forwards, ports: &[u16]) -> Self {
        let wire = match forwards {
            Forwards::Pairs(carrier) => {
                let mut client = PairClient::connect(server, carrier);
                let pairs = ports.iter().map(|&port| client.pair(port)).collect();
                Wire::Pairs(client, pairs)
            }
            Forwards::Channels(protocol) => Wire::Channels(ChannelClient::connect(server, protocol, ports)),
        };
        Self { wire }
    }

    /// Another connection of the same session, where the protocol has that.
    pub fn open(&mut self, port: u16) -> Option<usize> {
        let Wire::Pairs(client, pairs) = &mut self.wire else { return None };
        pairs.push(client.pair(port));
        Some(pairs.len() - 1)
    }

    /// Sends bytes.
    pub fn send(&mut self, index: usize, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Pairs(client, pairs) => client.send(pairs[index].1, bytes, false),
            Wire::Channels(client) => client.send(index, bytes),
        }
    }

    /// Ends this half of a connection; see [`Forwards::can_half_close`].
    pub fn half_close(&mut self, index: usize) {
        let Wire::Pairs(client, pairs) = &mut self.wire else { panic!("channels have no half-close") };
        client.send(pairs[index].1, b"", true);
    }

    /// What came.
    pub fn data(&self, index: usize) -> &[u8] {
        match &self.wire {
            Wire::Pairs(client, pairs) => &client.came(pairs[index].1).data,
            Wire::Channels(client) => client.data(index),
        }
    }

    /// What went wrong, in words.
    pub fn error(&self, index: usize) -> String {
        let bytes = match &self.wire {
            Wire::Pairs(client, pairs) => &client.came(pairs[index].0).data,
            Wire::Channels(client) => client.error(index),
        };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The other half of a connection has ended in order, and so has its error stream. Channels never say so.
    pub fn is_finished(&self, index: usize) -> bool {
        let Wire::Pairs(client, pairs) = &self.wire else { return false };
        let (error, data) = pairs[index];
        [error, data].map(|id| client.came(id)).iter().all(|came| came.finished && came.reset.is_none())
    }

    /// The other half of a connection has ended in order; nothing is said of its errors. Channels never say so.
    pub fn is_half_closed(&self, index: usize) -> bool {
        let Wire::Pairs(client, pairs) = &self.wire else { return false };
        client.came(pairs[index].1).finished
    }

    /// A connection has failed, as its protocol says that: streams are reset, channels have but a text.
    pub fn has_failed(&self, index: usize) -> bool {
        match &self.wire {
            Wire::Pairs(client, pairs) => {
                let (error, data) = pairs[index];
                client.came(error).reset.is_some() && client.came(data).reset.is_some()
            }
            Wire::Channels(client) => !client.error(index).is_empty(),
        }
    }

    /// The session is over.
    pub fn is_gone(&self) -> bool {
        match &self.wire {
            Wire::Pairs(client, _) => client.gone,
            Wire::Channels(client) => client.end.is_some(),
        }
    }

    /// The session ended with a Close with 1000, or with all of SPDY's connection.
    pub fn ended_clean(&self) -> bool {
        match &self.wire {
            Wire::Pairs(client, _) => client.gone,
            Wire::Channels(client) => client.end == Some(End::Clean),
        }
    }

    /// Reads until it is so, and panics if that takes too long.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        assert!(self.within(PATIENCE, &mut is_so), "not {what}: {}", self.short());
    }

    /// Reads until it is so: false if it is not within `limit`.
    pub fn within(&mut self, limit: Duration, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let started = Instant::now();
        loop {
            if let Wire::Pairs(client, _) = &mut self.wire {
                client.receive();
            }
            if is_so(self) {
                return true;
            }
            if started.elapsed() > limit {
                return false;
            }
            match &mut self.wire {
                Wire::Pairs(client, _) => client.read(),
                Wire::Channels(client) => client.read(),
            }
        }
    }

    /// Reads for so long.
    pub fn read_for(&mut self, time: Duration) {
        self.within(time, |_| false);
    }

    /// Bytes go there and come back.
    #[track_caller]
    pub fn assert_echo(&mut self, index: usize, bytes: &[u8]) {
        let before = self.data(index).len();
        self.send(index, bytes);
        self.until("an echo", |client| client.data(index).len() >= before + bytes.len());
        assert!(&self.data(index)[before..] == bytes, "another echo");
    }

    fn short(&self) -> String {
        let count = match &self.wire {
            Wire::Pairs(_, pairs) => pairs.len(),
            Wire::Channels(client) => client.ports(),
        };
        let connections: Vec<_> = (0..count)
            .map(|index| {
                let (len, error) = (self.data(index).len(), self.error(index));
                let (finished, failed) = (self.is_half_closed(index), self.has_failed(index));
                format!("{index}: {len} bytes, half-closed {finished}, failed {failed} {error:?}")
            })
            .collect();
        format!("gone {}, {}", self.is_gone(), connections.join("; "))
    }
}
