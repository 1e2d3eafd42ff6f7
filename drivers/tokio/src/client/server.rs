use std::fmt;
use std::sync::Arc;

use strait::http::HeadWriter;
use url::Url;

use super::connect::{ConnectError, Connection};
use super::credentials::Credentials;
use super::proxy::Proxy;
use crate::tls::{ClientTls, Connector, TlsError};

/// Room for the start line and for what an upgrade adds to a head.
const OWN: usize = 2048;

/// What the server sees of who this is, unless the caller says something else.
const USER_AGENT: &str = concat!("strait/", env!("CARGO_PKG_VERSION"));

/// An API server, or whatever else serves exec and attach, and how it is reached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server {
    /// As a resolver knows it: an address has no brackets.
    host: String,
    port: u16,
    /// In front of every request's path; empty, or `/...` without a slash at its end.
    prefix: String,
    tls: Option<Arc<Connector>>,
    proxy: Arc<Proxy>,
    credentials: Arc<Credentials>,
    user_agent: String,
}

/// Why a server cannot be reached as it was said.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The URL is none.
    Url(url::ParseError),
    /// It is one that cannot be used: its scheme is neither `http` nor `https`, it names no host, or carries what a server's URL has not.
    Unusable(&'static str),
    /// The proxy's URL is none, or of an unknown scheme.
    Proxy,
    /// TLS cannot be set up.
    Tls(TlsError),
    /// A token or a header has bytes that HTTP does not allow.
    Header,
}

impl Server {
    /// The server at a URL such as `https://host:6443` or `http://127.0.0.1:8001/prefix`. With `https` its certificate has to be signed by a CA
    /// that this system trusts. Proxies are those of the environment.
    pub fn new(url: &str) -> Result<Self, ServerError> {
        Self::with_tls(url, ClientTls::default())
    }

    /// The same with other CAs, a client certificate, or another name in the server's certificate.
    pub fn with_tls(url: &str, tls: ClientTls) -> Result<Self, ServerError> {
        Self::build(url, |host| Connector::new(tls, host).map_err(ServerError::Tls))
    }

    pub(super) fn build(
        url: &str,
        tls: impl FnOnce(&str) -> Result<Connector, ServerError>,
    ) -> Result<Self, ServerError> {
        let url = Url::parse(url).map_err(ServerError::Url)?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(ServerError::Unusable("its scheme is neither http nor https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ServerError::Unusable("it carries a user"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ServerError::Unusable("it carries a query or a fragment"));
        }
        let host = url.host_str().ok_or(ServerError::Unusable("it names no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self {
            tls: if is_tls { Some(Arc::new(tls(&host)?)) } else { None },
            host,
            port: url.port_or_known_default().unwrap_or(80),
            prefix: url.path().trim_end_matches('/').into(),
            proxy: Arc::new(Proxy::from_environment()),
            credentials: Arc::new(Credentials::None),
            user_agent: USER_AGENT.into(),
        })
    }

    /// The same, asked with a bearer token.
    pub fn with_token(mut self, token: &str) -> Result<Self, ServerError> {
        if !is_token(token) {
            return Err(ServerError::Header);
        }
        self.credentials = Arc::new(Credentials::Bearer(token.to_owned()));
        Ok(self)
    }

    /// The same, reached through the proxy at `url`, whatever the environment says: `http`, `https`, `socks5` or `socks5h`. With `None`, through no
    /// proxy.
    pub fn with_proxy(mut self, url: Option<&str>) -> Result<Self, ServerError> {
        self.proxy = Arc::new(match url {
            None => Proxy::none(),
            Some(url) => Proxy::at(url).ok_or(ServerError::Proxy)?,
        });
        Ok(self)
    }

    /// The same, asked with another `User-Agent`.
    pub fn with_user_agent(mut self, name: &str) -> Result<Self, ServerError> {
        if name.is_empty() || !name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(ServerError::Header);
        }
        name.clone_into(&mut self.user_agent);
        Ok(self)
    }

    #[cfg(feature = "kube")]
    pub(super) fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Arc::new(credentials);
        self
    }

    /// Scheme, host, port and prefix, for people to read.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.prefix)
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// A connection, with TLS and through the proxy where there is one.
    pub(super) async fn connect(&self) -> Result<Connection, ConnectError> {
        let io = self.proxy.dial(&self.host, self.port, self.tls.is_some()).await?;
        match &self.tls {
            None => Ok(io),
            Some(tls) => Ok(Box::new(tls.connect(io).await.map_err(ConnectError::Tls)?)),
        }
    }

    /// The target of a request, with the prefix.
    pub(super) fn target(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// What each request says, with the credentials as they are now.
    pub(super) async fn headers(&self) -> Result<Vec<(String, Vec<u8>)>, ConnectError> {
        let mut headers: Vec<(String, Vec<u8>)> = vec![
            ("Host".into(), self.authority().into_bytes()),
            ("User-Agent".into(), self.user_agent.clone().into_bytes()),
        ];
        headers.extend(self.credentials.headers().await?);
        Ok(headers)
    }

    /// A request's head, with what `own` adds.
    pub(super) async fn request(
        &self,
        method: &str,
        path: &str,
        own: impl FnOnce(HeadWriter<'_>) -> HeadWriter<'_>,
    ) -> Result<Vec<u8>, ConnectError> {
        let (target, headers) = (self.target(path), self.headers().await?);
        let room: usize = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut bytes = vec![0; room + target.len() + OWN];
        let head = HeadWriter::request(&mut bytes, method, &target);
        let head = headers.iter().fold(head, |head, (name, value)| head.header(name, value));
        let len = own(head).finish()?;
        bytes.truncate(len);
        Ok(bytes)
    }
}

/// True if this can stand behind `Authorization: Bearer`.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => write!(f, "not a URL of a server: {error}"),
            Self::Unusable(why) => write!(f, "not a URL of a server: {why}"),
            Self::Proxy => f.write_str("not a URL of a proxy: http, https, socks5 and socks5h are known"),
            Self::Tls(error) => write!(f, "{error}"),
            Self::Header => f.write_str("a token or a header has bytes that HTTP does not allow"),
        }
    }
}

impl std::error::Error for ServerError {}
