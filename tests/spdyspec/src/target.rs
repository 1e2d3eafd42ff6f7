use std::time::Duration;

use crate::wire::websocket::KEY;

/// How the query of a request spells its flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// As at an API server: `stdin=true`.
    #[default]
    Api,
    /// As at a kubelet: `input=1`.
    Kubelet,
}

/// A server under test.
#[derive(Debug, Clone)]
pub struct Target {
    /// `HOST:PORT`.
    pub address: String,
    /// Path of exec.
    pub exec: String,
    /// Path of port-forward.
    pub forward: String,
    /// Spelling of the query.
    pub dialect: Dialect,
    /// More header fields of each request, for example `Authorization: Bearer ...`.
    pub fields: Vec<String>,
    /// Each stream has `:method`, `:path` and so on besides, which a SPDY library for HTTP wants.
    pub http_headers: bool,
    /// How long an answer may take.
    pub limit: Duration,
}

/// What is asked of an exec.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "four flags of a query, of which any combination occurs")]
pub(crate) struct Asked<'a> {
    pub(crate) command: &'a [&'a str],
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) tty: bool,
}

impl<'a> Asked<'a> {
    /// Standard input and output.
    pub(crate) const fn pipe(command: &'a [&'a str]) -> Self {
        Self { command, stdin: true, stdout: true, stderr: false, tty: false }
    }

    /// Output and errors.
    pub(crate) const fn output(command: &'a [&'a str]) -> Self {
        Self { command, stdin: false, stdout: true, stderr: true, tty: false }
    }

    /// A terminal.
    pub(crate) const fn terminal(command: &'a [&'a str]) -> Self {
        Self { command, stdin: true, stdout: true, stderr: false, tty: true }
    }

    /// Stream types, in the order of `remotecommand.md` section 1.
    pub(crate) fn streams(self, resize: bool) -> Vec<&'static str> {
        let all = [
            ("error", true),
            ("stdin", self.stdin),
            ("stdout", self.stdout),
            ("stderr", self.stderr && !self.tty),
            ("resize", self.tty && resize),
        ];
        all.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect()
    }
}

impl Target {
    /// Path and query of an exec.
    pub(crate) fn exec(&self, asked: Asked<'_>) -> String {
        let names = match self.dialect {
            Dialect::Api => ["stdin=true", "stdout=true", "stderr=true", "tty=true"],
            Dialect::Kubelet => ["input=1", "output=1", "error=1", "tty=1"],
        };
        let flags = [asked.stdin, asked.stdout, asked.stderr, asked.tty];
        let flags = names.iter().zip(flags).filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned());
        let words = asked.command.iter().map(|word| format!("command={}", percent(word)));
        format!("{}?{}", self.exec, words.chain(flags).collect::<Vec<_>>().join("&"))
    }

    /// A request for an upgrade to SPDY.
    pub(crate) fn spdy_request(&self, path: &str, protocols: &str) -> String {
        self.request("POST", path, &format!(
            "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocols}\r\nContent-Length: 0\r\n"
        ))
    }

    /// A request for a WebSocket; no protocol is offered if `protocols` is empty.
    pub(crate) fn websocket_request(&self, path: &str, protocols: &str) -> String {
        let offered = match protocols {
            "" => String::new(),
            list => format!("Sec-WebSocket-Protocol: {list}\r\n"),
        };
        self.request("GET", path, &format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offered}"
        ))
    }

    /// Any request: `fields` end in CRLF.
    pub(crate) fn request(&self, method: &str, path: &str, fields: &str) -> String {
        let more: String = self.fields.iter().flat_map(|field| [field.as_str(), "\r\n"]).collect();
        format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{fields}{more}\r\n", self.address)
    }
}

fn percent(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    word.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
