use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How a gateway accepts connections. The default is closed: for loopback, because nothing is encrypted.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Plain text is spoken beyond loopback too, to clients and to upstream.
    pub insecure_allow_plaintext: bool,
    /// Values of `Origin` that are allowed beside the server's own; `*` is all.
    pub allowed_origins: Vec<String>,
    /// Connections at one time, each with a thread. More wait in the kernel's queue.
    pub max_connections: usize,
    /// Sessions at one time, each with 128 KiB of buffers. More are answered 503.
    pub max_sessions: usize,
    /// Bytes of the body of a request that is no upgrade. More are answered 413.
    pub max_body_bytes: u64,
    /// How long sessions may go on that run when the server [drains](crate::Stop::drain).
    pub drain_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            insecure_allow_plaintext: false,
            allowed_origins: Vec::new(),
            max_connections: 1_000,
            max_sessions: 500,
            max_body_bytes: 64 * 1024 * 1024,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl ServerOptions {
    /// Whether plain text may be spoken to clients at `address` and to `upstream`, a host and a port.
    pub(crate) fn check(&self, address: SocketAddr, upstream: &str) -> io::Result<()> {
        let exposed = if !address.ip().to_canonical().is_loopback() {
            format!(
                "{address} is not a loopback address, and without TLS everything could be read on the way"
            )
        } else if !is_loopback(upstream) {
            format!("{upstream} is not on loopback, and the credentials of clients could be read on the way")
        } else {
            return Ok(());
        };
        if self.insecure_allow_plaintext {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{exposed}: allow plain text explicitly")))
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
    let address: Result<IpAddr, _> = host.parse();
    address.map_or(host == "localhost", |address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_on_loopback_unless_it_is_allowed() {
        let options = ServerOptions::default();
        let local = "127.0.0.1:80".parse().unwrap();
        for (address, upstream, is_closed) in [
            (local, "127.0.0.1:10250", true),
            (local, "[::1]:10250", true),
            (local, "localhost:10250", true),
            (local, "10.0.0.1:10250", false),
            (local, "localhost.example:80", false),
            ("0.0.0.0:80".parse().unwrap(), "127.0.0.1:10250", false),
            ("[::ffff:127.0.0.1]:80".parse().unwrap(), "127.0.0.1:10250", true),
        ] {
            assert_eq!(options.check(address, upstream).is_ok(), is_closed, "{address} {upstream}");
            let open = ServerOptions { insecure_allow_plaintext: true, ..ServerOptions::default() };
            assert!(open.check(address, upstream).is_ok());
        }
    }
}
