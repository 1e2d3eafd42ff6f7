use std::fmt;
use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use http::header::HOST;
use kube::client::middleware::{AuthLayer, ExtraHeadersLayer};
use kube::client::{Body, ConfigExt as _};
use secrecy::ExposeSecret;
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::connect::ConnectError;
use super::credentials::Credentials;
use super::server::{Server, ServerError, is_token};
use crate::tls::Connector;

/// Why a configuration of `kube` cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum KubeError {
    /// `kube` cannot make credentials or TLS of it.
    Kube(kube::Error),
    /// The server cannot be reached so.
    Server(ServerError),
}

impl Server {
    /// The server of a configuration of the crate `kube`: where it is, who it has to be, through which proxy, and who asks. Tokens of exec
    /// plugins and of token files are renewed when they expire.
    ///
    /// This may run an exec plugin, and waits for it: in async code, call it where that does no harm.
    ///
    /// `kube` takes the environment's `HTTPS_PROXY` for the proxy of a kubeconfig that names none; here `NO_PROXY` is heeded then, too.
    pub fn from_kube(config: &kube::Config) -> Result<Self, KubeError> {
        let token = config.auth_info.token.as_ref().map(ExposeSecret::expose_secret);
        if token.is_some_and(|token| !is_token(token)) {
            // `kube` would panic.
            return Err(KubeError::Server(ServerError::Header));
        }
        let (config, token_file) = &without_token_file(config);
        let url = config.cluster_url.to_string();
        let name = config.tls_server_name.clone();
        let server = if config.cluster_url.scheme_str() == Some("https") {
            let tls = config.rustls_client_config().map_err(KubeError::Kube)?;
            Self::build(&url, |host| {
                Connector::given(tls, name.as_deref().unwrap_or(host)).map_err(ServerError::Tls)
            })
        } else {
            Self::new(&url)
        };
        let layers = Layers {
            auth: config.auth_layer().map_err(KubeError::Kube)?,
            extra: config.extra_headers_layer().map_err(KubeError::Kube)?,
            token_file: token_file.clone(),
        };
        let server = server.map_err(KubeError::Server)?.with_credentials(Credentials::Kube(layers));
        match config.proxy_url.as_ref().map(ToString::to_string) {
            Some(url) if !is_of_environment(&url) => server.with_proxy(Some(&url)).map_err(KubeError::Server),
            _ => Ok(server),
        }
    }
}

/// Takes the token file out, where it is what decides: `kube` sends what is in it as it is, with the line break that most such files end
/// with, and fails.
fn without_token_file(config: &kube::Config) -> (kube::Config, Option<PathBuf>) {
    let mut config = config.clone();
    let user = &mut config.auth_info;
    let has_password = user.username.is_some() && user.password.is_some();
    if has_password || user.token.is_some() || user.auth_provider.is_some() {
        return (config, None);
    }
    let file = user.token_file.take();
    if file.is_some() {
        user.exec = None;
    }
    (config, file.map(PathBuf::from))
}

fn is_of_environment(url: &str) -> bool {
    let proxies = ["HTTPS_PROXY", "https_proxy"].into_iter().filter_map(|name| std::env::var(name).ok());
    proxies.filter_map(|proxy| proxy.parse::<http::Uri>().ok()).any(|proxy| proxy == *url)
}

/// What `kube` does to each request.
pub(super) struct Layers {
    auth: Option<AuthLayer>,
    extra: ExtraHeadersLayer,
    /// Read for each request: the token in it is renewed by others.
    token_file: Option<PathBuf>,
}

impl Layers {
    /// The headers that a request gets.
    pub(super) async fn headers(&self) -> Result<Vec<(String, Vec<u8>)>, ConnectError> {
        let request = http::Request::new(Body::empty());
        let answer = match &self.auth {
            None => self.extra.layer(Echo).oneshot(request).await,
            Some(auth) => self.extra.layer(auth.layer(Echo)).oneshot(request).await,
        };
        let answer = answer.map_err(|error| ConnectError::Credentials(error.to_string()))?;
        let headers = answer.headers().iter().filter(|(name, _)| **name != HOST);
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        Ok(headers.chain(self.token_file.as_deref().map(authorization).transpose()?).collect())
    }
}

/// The header that the token in a file makes.
fn authorization(file: &Path) -> Result<(String, Vec<u8>), ConnectError> {
    let unusable = |why: &dyn fmt::Display| {
        ConnectError::Credentials(format!("cannot read the token in {}: {why}", file.display()))
    };
    let text = std::fs::read_to_string(file).map_err(|error| unusable(&error))?;
    let token = text.trim();
    if !is_token(token) {
        return Err(unusable(&"it is none"));
    }
    Ok(("Authorization".into(), format!("Bearer {token}").into_bytes()))
}

/// Answers each request with the headers that it has.
#[derive(Clone)]
struct Echo;

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<()>;
    type Error = BoxError;
    type Future = Ready<Result<http::Response<()>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut answer = http::Response::new(());
        *answer.headers_mut() = request.into_parts().0.headers;
        ready(Ok(answer))
    }
}

impl fmt::Display for KubeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kube(error) => write!(f, "{error}"),
            Self::Server(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for KubeError {}
