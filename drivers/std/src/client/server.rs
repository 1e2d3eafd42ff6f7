use std::fmt;
use std::io;
use std::sync::Arc;

use strait::http::HeadWriter;

use super::{ConnectError, Connection};
use crate::answer::fitted;
use crate::connect::connect;
use crate::wait::Patience;

/// What the server sees of who this is, unless the caller says something else.
const USER_AGENT: &str = concat!("strait/", env!("CARGO_PKG_VERSION"));

/// Makes a connection.
type Dial = dyn Fn() -> io::Result<Connection> + Send + Sync;

/// An API server, or whatever else serves exec, attach and port-forward, and how it is reached. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    /// `host:port`.
    authority: String,
    /// In front of every request's path; empty, or `/...` without a slash at its end.
    prefix: String,
    headers: Vec<(String, Vec<u8>)>,
    /// How the caller connects; by itself it is TCP.
    dial: Option<Arc<Dial>>,
}

impl Server {
    /// The server at `host:port`, in plain text.
    pub fn new(authority: impl Into<String>) -> Self {
        let headers = vec![("User-Agent".into(), USER_AGENT.into())];
        Self { authority: authority.into(), prefix: String::new(), headers, dial: None }
    }

    /// The same, over connections that `dial` makes: through a proxy, with TLS ([`Connection::over`]). It is called for each
    /// upgrade that is asked for, and has to keep its own time.
    #[must_use]
    pub fn dialled_by(mut self, dial: impl Fn() -> io::Result<Connection> + Send + Sync + 'static) -> Self {
        self.dial = Some(Arc::new(dial));
        self
    }

    /// The same, with this in front of every path: `/prefix`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.trim_end_matches('/').into();
        self
    }

    /// The same, asked with another header, which replaces one of the same name.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same, asked with a bearer token.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        self.with_header("Authorization", format!("Bearer {token}"))
    }

    pub(super) fn connect(&self, patience: &Patience<'_>) -> Result<Connection, ConnectError> {
        let dialled = match &self.dial {
            Some(dial) => dial(),
            None => connect(&self.authority, patience).and_then(Connection::new),
        };
        dialled.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ConnectError::Timeout,
            _ => ConnectError::Dial { to: self.authority.clone(), error },
        })
    }

    /// A request's head, with what `own` adds.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        own: impl Fn(HeadWriter<'_>) -> HeadWriter<'_>,
    ) -> Result<Vec<u8>, ConnectError> {
        let target = format!("{}{path}", self.prefix);
        let head = fitted(|out| {
            let head = HeadWriter::request(out, method, &target).header("Host", &self.authority);
            let head = self.headers.iter().fold(head, |head, (name, value)| head.header(name, value));
            own(head).finish()
        });
        head.map_err(|error| ConnectError::Request(error.to_string()))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers carry credentials.
        f.debug_struct("Server").field("authority", &self.authority).finish_non_exhaustive()
    }
}
