use std::fmt;

use strait::Limits;
use strait::http::Response;
use strait::k8s::{Pod, StreamSet, Subprotocol, Verb};
use strait::upgrade::{ClientUpgrade, Transport, UpgradeError};
use strait::ws;

use super::forward::Forwarding;
use super::{ConnectError, Connection, Process, Server};
use crate::head::Head;
use crate::wait::Patience;

/// Bytes that a target takes besides the command.
const TARGET: usize = 2048;

/// Runs commands in containers, attaches to their main processes, and forwards to ports of pods. Its calls block until the server has
/// answered, for [`Limits::handshake`] at most; where it falls back, for each of both.
#[derive(Debug, Clone)]
pub struct Executor {
    server: Server,
    transport: Transport,
    limits: Limits,
}

/// A connection whose upgrade was granted.
#[derive(Debug)]
pub(super) struct Upgraded {
    pub(super) io: Connection,
    /// What came behind the 101, at most 4 KiB.
    pub(super) behind: Vec<u8>,
    pub(super) protocol: Subprotocol,
    pub(super) transport: Transport,
}

impl Executor {
    /// One that asks for WebSocket first, and falls back to SPDY.
    pub const fn new(server: Server) -> Self {
        Self { server, transport: Transport::Fallback, limits: Limits::HOST }
    }

    /// The same over this transport.
    #[must_use]
    pub const fn with_transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// The same with other limits: heads, times, heartbeats.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Runs a command in a container of `pod`. Nothing of standard input is read before the server has agreed.
    pub fn exec<A: AsRef<[u8]>>(
        &self,
        pod: &Pod<'_>,
        command: impl IntoIterator<Item = A>,
        streams: StreamSet,
    ) -> Result<Process, ConnectError> {
        let command: Vec<A> = command.into_iter().collect();
        // Percent-encoding makes three of each byte, at most.
        let room = command.iter().map(|argument| 3 * argument.as_ref().len() + 16).sum::<usize>() + TARGET;
        let target = target(room, |out| pod.write_exec(&command, streams, out))?;
        self.open(&target, Verb::Exec, streams)
    }

    /// Attaches to the main process of a container of `pod`.
    pub fn attach(&self, pod: &Pod<'_>, streams: StreamSet) -> Result<Process, ConnectError> {
        let target = target(TARGET, |out| pod.write_attach(streams, out))?;
        self.open(&target, Verb::Attach, streams)
    }

    /// Asks for a connection to a port of `pod`: in a WebSocket tunnel, or, if the server refuses that, over SPDY.
    ///
    /// Each forwarded connection is a connection to the server of its own. That costs a handshake for each, and in return no
    /// connection waits for another one's reader.
    pub fn port_forward(&self, pod: &Pod<'_>, port: u16) -> Result<Forwarding, ConnectError> {
        let target = target(TARGET, |out| pod.write_port_forward(&[], out))?;
        let upgraded = self.upgrade(&target, (Subprotocol::TUNNEL, Subprotocol::SPDY_PORT_FORWARD))?;
        Ok(Forwarding::new(upgraded, port, self.limits, random()?))
    }

    fn open(&self, target: &str, verb: Verb, streams: StreamSet) -> Result<Process, ConnectError> {
        // Falling back, v5 alone, as kubectl: an older server would take v4, which cannot half-close standard input, where SPDY can.
        let websocket = match self.transport {
            Transport::WebSocket => Subprotocol::WEBSOCKET_CLIENT_OFFER,
            Transport::Fallback | Transport::Spdy => Subprotocol::TRANSLATOR,
        };
        let upgraded = self.upgrade(target, (websocket, Subprotocol::SPDY_CLIENT_OFFER))?;
        Process::start(upgraded, streams, verb, self.limits, random()?).map_err(ConnectError::Local)
    }

    /// Asks for an upgrade with what is offered over WebSocket, or over SPDY.
    fn upgrade(
        &self,
        target: &str,
        (websocket, spdy): (&'static [Subprotocol], &'static [Subprotocol]),
    ) -> Result<Upgraded, ConnectError> {
        match self.transport {
            Transport::Spdy => self.ask(target, Transport::Spdy, spdy),
            Transport::WebSocket => self.ask(target, Transport::WebSocket, websocket),
            Transport::Fallback => match self.ask(target, Transport::WebSocket, websocket) {
                Err(error) if error.is_upgrade_failure() => {
                    tracing::debug!(%error, "falling back to SPDY");
                    self.ask(target, Transport::Spdy, spdy)
                }
                other => other,
            },
        }
    }

    fn ask(
        &self,
        target: &str,
        transport: Transport,
        offered: &'static [Subprotocol],
    ) -> Result<Upgraded, ConnectError> {
        let key = ws::client_key(random()?);
        let upgrade = match transport {
            Transport::Spdy => ClientUpgrade::Spdy,
            Transport::WebSocket | Transport::Fallback => ClientUpgrade::WebSocket { key: &key },
        };
        let method = upgrade.method();
        let names = || offered.iter().map(|protocol| protocol.name());
        let request = self.server.request(method, target, |head| upgrade.headers(head, names()))?;
        let patience = Patience::new(self.limits.handshake, &|| false);
        let mut io = self.server.connect(&patience)?;
        tracing::debug!(target: "strait::request", "{method} {target} ({transport})");
        patience.write_all(&mut io, &request).map_err(ConnectError::of_answer)?;
        let head = Head::read(&mut io, self.limits.head_bytes, &patience).map_err(ConnectError::of_head)?;
        let response: Response = Response::parse(head.head()).map_err(ConnectError::malformed)?;
        tracing::debug!(target: "strait::request", "{} {}", response.status, response.reason);
        match upgrade.expects(offered).check(&response) {
            Ok(protocol) => {
                let behind = head.behind().to_vec();
                Ok(Upgraded { io, behind, protocol, transport })
            }
            Err(UpgradeError::Refused { status, .. } | UpgradeError::Status { status }) => {
                let patience = patience.anew(self.limits.handshake / 3);
                let body = head.refusal(&mut io, response.body(method), &patience);
                Err(ConnectError::refused(status, &body))
            }
            Err(error) => Err(ConnectError::NotUpgraded(error)),
        }
    }
}

fn target<E: fmt::Display>(
    room: usize,
    write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Result<String, ConnectError> {
    let mut bytes = vec![0; room];
    let len = write(&mut bytes).map_err(|error| ConnectError::Request(error.to_string()))?;
    bytes.truncate(len);
    String::from_utf8(bytes).map_err(|error| ConnectError::Request(error.to_string()))
}

/// Random bytes that nobody can predict.
fn random() -> Result<[u8; 16], ConnectError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| ConnectError::Local(std::io::Error::other(error)))?;
    Ok(bytes)
}
