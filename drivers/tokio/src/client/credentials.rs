use std::fmt;

use super::connect::ConnectError;

/// What each request carries to say who asks.
pub(super) enum Credentials {
    None,
    /// The value of `Authorization`.
    Bearer(String),
    #[cfg(feature = "kube")]
    Kube(super::kube_config::Layers),
}

impl Credentials {
    /// Headers for a request that is made now: tokens are renewed when they are about to expire.
    #[cfg_attr(
        not(feature = "kube"),
        expect(clippy::unused_async, reason = "plugins and token files are waited for")
    )]
    pub(super) async fn headers(&self) -> Result<Vec<(String, Vec<u8>)>, ConnectError> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Bearer(token) => {
                Ok(vec![("Authorization".into(), [b"Bearer ", token.as_bytes()].concat())])
            }
            #[cfg(feature = "kube")]
            Self::Kube(layers) => layers.headers().await,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer(..)",
            #[cfg(feature = "kube")]
            Self::Kube(_) => "Kube(..)",
        })
    }
}
