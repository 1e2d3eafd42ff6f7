//! A node, a gateway in front of it, certificates, and clients for both.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use strait_tokio::gateway::Gateway;
use strait_tokio::node::Node;
use strait_tokio::tls::{ClientCertificates, ClientTls, Identity, ServerTls};
use strait_tokio::{ServerOptions, Shutdown, Upstream};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

/// Every wait ends after this at the latest.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Tries until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A CA, and a directory for what it signs.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) directory: TempDir,
    pub(crate) file: PathBuf,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), directory, file }
    }

    /// A certificate for servers at 127.0.0.1.
    pub(crate) fn server(&self, file: &str) -> Identity {
        self.sign(file, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(crate) fn client(&self, file: &str) -> Identity {
        self.sign(file, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, file: &str, purpose: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        params.extended_key_usages = vec![purpose];
        params.distinguished_name.push(DnType::CommonName, file);
        let path = |ending: &str| self.directory.path().join(format!("{file}.{ending}"));
        let identity = Identity { certificate: path("pem"), key: path("key") };
        std::fs::write(&identity.certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }

    pub(crate) fn server_tls(&self) -> ServerTls {
        ServerTls { identity: self.server("server"), clients: None }
    }

    pub(crate) fn server_tls_with_clients(&self, clients: &Self, required: bool) -> ServerTls {
        let clients = ClientCertificates { ca: clients.file.clone(), required };
        ServerTls { identity: self.server("server"), clients: Some(clients) }
    }

    /// What a gateway needs to trust servers of this CA.
    pub(crate) fn client_tls(&self, identity: Option<Identity>) -> ClientTls {
        ClientTls { ca: Some(self.file.clone()), identity, ..ClientTls::default() }
    }

    /// A client that trusts servers of this CA.
    pub(crate) fn connector(&self, identity: Option<&Identity>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.file).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![CertificateDer::from_pem_file(&identity.certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }

    /// A file of this CA's directory with this content.
    pub(crate) fn write(&self, file: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(file);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn node(node: Node) -> Self {
        let (listener, address) = listener().await;
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(node.serve(listener, shutdown.clone()));
        Self { address, shutdown, serving }
    }

    pub(crate) async fn gateway(gateway: Gateway) -> Self {
        let (listener, address) = listener().await;
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(gateway.serve(listener, shutdown.clone()));
        Self { address, shutdown, serving }
    }

    /// A gateway without TLS, in front of this.
    pub(crate) async fn behind_gateway(&self, options: ServerOptions) -> Self {
        let upstream = Upstream::parse(&format!("http://{}", self.address)).unwrap();
        Self::gateway(Gateway::new(upstream).with_options(options).unwrap()).await
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(self) {
        soon("the server stops", self.serving).await.unwrap().unwrap();
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) async fn tcp(address: SocketAddr) -> TcpStream {
    soon("a connection", TcpStream::connect(address)).await.unwrap()
}

pub(crate) async fn tls(
    connector: &TlsConnector,
    address: SocketAddr,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    soon("a TLS handshake", connector.connect(name, tcp(address).await)).await
}

/// Sends a request and reads until the server closes.
pub(crate) async fn reply<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str) -> String {
    let mut reply = Vec::new();
    soon("an answer", async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        stream.read_to_end(&mut reply).await
    })
    .await
    .unwrap();
    String::from_utf8(reply).unwrap()
}

/// The answer to a GET with these header lines.
pub(crate) async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    reply(tcp(address).await, &request).await
}

pub(crate) fn status(reply: &str) -> u16 {
    reply.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {reply:?}"))
}

/// An exec or attach session as a client sees it.
pub(crate) struct Exec<S> {
    pub(crate) socket: WebSocketStream<S>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) status: String,
    pub(crate) close: Option<CloseCode>,
}

/// Asks for a shell that runs `script`, with stdin.
pub(crate) async fn exec<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    script: &str,
    headers: &[(&'static str, &str)],
) -> tungstenite::Result<Exec<S>> {
    let script: String = url::form_urlencoded::byte_serialize(script.as_bytes()).collect();
    let what = format!("exec?command=sh&command=-c&command={script}&stdin=true&stdout=true");
    open(stream, &what, headers).await
}

/// Asks for a session: `what` is the rest of the target, from the subresource on.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    what: &str,
    headers: &[(&'static str, &str)],
) -> tungstenite::Result<Exec<S>> {
    let url = format!("ws://127.0.0.1/api/v1/namespaces/default/pods/demo/{what}");
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", "v5.channel.k8s.io".parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let upgrade = Box::pin(tokio_tungstenite::client_async(request, stream));
    let (socket, _) = soon("an upgrade", upgrade).await?;
    Ok(Exec { socket, stdout: Vec::new(), status: String::new(), close: None })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exec<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.send_on(0, bytes).await;
    }

    pub(crate) async fn send_on(&mut self, channel: u8, bytes: &[u8]) {
        let message = [&[channel], bytes].concat();
        soon("a message is sent", self.socket.send(Message::Binary(message.into()))).await.unwrap();
    }

    pub(crate) async fn half_close(&mut self) {
        let message = vec![255, 0];
        soon("a message is sent", self.socket.send(Message::Binary(message.into()))).await.unwrap();
    }

    /// Reads until stdout holds this.
    pub(crate) async fn reads(&mut self, expected: &str) {
        while !String::from_utf8_lossy(&self.stdout).contains(expected) {
            assert!(self.step().await, "{expected:?} is not in {:?}", String::from_utf8_lossy(&self.stdout));
        }
    }

    /// Reads until stdout has so many bytes.
    pub(crate) async fn reads_bytes(&mut self, count: usize) {
        while self.stdout.len() < count {
            assert!(self.step().await, "{} bytes and the end", self.stdout.len());
        }
    }

    /// Reads to the end.
    pub(crate) async fn finish(mut self) -> Self {
        while self.step().await {}
        self
    }

    async fn step(&mut self) -> bool {
        match soon("a message", self.socket.next()).await {
            None => return false,
            Some(Ok(Message::Binary(message))) => match message.split_first() {
                Some((1, bytes)) => self.stdout.extend_from_slice(bytes),
                Some((3, bytes)) => self.status.push_str(std::str::from_utf8(bytes).unwrap()),
                other => panic!("unexpected message {other:?}"),
            },
            Some(Ok(Message::Close(close))) => self.close = close.map(|close| close.code),
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("{error}"),
        }
        true
    }
}

/// The status code of an upgrade that was refused, and its header `name`.
pub(crate) fn refusal<S>(result: tungstenite::Result<Exec<S>>, name: &str) -> (u16, Option<String>) {
    match result {
        Ok(_) => panic!("the upgrade was not refused"),
        Err(tungstenite::Error::Http(response)) => {
            let header = response.headers().get(name).map(|value| value.to_str().unwrap().into());
            (response.status().as_u16(), header)
        }
        Err(error) => panic!("{error}"),
    }
}
