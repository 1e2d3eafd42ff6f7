use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// Where the API server is and who asks it: kubectl's flags, over what the kubeconfig says.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerOptions {
    /// Kubeconfig to use, instead of the files of $KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig to use.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Cluster of the kubeconfig to use.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,

    /// User of the kubeconfig to use.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// Namespace of the pod [default: that of the context, or `default`].
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,

    /// URL of the API server.
    #[arg(short, long, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// Bearer token to show to it.
    #[arg(long, value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// File with the certificates of the CAs that sign the server's.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_authority: Option<PathBuf>,

    /// File with the certificate to show to the server.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_certificate: Option<PathBuf>,

    /// File with the key of that certificate.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub(crate) client_key: Option<PathBuf>,

    /// Name in the server's certificate, if it is not the host of the URL.
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,

    /// Take anybody for the server: whoever is on the way gets the credentials.
    #[arg(long, conflicts_with = "certificate_authority")]
    pub(crate) insecure_skip_tls_verify: bool,

    /// User to act as.
    #[arg(long = "as", value_name = "USER")]
    pub(crate) impersonate: Option<String>,

    /// Group to act as. May be given often.
    #[arg(long = "as-group", value_name = "GROUP", requires = "impersonate")]
    pub(crate) impersonate_groups: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Name of the pod, or `pod/NAME`.
    #[arg(value_name = "POD")]
    pub(crate) pod: String,

    /// Container [default: the one that the pod's annotation names, or its first].
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,

    /// Pass standard input on.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,

    /// Give the command a terminal, if standard input is one.
    #[arg(short, long)]
    pub(crate) tty: bool,

    /// Print nothing but what the command prints.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Name of the pod, or `pod/NAME`.
    #[arg(value_name = "POD")]
    pub(crate) pod: String,

    /// Container [default: the one that the pod's annotation names, or its first].
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,

    /// Pass standard input on.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,

    /// Use the container's terminal, if it has one and standard input is one.
    #[arg(short, long)]
    pub(crate) tty: bool,

    /// Print nothing but what the process prints.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Keys that leave a terminal without ending the process: characters, or `ctrl-` and one of `a` to `z`, `@`, `[`, `\`, `]`, `^`, `_`,
    /// with commas between. Empty leaves by no keys.
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q", value_parser = detach_keys)]
    pub(crate) detach_keys: Keys,

    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

/// A sequence of keys as a terminal sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys(pub(crate) Vec<u8>);

fn detach_keys(text: &str) -> Result<Keys, String> {
    let names = text.split(',').filter(|_| !text.is_empty());
    names.map(key).collect::<Result<_, _>>().map(Keys)
}

fn key(name: &str) -> Result<u8, String> {
    let unknown = || format!("no key {name:?}");
    match name.strip_prefix("ctrl-").map(str::as_bytes) {
        Some(&[letter @ (b'a'..=b'z' | b'@' | b'['..=b'_')]) => Ok(letter & 0x1f),
        Some(_) => Err(unknown()),
        None => match name.as_bytes() {
            &[byte] if byte.is_ascii() => Ok(byte),
            _ => Err(unknown()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_named_as_in_docker() {
        let keys = |text| detach_keys(text).map(|keys| keys.0);
        assert_eq!(keys("ctrl-p,ctrl-q"), Ok(vec![16, 17]));
        assert_eq!(
            keys("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,x"),
            Ok(vec![0, 27, 28, 29, 30, 31, b'x'])
        );
        assert_eq!(keys(""), Ok(vec![]));
        assert!(
            keys("ctrl-").is_err() && keys("ctrl-A").is_err() && keys("ab").is_err() && keys("a,").is_err()
        );
    }
}
