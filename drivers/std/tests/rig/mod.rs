//! Servers of each kind, a wire that can be cut, and certificates.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use strait_std::client::Transport;
use strait_std::{Gateway, ServerOptions, Stop};
use strait_tests::Server;
use tempfile::TempDir;

/// A way to a node.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) transport: Transport,
    through: Through,
    node: Server,
}

enum Through {
    Nothing,
    Program(Server),
    Library(StdGateway),
}

impl Way {
    pub(crate) fn address(&self) -> SocketAddr {
        match &self.through {
            Through::Nothing => self.node.address(),
            Through::Program(gateway) => gateway.address(),
            Through::Library(gateway) => gateway.address,
        }
    }
}

/// A node of each transport, one that has to be fallen back for, and gateways in front of a node.
pub(crate) fn ways() -> Vec<Way> {
    let spdy = || Server::node_with(&["--websocket-protocols", ""]);
    let v4 = || Server::node_with(&["--websocket-protocols", "v4.channel.k8s.io"]);
    let way = |name, node, transport| Way { name, transport, through: Through::Nothing, node };
    let behind = Server::node();
    let gateway = Server::gateway(behind.url(), &[]);
    let behind_std = Server::node();
    let std_gateway = StdGateway::start(behind_std.address());
    vec![
        way("a node over WebSocket v5", Server::node(), Transport::WebSocket),
        way("a node over SPDY v4", spdy(), Transport::Spdy),
        way("a node without v5, fallen back", v4(), Transport::Fallback),
        way("a node without WebSocket, fallen back", spdy(), Transport::Fallback),
        Way {
            through: Through::Program(gateway),
            ..way("the gateway in front of SPDY", behind, Transport::Fallback)
        },
        Way {
            through: Through::Library(std_gateway),
            ..way("the blocking gateway in front of SPDY", behind_std, Transport::Fallback)
        },
    ]
}

/// This crate's gateway in front of a node.
pub(crate) struct StdGateway {
    pub(crate) address: SocketAddr,
    pub(crate) stop: Stop,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl StdGateway {
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        Self::with(upstream, ServerOptions::default())
    }

    pub(crate) fn with(upstream: SocketAddr, options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Stop::new());
        let stopped = stop.clone();
        let gateway = Gateway::new(upstream.to_string()).with_options(options);
        Self { address, stop, thread: Some(thread::spawn(move || gateway.serve(listener, &stopped))) }
    }
}

impl Drop for StdGateway {
    fn drop(&mut self) {
        self.stop.close();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A wire between a client and a server that can be cut.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    pub(crate) fn to(far: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self { address: listener.local_addr().unwrap(), sockets: Arc::default() };
        let sockets = Arc::clone(&wire.sockets);
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let far = TcpStream::connect(far).unwrap();
                let copy = |from: &TcpStream, to: &TcpStream| {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                };
                copy(&near, &far);
                copy(&far, &near);
                sockets.lock().unwrap().extend([near, far]);
            }
        });
        wire
    }

    pub(crate) fn cut(&self) {
        for socket in self.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// A CA with one certificate for servers at 127.0.0.1, in files.
pub(crate) struct Ca {
    pub(crate) certificate: String,
    pub(crate) key: String,
    _directory: TempDir,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (certificate, key) = (path("node.pem"), path("node.key"));
        fs::write(&certificate, signed.cert.pem()).unwrap();
        fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
        Self { certificate, key, _directory: directory }
    }

    /// What a client needs to trust it.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth())
    }
}

/// Processor time that this process has taken.
pub(crate) fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    let ticks = behind_name.split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
    Duration::from_millis(10 * ticks.sum::<u64>())
}
