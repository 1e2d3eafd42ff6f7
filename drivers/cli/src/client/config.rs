use std::io;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use strait_tokio::client::{KubeError, Server};

use super::Place;
use crate::arguments::ServerOptions;

/// The name of what a kubeconfig does not have and flags make up.
const FLAGS: &str = "strait-flags";

impl ServerOptions {
    /// The server, and the namespace to look in.
    pub(crate) async fn open(&self) -> anyhow::Result<(Server, String)> {
        let config = self.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
        // An exec plugin may ask the user something.
        let server = tokio::task::spawn_blocking(move || Server::from_kube(&config)).await?;
        match (server, plugin) {
            (Err(error @ KubeError::Kube(kube::Error::Auth(_))), Some(plugin)) => {
                Err(error).with_context(|| format!("no credentials from the exec plugin {plugin}"))
            }
            (server, _) => Ok((server?, namespace)),
        }
    }

    /// Finds the container that is meant, and says on standard error which it is if nobody has named it.
    pub(crate) async fn find(
        &self,
        pod: &str,
        container: Option<&str>,
        quiet: bool,
    ) -> anyhow::Result<Place> {
        let pod = match pod.split_once('/') {
            None => pod,
            Some(("pod" | "pods" | "po", name)) => name,
            Some((kind, _)) => bail!("{kind} is not supported, only pods are"),
        };
        let (server, namespace) = self.open().await?;
        let info = server.pod(&namespace, pod).await?;
        let chosen = match container {
            Some(name) => {
                info.container(name).with_context(|| format!("container {name} not found in pod {pod}"))?
            }
            None => info.default_container().with_context(|| format!("pod {pod} has no container"))?,
        };
        if container.is_none() && info.containers.len() > 1 && !quiet {
            let names: Vec<_> = info.containers.iter().map(|container| &*container.name).collect();
            eprintln!("Defaulted container {:?} out of: {}", chosen.name, names.join(", "));
        }
        ensure!(
            !info.has_completed(),
            "cannot use a container in a completed pod; current phase is {}",
            info.phase
        );
        let container = chosen.name.clone();
        Ok(Place { server, namespace, pod: pod.to_owned(), container, info })
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let read = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = match read {
            Ok(kubeconfig) => kubeconfig,
            Err(error) if self.kubeconfig.is_none() && is_missing(&error) => Kubeconfig::default(),
            Err(error) => {
                let file = self.kubeconfig.as_ref().map(|file| file.display().to_string());
                let file = file.unwrap_or_else(|| "of $KUBECONFIG or ~/.kube/config".into());
                return Err(error).with_context(|| format!("cannot use the kubeconfig {file}"));
            }
        };
        let nothing_is_said = kubeconfig.contexts.is_empty() && self.server.is_none();
        if nothing_is_said && self.context.is_none() {
            let mut config = Config::incluster()
                .context("there is no kubeconfig, no --server, and this is not a pod of a cluster")?;
            if let Some(token) = &self.token {
                config.auth_info = AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() };
            }
            return Ok(config);
        }
        let (kubeconfig, options) = self.over(kubeconfig);
        Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(Into::into)
    }

    /// Puts the flags over a kubeconfig.
    fn over(&self, mut kubeconfig: Kubeconfig) -> (Kubeconfig, KubeConfigOptions) {
        let context = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        let context = context.filter(|name| !name.is_empty()).unwrap_or_else(|| FLAGS.into());
        if context == FLAGS {
            kubeconfig.contexts.push(NamedContext {
                name: FLAGS.into(),
                context: Some(kube::config::Context { cluster: FLAGS.into(), ..Default::default() }),
                ..Default::default()
            });
        }
        let found = kubeconfig.contexts.iter().find(|known| known.name == context);
        let found = found.and_then(|known| known.context.as_ref());
        let cluster = self.cluster.clone().or_else(|| found.map(|context| context.cluster.clone()));
        let cluster = cluster.unwrap_or_else(|| FLAGS.into());
        let user = self.user.clone().or_else(|| found.and_then(|context| context.user.clone()));
        let user = user.unwrap_or_else(|| FLAGS.into());
        if self.changes_the_cluster() {
            let clusters = &mut kubeconfig.clusters;
            let at = clusters.iter().position(|known| known.name == cluster).unwrap_or_else(|| {
                clusters.push(NamedCluster { name: cluster.clone(), ..Default::default() });
                clusters.len() - 1
            });
            self.change_cluster(clusters[at].cluster.get_or_insert_default());
        }
        let users = &mut kubeconfig.auth_infos;
        let at = users.iter().position(|known| known.name == user).unwrap_or_else(|| {
            users.push(NamedAuthInfo { name: user.clone(), ..Default::default() });
            users.len() - 1
        });
        self.change_user(users[at].auth_info.get_or_insert_default());
        let options = KubeConfigOptions { context: Some(context), cluster: Some(cluster), user: Some(user) };
        (kubeconfig, options)
    }

    fn changes_the_cluster(&self) -> bool {
        self.server.is_some()
            || self.certificate_authority.is_some()
            || self.tls_server_name.is_some()
            || self.insecure_skip_tls_verify
    }

    fn change_cluster(&self, cluster: &mut Cluster) {
        if let Some(server) = &self.server {
            let has_scheme = server.contains("://");
            cluster.server = Some(if has_scheme { server.clone() } else { format!("http://{server}") });
        }
        if let Some(file) = &self.certificate_authority {
            cluster.certificate_authority = Some(path(file));
            cluster.certificate_authority_data = None;
            cluster.insecure_skip_tls_verify = None;
        }
        if self.insecure_skip_tls_verify {
            cluster.insecure_skip_tls_verify = Some(true);
            (cluster.certificate_authority, cluster.certificate_authority_data) = (None, None);
        }
        if let Some(name) = &self.tls_server_name {
            cluster.tls_server_name = Some(name.clone());
        }
    }

    fn change_user(&self, user: &mut AuthInfo) {
        if let Some(token) = &self.token {
            user.token = Some(token.clone().into());
            (user.token_file, user.exec, user.auth_provider) = (None, None, None);
            (user.username, user.password) = (None, None);
        }
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            user.client_certificate = Some(path(certificate));
            user.client_key = Some(path(key));
            (user.client_certificate_data, user.client_key_data) = (None, None);
        }
        if let Some(name) = &self.impersonate {
            user.impersonate = Some(name.clone());
            user.impersonate_groups = Some(self.impersonate_groups.clone());
        }
    }
}

fn path(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
current-context: one
clusters:
- {name: c, cluster: {server: 'https://one:1', certificate-authority-data: eA==, proxy-url: 'http://p:1'}}
- {name: d, cluster: {server: 'http://two:2'}}
users:
- {name: u, user: {username: a, password: b}}
contexts:
- {name: one, context: {cluster: c, user: u, namespace: n}}
- {name: two, context: {cluster: d, user: u}}
";

    async fn config(options: ServerOptions) -> Result<Config, KubeconfigError> {
        let (kubeconfig, options) = options.over(Kubeconfig::from_yaml(FILE).unwrap());
        Config::from_custom_kubeconfig(kubeconfig, &options).await
    }

    #[tokio::test]
    async fn flags_stand_over_the_kubeconfig() {
        let two = config(ServerOptions { context: Some("two".into()), ..Default::default() }).await.unwrap();
        assert_eq!(two.cluster_url.to_string(), "http://two:2/");
        assert_eq!(two.auth_info.username.as_deref(), Some("a"));
        let flags = ServerOptions {
            server: Some("three:3".into()),
            token: Some("secret".into()),
            insecure_skip_tls_verify: true,
            ..Default::default()
        };
        let three = config(flags).await.unwrap();
        assert_eq!(three.cluster_url.to_string(), "http://three:3/");
        assert_eq!((&*three.default_namespace, three.accept_invalid_certs), ("n", true));
        assert!(
            three.auth_info.username.is_none()
                && three.auth_info.token.is_some()
                && three.root_cert.is_none()
        );
        assert_eq!(three.proxy_url.map(|url| url.to_string()).as_deref(), Some("http://p:1/"));
        let missing = config(ServerOptions { context: Some("none".into()), ..Default::default() }).await;
        assert!(missing.is_err());
    }

    #[tokio::test]
    async fn a_server_alone_is_enough() {
        let flags = ServerOptions { server: Some("http://127.0.0.1:7001".into()), ..Default::default() };
        let (kubeconfig, options) = flags.over(Kubeconfig::default());
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        assert_eq!((config.cluster_url.port_u16(), &*config.default_namespace), (Some(7001), "default"));
    }
}
