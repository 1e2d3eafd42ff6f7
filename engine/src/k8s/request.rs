//! Request targets: which pod, which container, which command, which streams.
//!
//! | server | target |
//! |---|---|
//! | API server | `/api/v1/namespaces/{ns}/pods/{pod}/exec?command=..&container=..&stdin=true&stdout=true&tty=true` |
//! | | `/api/v1/namespaces/{ns}/pods/{pod}/attach?container=..&..` |
//! | | `/api/v1/namespaces/{ns}/pods/{pod}/portforward[?ports=8080]` |
//! | kubelet | `/exec/{ns}/{pod}[/{uid}]/{container}?command=..&error=1&input=1&output=1&tty=1` |
//! | | `/attach/{ns}/{pod}[/{uid}]/{container}?..` |
//! | | `/portForward/{ns}/{pod}[/{uid}][?port=8080,9090]` |
//! | CRI | `/exec/{token}`, `/attach/{token}`, `/portforward/{token}` |
//!
//! `http-upgrade.md` section 1. Queries are read as Go's `url.ParseQuery` reads them, but for one thing: a
//! parameter that Go would drop without a word (a stray `%`, a raw `;`) is an error here, because what is
//! dropped may be a part of the command.

use super::channel::StreamSet;
use super::writer::Writer;
use crate::Full;
use crate::http::target::{self, Query};
use core::fmt;

pub use pod::Pod;

mod pod;

/// A request target of exec, attach or port-forward, read in place.
///
/// ```
/// use strait::k8s::{Target, Verb};
///
/// let target = Target::parse("/api/v1/namespaces/default/pods/p/exec?command=sh&container=c&stdout=true")?;
/// assert_eq!((target.verb, target.pod, target.container), (Verb::Exec, "p", Some("c")));
///
/// let mut out = [0; 128];
/// let length = target.write_kubelet(&mut out)?;
/// assert_eq!(&out[..length], b"/exec/default/p/c?command=sh&output=1");
/// # Ok::<(), strait::k8s::RequestError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Whose API it belongs to.
    pub server: Server,
    /// What is asked for.
    pub verb: Verb,
    /// Namespace of the pod; empty for CRI.
    pub namespace: &'a str,
    /// Name of the pod; empty for CRI.
    pub pod: &'a str,
    /// UID of the pod, where a kubelet must check it.
    pub uid: Option<&'a str>,
    /// Name of the container. The API server takes the only container of the pod if it is absent.
    pub container: Option<&'a str>,
    /// What the CRI RPC gave out for this one request; CRI only.
    pub token: Option<&'a str>,
    query: &'a str,
}

/// Whose API a target belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// The API server: leg A.
    Api,
    /// The kubelet: leg B.
    Kubelet,
    /// The streaming server of a container runtime: leg C.
    Cri,
}

/// What a target asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Run a command in a container.
    Exec,
    /// Join the streams of a container's main process.
    Attach,
    /// Reach TCP ports of a pod.
    PortForward,
}

impl<'a> Target<'a> {
    /// Reads a target in origin form (RFC 9112 section 3.2.1): path, and query if there is one.
    pub fn parse(target: &'a str) -> Result<Self, RequestError> {
        Self::parse_with(target, Self::of_path)
    }

    /// The same for targets of the API server only, for those who have no room for others.
    pub(crate) fn parse_api(target: &'a str) -> Result<Self, RequestError> {
        Self::parse_with(target, Self::of_api_path)
    }

    fn parse_with(
        target: &'a str,
        of_path: impl FnOnce(&'a str) -> Result<Self, RequestError>,
    ) -> Result<Self, RequestError> {
        if let Some(at) = target.bytes().position(|byte| !byte.is_ascii_graphic() || byte == b'#') {
            return Err(RequestError::Malformed { at });
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let bad_query = query.find(';').into_iter().chain(target::bad_escape(query)).min();
        if let Some(at) = bad_query {
            return Err(RequestError::Malformed { at: path.len() + 1 + at });
        }
        let mut parsed = of_path(path)?.with_query(query);
        if parsed.server == Server::Api && parsed.verb != Verb::PortForward {
            parsed.container = parsed.value("container").filter(|name| !name.is_empty());
        }
        parsed.check_names()?;
        Ok(parsed)
    }

    fn of_api_path(path: &'a str) -> Result<Self, RequestError> {
        let path = path.strip_prefix("/api/v1/namespaces/").ok_or(RequestError::NotFound)?;
        let mut segments = path.split('/');
        let [namespace, pods, pod, word, behind] = [(); 5].map(|()| segments.next());
        match (namespace, pods, pod, word, behind) {
            (Some(namespace), Some("pods"), Some(pod), Some(word), None) => {
                Ok(Self::of_pod(Server::Api, Verb::from_word(word)?, namespace, pod))
            }
            _ => Err(RequestError::NotFound),
        }
    }

    fn of_path(path: &'a str) -> Result<Self, RequestError> {
        if path.starts_with("/api/") {
            return Self::of_api_path(path);
        }
        let mut list = [""; 6];
        let mut rest = path.strip_prefix('/').ok_or(RequestError::NotFound)?.split('/');
        let mut count = 0;
        for (place, segment) in list.iter_mut().zip(&mut rest) {
            *place = segment;
            count += 1;
        }
        if rest.next().is_some() {
            return Err(RequestError::NotFound);
        }
        Ok(match *list.get(..count).unwrap_or_default() {
            ["portForward", namespace, pod] => {
                Self::of_pod(Server::Kubelet, Verb::PortForward, namespace, pod)
            }
            ["portForward", namespace, pod, uid] => {
                Self { uid: Some(uid), ..Self::of_pod(Server::Kubelet, Verb::PortForward, namespace, pod) }
            }
            [word @ ("exec" | "attach"), namespace, pod, container] => Self {
                container: Some(container),
                ..Self::of_pod(Server::Kubelet, Verb::from_word(word)?, namespace, pod)
            },
            [word @ ("exec" | "attach"), namespace, pod, uid, container] => Self {
                uid: Some(uid),
                container: Some(container),
                ..Self::of_pod(Server::Kubelet, Verb::from_word(word)?, namespace, pod)
            },
            [word, token] => {
                Self { token: Some(token), ..Self::of_pod(Server::Cri, Verb::from_word(word)?, "", "") }
            }
            _ => return Err(RequestError::NotFound),
        })
    }

    const fn of_pod(server: Server, verb: Verb, namespace: &'a str, pod: &'a str) -> Self {
        Self { server, verb, namespace, pod, uid: None, container: None, token: None, query: "" }
    }

    const fn with_query(self, query: &'a str) -> Self {
        Self { query, ..self }
    }

    fn check_names(&self) -> Result<(), RequestError> {
        if let Some(token) = self.token {
            return check_name("token", token);
        }
        check_name("namespace", self.namespace)?;
        check_name("pod", self.pod)?;
        self.uid.map_or(Ok(()), |uid| check_name("uid", uid))?;
        self.container.map_or(Ok(()), |container| check_name("container", container))
    }

    /// The streams that exec or attach asks for.
    ///
    /// An API server takes a flag as set unless it is absent, `0` or `false` in any case (Python clients send
    /// `True` and `False`); a kubelet takes it as set if it is exactly `1`. Of repeated flags the first counts.
    /// With a terminal stderr is dropped. A CRI target has no flags: they were arguments of the RPC.
    ///
    /// # Errors
    /// [`RequestError::NoStreams`].
    pub fn streams(&self) -> Result<StreamSet, RequestError> {
        let [stdin, stdout, stderr] = match self.server {
            Server::Api => ["stdin", "stdout", "stderr"],
            Server::Kubelet | Server::Cri => ["input", "output", "error"],
        };
        let streams = StreamSet {
            stdin: self.flag(stdin),
            stdout: self.flag(stdout),
            stderr: self.flag(stderr),
            tty: self.flag("tty"),
        };
        if streams.is_any() { Ok(streams.without_stderr_of_tty()) } else { Err(RequestError::NoStreams) }
    }

    fn flag(&self, name: &'static str) -> bool {
        let Some(value) = self.value(name).map(target::decode) else { return false };
        match self.server {
            Server::Api => {
                let is_false = value.clone().map(|byte| byte.to_ascii_lowercase()).eq(*b"false");
                !is_false && !value.eq(*b"0")
            }
            Server::Kubelet | Server::Cri => value.eq(*b"1"),
        }
    }

    /// The command and its arguments, in order.
    pub fn command(&self) -> impl Iterator<Item = Argument<'a>> + Clone + use<'a> {
        self.values("command").map(Argument)
    }

    /// Writes the kubelet's target for the same request, and returns its length.
    ///
    /// Parameters come in alphabetical order, as Go sends them: `command` (encoded as it came), `error`, `input`,
    /// `output`, `tty`; `port` for port-forward. A target of the API server without `container` must be given one
    /// first: only the pod knows it.
    pub fn write_kubelet(&self, out: &mut [u8]) -> Result<usize, RequestError> {
        if self.server == Server::Cri {
            return Err(RequestError::NotFound);
        }
        self.check_names()?;
        let mut writer = TargetWriter::new(out);
        writer.path(match self.verb {
            Verb::Exec => &["exec"],
            Verb::Attach => &["attach"],
            Verb::PortForward => &["portForward"],
        })?;
        writer.path(&[self.namespace, self.pod])?;
        if let Some(uid) = self.uid {
            writer.path(&[uid])?;
        }
        if self.verb == Verb::PortForward {
            return self.write_kubelet_ports(writer);
        }
        writer.path(&[self.container.ok_or(RequestError::NoContainer)?])?;
        if self.verb == Verb::Exec {
            for argument in self.command() {
                writer.parameter("command", argument.raw())?;
            }
        }
        let streams = self.streams()?;
        writer.flag("error", streams.stderr, "1")?;
        writer.flag("input", streams.stdin, "1")?;
        writer.flag("output", streams.stdout, "1")?;
        writer.flag("tty", streams.tty, "1")?;
        Ok(writer.len())
    }

    fn write_kubelet_ports(&self, mut writer: TargetWriter<'_>) -> Result<usize, RequestError> {
        for (index, port) in self.ports().enumerate() {
            if index == 0 {
                writer.parameter("port", "")?;
            } else {
                writer.writer.bytes(b",")?;
            }
            writer.writer.decimal(port?.into())?;
        }
        Ok(writer.len())
    }

    /// The first value of a parameter.
    fn value(&self, name: &'static str) -> Option<&'a str> {
        self.values(name).next()
    }

    /// All values of a parameter, still encoded.
    pub(super) fn values(&self, name: &'static str) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        Query::new(self.query)
            .filter(move |(key, _)| target::decode(key).eq(name.bytes()))
            .map(|(_, value)| value)
    }
}

impl Verb {
    const fn word(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
        }
    }

    fn from_word(word: &str) -> Result<Self, RequestError> {
        let known =
            [Self::Exec, Self::Attach, Self::PortForward].into_iter().find(|verb| verb.word() == word);
        known.ok_or(RequestError::NotFound)
    }
}

/// One element of a command, percent-encoded as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument<'a>(&'a str);

impl<'a> Argument<'a> {
    /// As it stands in the query.
    pub const fn raw(self) -> &'a str {
        self.0
    }

    /// The bytes it means: any, not only UTF-8.
    pub fn bytes(self) -> impl Iterator<Item = u8> + Clone + 'a {
        target::decode(self.0)
    }

    /// Writes the bytes it means, and returns how many. They are never more than [`raw`](Self::raw) has.
    pub fn decode(self, out: &mut [u8]) -> Result<usize, Full> {
        let mut writer = Writer::new(out);
        self.bytes().try_for_each(|byte| writer.bytes(&[byte]))?;
        Ok(writer.len())
    }
}

/// Writes a path, then the parameters behind it.
struct TargetWriter<'a> {
    writer: Writer<'a>,
    has_query: bool,
}

impl<'a> TargetWriter<'a> {
    const fn new(out: &'a mut [u8]) -> Self {
        Self { writer: Writer::new(out), has_query: false }
    }

    fn path(&mut self, segments: &[&str]) -> Result<(), Full> {
        segments.iter().try_for_each(|segment| {
            self.writer.bytes(b"/")?;
            self.writer.bytes(segment.as_bytes())
        })
    }

    fn parameter(&mut self, name: &str, encoded: &str) -> Result<(), Full> {
        self.writer.bytes(if self.has_query { b"&" } else { b"?" })?;
        self.has_query = true;
        self.writer.bytes(name.as_bytes())?;
        self.writer.bytes(b"=")?;
        self.writer.bytes(encoded.as_bytes())
    }

    fn flag(&mut self, name: &str, set: bool, value: &str) -> Result<(), Full> {
        if set { self.parameter(name, value) } else { Ok(()) }
    }

    const fn len(&self) -> usize {
        self.writer.len()
    }
}

/// A name that becomes a segment of the next hop's path must be one segment there, and no step up or down.
/// All names of Kubernetes are: their alphabets need no encoding.
fn check_name(parameter: &'static str, name: &str) -> Result<(), RequestError> {
    const LONGEST: usize = 253;
    let one_segment = !matches!(name, "" | "." | "..") && name.len() <= LONGEST;
    if one_segment && name.bytes().all(target::is_unreserved) {
        Ok(())
    } else {
        Err(RequestError::InvalidName { parameter })
    }
}

/// The request cannot be served as it is. [`Display`](fmt::Display) is the text of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// The path is none of ours.
    NotFound,
    /// The byte at this offset of the target cannot stand there, or begins a broken escape.
    Malformed {
        /// Offset of the byte.
        at: usize,
    },
    /// A name is empty, too long, or has characters that no name has.
    InvalidName {
        /// Which: `namespace`, `pod`, `uid`, `container` or `token`.
        parameter: &'static str,
    },
    /// None of stdin, stdout and stderr is asked for.
    NoStreams,
    /// No container is named, and which one is meant is not known here.
    NoContainer,
    /// No port is named where one is needed.
    NoPorts,
    /// A port is not a decimal number from 1 to 65,535.
    InvalidPort,
    /// More ports are named than there are channels or room for.
    TooManyPorts {
        /// How many may be named.
        limit: usize,
    },
    /// The target does not fit into the buffer.
    TooLong,
}

impl RequestError {
    /// HTTP status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::TooLong => 414,
            _ => 400,
        }
    }
}

impl From<Full> for RequestError {
    fn from(Full: Full) -> Self {
        Self::TooLong
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("404 page not found"),
            Self::Malformed { at } => write!(f, "malformed request target at offset {at}"),
            Self::InvalidName { parameter } => write!(f, "invalid {parameter} name"),
            Self::NoStreams => f.write_str("you must specify at least 1 of stdin, stdout, stderr"),
            Self::NoContainer => f.write_str("a container name must be specified"),
            Self::NoPorts => f.write_str("query parameter \"port\" is required"),
            Self::InvalidPort => f.write_str("ports must be numbers from 1 to 65535"),
            Self::TooManyPorts { limit } => write!(f, "more than {limit} ports"),
            Self::TooLong => f.write_str("request target is too long"),
        }
    }
}

impl core::error::Error for RequestError {}

#[cfg(test)]
mod tests;
