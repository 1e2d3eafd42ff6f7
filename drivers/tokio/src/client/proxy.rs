use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use strait::http::{HeadWriter, Response};
use tokio::io::AsyncWriteExt as _;
use tower_service::Service;

use super::connect::{ConnectError, Connection, tcp};
use crate::head::read_head;
use crate::tls::{ClientTls, Connector};

/// Most bytes of the head of a proxy's answer.
const HEAD: usize = 16 * 1024;

/// How long a proxy may take to answer. The whole upgrade has a deadline, too.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(30);

/// Which proxy stands between this end and the server, if any.
#[derive(Debug)]
pub(super) struct Proxy {
    rules: Option<Matcher>,
    /// They come from the environment, where a server on this host is never behind a proxy.
    from_environment: bool,
}

impl Proxy {
    pub(super) const fn none() -> Self {
        Self { rules: None, from_environment: false }
    }

    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case.
    pub(super) fn from_environment() -> Self {
        Self { rules: Some(Matcher::from_env()), from_environment: true }
    }

    /// The proxy at `url`: `http`, `https`, `socks5` or `socks5h`, with the user and the password if it wants any. `None` if it is none of
    /// these.
    pub(super) fn at(url: &str) -> Option<Self> {
        let rules = Matcher::builder().all(url.to_owned()).build();
        let proxy = rules.intercept(&http::Uri::from_static("https://server/"))?;
        let known = ["http", "https", "socks5", "socks5h"];
        let is_known = proxy.uri().scheme_str().is_some_and(|scheme| known.contains(&scheme));
        is_known.then_some(Self { rules: Some(rules), from_environment: false })
    }

    /// A connection to `host:port`, through the proxy if the rules want it so.
    pub(super) async fn dial(&self, host: &str, port: u16, is_tls: bool) -> Result<Connection, ConnectError> {
        match self.between(host, port, is_tls) {
            None => Ok(Box::new(tcp(host, port).await?)),
            Some(proxy) => through(&proxy, host, port).await,
        }
    }

    fn between(&self, host: &str, port: u16, is_tls: bool) -> Option<Intercept> {
        let rules = self.rules.as_ref()?;
        let is_loopback =
            host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        if self.from_environment && is_loopback {
            return None;
        }
        rules.intercept(&uri(if is_tls { "https" } else { "http" }, host, port)?)
    }
}

fn uri(scheme: &str, host: &str, port: u16) -> Option<http::Uri> {
    format!("{scheme}://{}/", authority(host, port)).parse().ok()
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn through(proxy: &Intercept, host: &str, port: u16) -> Result<Connection, ConnectError> {
    let failed = |error: String| ConnectError::Proxy { proxy: proxy.uri().to_string(), error };
    let scheme = proxy.uri().scheme_str().unwrap_or_default();
    let address = proxy.uri().host().unwrap_or_default().trim_matches(['[', ']']);
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => 1080,
    };
    let io = tcp(address, proxy.uri().port_u16().unwrap_or(default)).await?;
    match scheme {
        "http" => connect(Box::new(io), proxy, host, port).await.map_err(failed),
        "https" => {
            let tls =
                Connector::new(ClientTls::default(), address).map_err(|error| failed(error.to_string()))?;
            let io = tls.connect(io).await.map_err(|error| failed(error.to_string()))?;
            connect(Box::new(io), proxy, host, port).await.map_err(failed)
        }
        "socks5" | "socks5h" => socks(Box::new(io), proxy, host, port).await.map_err(failed),
        other => Err(failed(format!("scheme {other} is not supported"))),
    }
}

/// Asks for a tunnel (RFC 9110 section 9.3.6).
async fn connect(mut io: Connection, proxy: &Intercept, host: &str, port: u16) -> Result<Connection, String> {
    let target = authority(host, port);
    let mut bytes = vec![0; 4096];
    let mut head = HeadWriter::request(&mut bytes, "CONNECT", &target).header("Host", &target);
    if let Some(authorization) = proxy.basic_auth() {
        head = head.header("Proxy-Authorization", authorization);
    }
    let len = head.finish().map_err(|error| error.to_string())?;
    let sent = async {
        io.write_all(&bytes[..len]).await?;
        io.flush().await
    };
    sent.await.map_err(|error| error.to_string())?;
    let answer = read_head(&mut io, HEAD, ANSWER).await;
    let answer = answer.map_err(|failure| ConnectError::of_head(failure).to_string())?;
    let response: Response<'_> = Response::parse(answer.head()).map_err(|error| error.to_string())?;
    if !(200..300).contains(&response.status) {
        return Err(format!("CONNECT request returned response: {} {}", response.status, response.reason));
    }
    if !answer.behind().is_empty() {
        // Nobody may speak first in this tunnel.
        return Err("bytes came ahead of the tunnel".into());
    }
    Ok(io)
}

/// Asks for a tunnel (RFC 1928). The proxy resolves the name, as with Go clients.
async fn socks(io: Connection, proxy: &Intercept, host: &str, port: u16) -> Result<Connection, String> {
    let target = uri("http", host, port).ok_or("not a name of a host")?;
    let mut socks = SocksV5::new(proxy.uri().clone(), Dialled(Some(TokioIo::new(io))));
    if let Some((user, password)) = proxy.raw_auth() {
        socks = socks.with_auth(user.to_owned(), password.to_owned());
    }
    let tunnel = socks.call(target).await.map_err(|error| error.to_string())?;
    Ok(tunnel.into_inner())
}

/// The connection to the proxy, which is there already.
struct Dialled(Option<TokioIo<Connection>>);

impl Service<http::Uri> for Dialled {
    type Response = TokioIo<Connection>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<Connection>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_at_a_url_with_a_known_scheme() {
        for url in ["http://p:1", "https://u:p@p", "socks5://u:p@[::1]:1080", "socks5h://p", "p:3128"] {
            assert!(Proxy::at(url).is_some(), "{url}");
        }
        for url in ["", "ftp://p", "socks4://p", "http://"] {
            assert!(Proxy::at(url).is_none(), "{url}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_networks_and_domains() {
        let rules = Matcher::builder().all("http://p:1").no("10.0.0.0/8,.corp.example,plain.example").build();
        let proxy = Proxy { rules: Some(rules), from_environment: true };
        let table = [
            ("10.1.2.3", false),
            ("11.1.2.3", true),
            ("api.corp.example", false),
            ("api.plain.example", false),
            ("other.example", true),
            ("2001:db8::1", true),
            // A server on this host is not behind a proxy that the environment names.
            ("localhost", false),
            ("127.0.0.1", false),
            ("::1", false),
        ];
        for (host, expected) in table {
            assert_eq!(proxy.between(host, 6443, true).is_some(), expected, "{host}");
        }
        assert!(Proxy::at("http://p").unwrap().between("localhost", 1, true).is_some());
        assert!(Proxy::none().between("a", 1, true).is_none());
    }
}
