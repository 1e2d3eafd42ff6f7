use std::fmt;
use std::pin::pin;
use std::time::Duration;

use http::header::ACCEPT;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;

use super::connect::ConnectError;
use super::server::Server;

/// Most bytes of an answer; a pod may have 1.5 MiB in etcd.
const BODY: usize = 4 * 1024 * 1024;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// What a client has to know of a pod before it asks for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodInfo {
    /// `Running`, `Pending`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Its containers, in the order of its specification, and whether each has standard input and a terminal.
    pub containers: Vec<Container>,
    /// The one that its author wants to be the default.
    default: Option<String>,
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its main process reads standard input.
    pub stdin: bool,
    /// Its main process has a terminal.
    pub tty: bool,
}

/// Why an object cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApiError {
    /// The server cannot be reached.
    Connect(ConnectError),
    /// It answers with an error.
    Status {
        /// HTTP status.
        code: u16,
        /// One word for a machine, such as `NotFound`; may be empty.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
    /// Its answer is not what was asked for.
    Answer(String),
}

impl Server {
    /// Reads a pod.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<PodInfo, ApiError> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        if !is_name(namespace) || !is_name(name) {
            return Err(ApiError::Answer(format!("not a name of a pod: {namespace}/{name}")));
        }
        let json = self.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}")).await?;
        PodInfo::of(&json).ok_or_else(|| ApiError::Answer("the server sent no pod".into()))
    }

    async fn get(&self, target: &str) -> Result<Value, ApiError> {
        timeout(ANSWER, self.ask(target)).await.unwrap_or(Err(ConnectError::Timeout.into()))
    }

    async fn ask(&self, target: &str) -> Result<Value, ApiError> {
        let failed = |error: hyper::Error| ApiError::Answer(error.to_string());
        let request = self.plain_request(target).await?;
        let io = self.connect().await?;
        tracing::debug!(target: "strait::request", "GET {}{target}", self.url());
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            let status = response.status();
            tracing::debug!(target: "strait::request", "{status} GET {}{target}", self.url());
            let body = Limited::new(response.into_body(), BODY).collect().await;
            let body = body.map_err(|error| ApiError::Answer(error.to_string()))?.to_bytes();
            if status.is_success() {
                return serde_json::from_slice(&body).map_err(|error| ApiError::Answer(error.to_string()));
            }
            Err(ApiError::refused(status.as_u16(), &body))
        };
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // The connection is done, and what it brought is on its way to the exchange.
            _ = connection => exchange.await,
        }
    }

    async fn plain_request(&self, path: &str) -> Result<http::Request<Empty<Bytes>>, ApiError> {
        let unusable = |error: http::Error| ApiError::Connect(ConnectError::Request(error.to_string()));
        let mut request = http::Request::get(self.target(path)).header(ACCEPT, "application/json");
        for (name, value) in self.headers().await? {
            request = request.header(name, value);
        }
        request.body(Empty::new()).map_err(unusable)
    }
}

impl PodInfo {
    fn of(json: &Value) -> Option<Self> {
        let containers = json["spec"]["containers"].as_array()?;
        let containers = containers.iter().map(|container| {
            Some(Container {
                name: container["name"].as_str()?.to_owned(),
                stdin: container["stdin"].as_bool().unwrap_or(false),
                tty: container["tty"].as_bool().unwrap_or(false),
            })
        });
        let annotation = &json["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"];
        Some(Self {
            phase: json["status"]["phase"].as_str().unwrap_or("Unknown").to_owned(),
            containers: containers.collect::<Option<_>>()?,
            default: annotation.as_str().map(str::to_owned),
        })
    }

    /// The container that is meant if nobody names one: the one that the annotation `kubectl.kubernetes.io/default-container` names, or the first.
    pub fn default_container(&self) -> Option<&Container> {
        self.default.as_deref().and_then(|name| self.container(name)).or_else(|| self.containers.first())
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// True if the pod has ended for good: nothing can run in it.
    pub fn has_completed(&self) -> bool {
        matches!(&*self.phase, "Succeeded" | "Failed")
    }
}

impl ApiError {
    fn refused(code: u16, body: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let word = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let message = match word("message") {
            message if !message.is_empty() => message,
            _ => String::from_utf8_lossy(body.get(..1024).unwrap_or(body)).trim().to_owned(),
        };
        Self::Status { code, reason: word("reason"), message }
    }
}

impl From<ConnectError> for ApiError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "{error}"),
            Self::Status { code, reason, message } if reason.is_empty() => {
                write!(f, "error from server ({code}): {message}")
            }
            Self::Status { reason, message, .. } => write!(f, "error from server ({reason}): {message}"),
            Self::Answer(error) => write!(f, "the server's answer cannot be used: {error}"),
        }
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_names_the_default_container() {
        let pod = |annotation: &str| {
            let json = serde_json::json!({
                "metadata": {"annotations": {"kubectl.kubernetes.io/default-container": annotation}},
                "spec": {"containers": [{"name": "a"}, {"name": "b", "stdin": true, "tty": true}]},
                "status": {"phase": "Running"},
            });
            PodInfo::of(&json).unwrap()
        };
        assert_eq!(pod("b").default_container().unwrap().name, "b");
        assert_eq!(pod("gone").default_container().unwrap().name, "a");
        assert!(pod("b").container("b").unwrap().tty && !pod("b").container("a").unwrap().stdin);
        assert_eq!(PodInfo::of(&serde_json::json!({"kind": "Status"})), None);
    }
}
