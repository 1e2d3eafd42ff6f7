//! What a session of exec or attach is, without bytes: what was said, what of it arrives, and how it ends
//! (`remotecommand.md`, `websocket-channels.md`).

use strait::bridge::Outcome;
use strait::k8s::{Channel, StreamSet};

use super::STATUS;
use super::end::Speaks;
use crate::json_differential::{Meaning, meaning_of};

pub(super) const STATUSES: [&[u8]; 8] = [
    br#"{"metadata":{},"status":"Success"}"#,
    br#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: 5","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"5"}]}}"#,
    br#"{"status":"Failure","message":"no such \"container\"","reason":"NotFound","code":404}"#,
    br#"{"status":"Failure","reason":"Gone"}"#,
    br#"{"status":"Failure"}"#,
    b"exit status 1 ",
    b"Internal error occurred: as it is",
    br#"{"status":"Fail"#,
];

/// How a session ends, as far as the model knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// Upstream has ended it with a status, or with the silence that is one.
    Completed,
    /// Upstream has ended it without.
    UpstreamLost,
    /// The client has closed its connection.
    Closed,
    /// The client's connection has ended.
    Lost,
    Other,
}

impl Ends {
    pub(super) const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::UpstreamLost => Self::UpstreamLost,
            Outcome::ClientClosed => Self::Closed,
            Outcome::ClientLost => Self::Lost,
            _ => Self::Other,
        }
    }
}

pub(super) struct Model {
    pub(super) client: Speaks,
    upstream: Speaks,
    set: StreamSet,
    /// Bytes that the node must get.
    pub(super) stdin: usize,
    pub(super) stdin_ended: bool,
    pub(super) size: Option<(u16, u16)>,
    client_end: Option<Ends>,
    /// Bytes that the client must get, if it stays.
    pub(super) stdout: usize,
    pub(super) stderr: usize,
    /// All that the node has said, counted or not: it makes the next bytes.
    said: [usize; 2],
    /// Output channels that upstream has not ended.
    open: Vec<Channel>,
    status: Vec<u8>,
    upstream_end: Option<UpstreamEnd>,
}

#[derive(Debug, Clone, Copy)]
struct UpstreamEnd {
    in_order: bool,
    all_output: bool,
}

impl Model {
    pub(super) fn new(client: Speaks, upstream: Speaks, set: StreamSet) -> Self {
        let mut open = vec![Channel::ERROR];
        open.extend(set.stdout.then_some(Channel::STDOUT));
        open.extend((set.stderr && !set.tty).then_some(Channel::STDERR));
        Self {
            client,
            upstream,
            set,
            stdin: 0,
            stdin_ended: false,
            size: None,
            client_end: None,
            stdout: 0,
            stderr: 0,
            said: [0; 2],
            open,
            status: vec![],
            upstream_end: None,
        }
    }

    pub(super) const fn input(&mut self, len: usize) {
        // Nobody reads what was not asked for.
        if self.set.stdin {
            self.stdin += len;
        }
    }

    /// SPDY has an end of every stream, a WebSocket from v5 on.
    pub(super) const fn can_end_stdin(&self) -> bool {
        self.set.stdin && self.upstream.can_end_stdin()
    }

    pub(super) const fn has_sizes(&self) -> bool {
        self.set.tty && self.client.has_sizes() && self.upstream.has_sizes()
    }

    pub(super) fn sent(&self, channel: Channel) -> usize {
        self.said[usize::from(channel == Channel::STDERR)]
    }

    pub(super) fn output(&mut self, channel: Channel, len: usize) {
        if !self.open.contains(&channel) || self.upstream_end.is_some() {
            return;
        }
        let to_client = if channel == Channel::STDOUT { &mut self.stdout } else { &mut self.stderr };
        *to_client += len;
        self.said[usize::from(channel == Channel::STDERR)] += len;
    }

    /// The session ends with the last of upstream's streams.
    pub(super) fn ended(&mut self, channel: Channel) {
        self.open.retain(|open| *open != channel);
        if self.open.is_empty() {
            self.end(true);
        }
    }

    pub(super) const fn has_room_for(&self, status: &[u8]) -> bool {
        self.status.len() + status.len() <= STATUS
    }

    /// On a WebSocket the session ends with the status, from v4 on.
    pub(super) fn status(&mut self, status: &[u8]) {
        if self.upstream_end.is_some() {
            return;
        }
        self.status.extend_from_slice(status);
        if self.upstream.is_websocket() && self.upstream.has_json() {
            self.end(true);
        }
    }

    pub(super) fn upstream_closed(&mut self) {
        self.end(true);
    }

    pub(super) fn upstream_lost(&mut self) {
        self.end(false);
    }

    fn end(&mut self, in_order: bool) {
        let all_output = in_order || self.open == [Channel::ERROR];
        self.upstream_end.get_or_insert(UpstreamEnd { in_order, all_output });
    }

    pub(super) const fn client_closed(&mut self) {
        self.client_ended(Ends::Closed);
    }

    pub(super) const fn client_ended(&mut self, how: Ends) {
        if self.client_end.is_none() {
            self.client_end = Some(how);
        }
    }

    /// What may have ended the session: which of two came first, only the schedule knows.
    pub(super) fn causes(&self, is_connected: bool) -> Vec<Ends> {
        let upstream = self.upstream_end.filter(|_| is_connected).map(|_| match self.settled() {
            Settled::Error(_) => Ends::UpstreamLost,
            Settled::Json(_) | Settled::Text(_) => Ends::Completed,
        });
        upstream.into_iter().chain(self.client_end).collect()
    }

    /// Upstream's silence was success, if it had accepted all streams in front of that: what it says of them may come behind.
    pub(super) fn may_be_refused(&self) -> bool {
        matches!(self.settled(), Settled::Text(text) if text.is_empty())
    }

    /// Bytes of stdout and stderr that the client gets.
    pub(super) const fn delivered(&self) -> (usize, usize) {
        (self.stdout, self.stderr)
    }

    /// What the session's status is.
    fn settled(&self) -> Settled {
        let Some(UpstreamEnd { in_order, all_output }) = self.upstream_end else {
            return Settled::Error("the session has not ended");
        };
        let is_silent = self.status.is_empty();
        if !all_output {
            Settled::Error("connection to upstream closed before the end of the output was received")
        } else if !self.upstream.has_json() && (in_order || !is_silent) {
            Settled::Text(self.status.clone())
        } else if let Some(meaning) = meaning_of(&self.status) {
            Settled::Json(meaning)
        } else if is_silent {
            Settled::Error("connection to upstream closed before the exit status was received")
        } else {
            Settled::Error("upstream sent an exit status that is not a Status")
        }
    }

    /// What the client gets on its error channel.
    pub(super) fn status_for_client(&self) -> Vec<u8> {
        match (self.settled(), self.client.has_json()) {
            (Settled::Json(_), true) | (Settled::Text(_), false) => self.status.clone(),
            (Settled::Text(text), true) if text.is_empty() => STATUSES[0].to_vec(),
            (Settled::Text(text), true) => {
                let text = String::from_utf8_lossy(text.trim_ascii()).into_owned();
                let is_known = text.starts_with(INTERNAL);
                internal_error(&if is_known {
                    text
                } else {
                    format!("error executing remote command: {text}")
                })
            }
            (Settled::Json(meaning), false) => match meaning {
                Meaning::Success => vec![],
                Meaning::Exit(code) => {
                    format!("command terminated with non-zero exit code: {code}").into_bytes()
                }
                Meaning::Failure { message, reason, .. } => {
                    let said = [message, reason].into_iter().find(|text| !text.is_empty());
                    said.unwrap_or_else(|| "the command failed".into()).into_bytes()
                }
            },
            (Settled::Error(why), true) => internal_error(why),
            (Settled::Error(why), false) => format!("{INTERNAL}{why}").into_bytes(),
        }
    }
}

const INTERNAL: &str = "Internal error occurred: ";

enum Settled {
    Json(Meaning),
    /// In protocols before v4; empty for success.
    Text(Vec<u8>),
    /// In place of a status.
    Error(&'static str),
}

fn internal_error(message: &str) -> Vec<u8> {
    let message = format!("{INTERNAL}{}", message.strip_prefix(INTERNAL).unwrap_or(message));
    let message = serde_json::Value::String(message);
    format!(
        r#"{{"metadata":{{}},"status":"Failure","message":{message},"reason":"InternalError","code":500}}"#
    )
    .into_bytes()
}
