use strait::Limits;
use strait::k8s::{Pod, StreamSet, Subprotocol, Verb};
use strait::upgrade::Transport;

use super::connect::ConnectError;
use super::server::Server;
use super::session::Session;
use super::upgrade::{Upgraded, upgrade};

/// Bytes that a target takes besides the command.
const TARGET: usize = 2048;

/// Runs commands in containers, attaches to their main processes, and forwards to ports of pods.
#[derive(Debug, Clone)]
pub struct Executor {
    server: Server,
    transport: Transport,
    limits: Limits,
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

    /// Asks for a command to be run in a container of `pod`. Nothing of standard input is read before the server has agreed.
    pub async fn exec<A: AsRef<[u8]>>(
        &self,
        pod: &Pod<'_>,
        command: impl IntoIterator<Item = A>,
        streams: StreamSet,
    ) -> Result<Session, ConnectError> {
        let command: Vec<A> = command.into_iter().collect();
        // Percent-encoding makes three of each byte, at most.
        let room = command.iter().map(|argument| 3 * argument.as_ref().len() + 16).sum::<usize>() + TARGET;
        let target = target(room, |out| pod.write_exec(&command, streams, out))?;
        self.open(&target, Verb::Exec, streams).await
    }

    /// Asks for the main process of a container of `pod`.
    pub async fn attach(&self, pod: &Pod<'_>, streams: StreamSet) -> Result<Session, ConnectError> {
        let target = target(TARGET, |out| pod.write_attach(streams, out))?;
        self.open(&target, Verb::Attach, streams).await
    }

    async fn open(&self, target: &str, verb: Verb, streams: StreamSet) -> Result<Session, ConnectError> {
        // Falling back, v5 alone, as kubectl: an older server would take v4, which cannot half-close standard input, where SPDY can.
        let websocket = match self.transport {
            Transport::WebSocket => Subprotocol::WEBSOCKET_CLIENT_OFFER,
            Transport::Fallback | Transport::Spdy => Subprotocol::TRANSLATOR,
        };
        let upgraded = self.upgrade(target, (websocket, Subprotocol::SPDY_CLIENT_OFFER)).await?;
        Ok(Session::new(upgraded, streams, verb, self.limits))
    }

    /// Asks for an upgrade with what is offered over WebSocket, or over SPDY.
    pub(super) async fn upgrade(
        &self,
        target: &str,
        (websocket, spdy): (&'static [Subprotocol], &'static [Subprotocol]),
    ) -> Result<Upgraded, ConnectError> {
        let ask = |transport, offered| upgrade(&self.server, target, transport, offered, &self.limits);
        match self.transport {
            Transport::Spdy => ask(Transport::Spdy, spdy).await,
            Transport::WebSocket => ask(Transport::WebSocket, websocket).await,
            Transport::Fallback => match ask(Transport::WebSocket, websocket).await {
                Err(error) if error.is_upgrade_failure() => {
                    tracing::debug!(%error, "falling back to SPDY");
                    ask(Transport::Spdy, spdy).await
                }
                other => other,
            },
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }
}

pub(super) fn target<E: Into<ConnectError>>(
    room: usize,
    write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Result<String, ConnectError> {
    let mut bytes = vec![0; room];
    let len = write(&mut bytes).map_err(Into::into)?;
    bytes.truncate(len);
    String::from_utf8(bytes).map_err(|error| ConnectError::Request(error.to_string()))
}
