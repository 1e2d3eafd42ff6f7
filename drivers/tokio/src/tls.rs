//! TLS on both legs: which certificates are shown and which are trusted.
//!
//! Always TLS 1.2 or 1.3, and ALPN offers `http/1.1` only: there is no upgrade in HTTP/2. All files are PEM. They are read
//! again when they change, within 2 s; connections that stand keep what they began with. Files that cannot be used
//! (a key that does not fit the certificate, say, because only one of them has been replaced yet) leave what
//! was in use in its place, and the log says so.

mod any_certificate;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::reload::Reloaded;

use any_certificate::AnyCertificate;

const ALPN: &[u8] = b"http/1.1";

/// TLS of a server: what it shows, and what it wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate and its key.
    pub identity: Identity,
    /// Whose certificates clients show, if any are wanted.
    pub clients: Option<ClientCertificates>,
}

/// A certificate and the key that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// File with the certificate, followed by those that lead to the CA.
    pub certificate: PathBuf,
    /// File with the private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// File with the certificates of the CAs that sign them.
    pub ca: PathBuf,
    /// A client without a certificate does not get through the TLS handshake. Otherwise it may show none (but no
    /// wrong one), and has to authenticate in another way where that is asked for.
    pub required: bool,
}

/// TLS towards upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// File with the certificates of the CAs that are trusted. Without one: those of this system.
    pub ca: Option<PathBuf>,
    /// What this end shows if it is asked to.
    pub identity: Option<Identity>,
    /// The name in upstream's certificate, if it is not the host of the URL.
    pub server_name: Option<String>,
    /// Anybody is taken for upstream, so whoever is on the way gets the credentials of all clients.
    pub insecure_skip_verify: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM.
    Pem {
        /// Which.
        file: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// A file holds none of what it is for.
    Empty {
        /// Which.
        file: PathBuf,
    },
    /// A certificate, or its key, cannot be used.
    Unusable {
        /// The file with the certificate.
        file: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// This system has no CA certificates.
    NoSystemRoots,
    /// The name for upstream's certificate is neither a DNS name nor an address.
    ServerName(InvalidDnsNameError),
    /// What rustls or ring refuse by themselves.
    Setup(rustls::Error),
}

/// The accepting side, with the files as they are now.
#[derive(Debug)]
pub(crate) struct Acceptor(Reloaded<ServerConfig, TlsError>);

impl Acceptor {
    pub(crate) fn new(tls: ServerTls) -> Result<Self, TlsError> {
        let mut files = tls.identity.files();
        files.extend(tls.clients.as_ref().map(|clients| clients.ca.clone()));
        Reloaded::new(files, move || tls.load()).map(Self)
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.0.current()).accept(stream).await.map(TlsStream::Server)
    }
}

/// The connecting side, with the files as they are now.
#[derive(Debug)]
pub(crate) struct Connector {
    config: Reloaded<ClientConfig, TlsError>,
    name: ServerName<'static>,
    /// Whether it has a certificate to show.
    pub(crate) has_identity: bool,
}

impl Connector {
    /// For a server whose URL names `host`: a DNS name or an address without brackets.
    pub(crate) fn new(tls: ClientTls, host: &str) -> Result<Self, TlsError> {
        let name = tls.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(TlsError::ServerName)?;
        let mut files: Vec<_> = tls.ca.iter().cloned().collect();
        files.extend(tls.identity.iter().flat_map(Identity::files));
        let has_identity = tls.identity.is_some();
        let config = Reloaded::new(files, move || tls.load())?;
        Ok(Self { config, name, has_identity })
    }

    /// With a configuration of the caller's, which is not read again. ALPN is set here.
    #[cfg(feature = "kube")]
    pub(crate) fn given(mut config: ClientConfig, name: &str) -> Result<Self, TlsError> {
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = ServerName::try_from(name.to_owned()).map_err(TlsError::ServerName)?;
        let config = Reloaded::new(Vec::new(), move || Ok(config.clone()))?;
        Ok(Self { config, name, has_identity: false })
    }

    pub(crate) async fn connect<T>(&self, stream: T) -> io::Result<TlsStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(self.config.current());
        connector.connect(self.name.clone(), stream).await.map(TlsStream::Client)
    }
}

impl ServerTls {
    fn load(&self) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(roots_of(&clients.ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
                // It fails without roots only, and there are some.
                let verifier = verifier.build().map_err(|_| TlsError::Empty { file: clients.ca.clone() })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (chain, key) = self.identity.load()?;
        let mut config =
            builder.with_single_cert(chain, key).map_err(|error| self.identity.unusable(error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

impl ClientTls {
    fn load(&self) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = if self.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
        } else {
            builder.with_root_certificates(match &self.ca {
                Some(file) => roots_of(file)?,
                None => system_roots()?,
            })
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.load()?;
                builder.with_client_auth_cert(chain, key).map_err(|error| identity.unusable(error))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

impl Identity {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }

    fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| TlsError::Pem { file: self.key.clone(), error })?;
        Ok((certificates(&self.certificate)?, key))
    }

    fn unusable(&self, error: rustls::Error) -> TlsError {
        TlsError::Unusable { file: self.certificate.clone(), error }
    }
}

/// Named here rather than installed for the whole process: a library does not choose for its user.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// All certificates of a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::Pem { file: file.into(), error };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(file).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if chain.is_empty() {
        return Err(TlsError::Empty { file: file.into() });
    }
    Ok(chain)
}

fn roots_of(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| TlsError::Unusable { file: file.into(), error })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that cannot be used; what counts is that some can.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(roots) }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem { file, error } => write!(f, "cannot use {}: {error}", file.display()),
            Self::Empty { file } => write!(f, "there is no certificate in {}", file.display()),
            Self::Unusable { file, error } => {
                write!(f, "cannot use the certificate in {}: {error}", file.display())
            }
            Self::NoSystemRoots => f.write_str("this system has no CA certificates: name a CA file"),
            Self::ServerName(error) => write!(f, "not a name for a certificate: {error}"),
            Self::Setup(error) => write!(f, "TLS cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}
