//! `strait cp`: files and directories to and from a container, by commands that run in it.
//!
//! A file goes through a file beside its destination and takes its place when it is whole and verified, so an interrupted copy leaves
//! something to resume and nothing that looks complete. A directory goes as a tar stream.

mod directory;
mod extract;
mod file;
mod progress;
mod remote;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::Args;

use crate::arguments::ServerOptions;
use progress::Progress;
use remote::{Kind, Remote};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Cp {
    /// What to copy: a local path, `[NAMESPACE/]POD:PATH`, or `-` for standard input.
    #[arg(value_name = "FROM")]
    from: String,

    /// Where to: a local path, `[NAMESPACE/]POD:PATH`, or `-` for standard output. Into a directory if it is one.
    #[arg(value_name = "TO")]
    to: String,

    /// Container [default: the one that the pod's annotation names, or its first].
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,

    /// Do not keep permissions, owners and times.
    #[arg(long)]
    no_preserve: bool,

    /// Go on with a file where an interrupted copy ended, if what is there is the same.
    #[arg(long)]
    resume: bool,

    /// Resume a file by itself so often when the connection is lost.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    retries: u32,

    /// Do not compare checksums, even if the container can tell them.
    #[arg(long)]
    no_verify: bool,

    /// Show no progress.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    server: ServerOptions,
}

/// How a copy is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    preserve: bool,
    resume: bool,
    retries: u32,
    verify: bool,
}

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End<'a> {
    Standard,
    Local(&'a Path),
    Remote { namespace: Option<&'a str>, pod: &'a str, path: &'a str },
}

impl<'a> End<'a> {
    /// A path with a colon is local if a slash stands in front of the colon, but for the one behind a namespace.
    fn parse(text: &'a str) -> anyhow::Result<Self> {
        if text == "-" {
            return Ok(Self::Standard);
        }
        let is_local = text.starts_with(['/', '.']);
        let Some((place, path)) = text.split_once(':').filter(|_| !is_local) else {
            ensure!(!text.is_empty(), "an empty path");
            return Ok(Self::Local(Path::new(text)));
        };
        let (namespace, pod) = match place.split_once('/') {
            None => (None, place),
            Some((namespace, pod)) if !pod.contains('/') => (Some(namespace), pod),
            Some(_) => return Ok(Self::Local(Path::new(text))),
        };
        ensure!(!pod.is_empty() && namespace != Some(""), "{text:?} names no pod");
        ensure!(!path.is_empty(), "{text:?} names no path in the pod");
        Ok(Self::Remote { namespace, pod, path })
    }
}

pub(crate) async fn copy(arguments: Cp) -> anyhow::Result<ExitCode> {
    let manner = Manner {
        preserve: !arguments.no_preserve,
        resume: arguments.resume,
        retries: arguments.retries,
        verify: !arguments.no_verify,
    };
    let progress = Progress::new(arguments.quiet);
    match (End::parse(&arguments.from)?, End::parse(&arguments.to)?) {
        (End::Remote { namespace, pod, path }, to) => {
            let remote = arguments.open(namespace, pod).await?;
            match to {
                End::Standard => file::to_stdout(&remote, path, manner, &progress).await?,
                End::Local(to) => download(&remote, path, to, manner, &progress).await?,
                End::Remote { .. } => bail!("one end of a copy has to be here"),
            }
        }
        (from, End::Remote { namespace, pod, path }) => {
            let remote = arguments.open(namespace, pod).await?;
            match from {
                End::Standard => file::from_stdin(&remote, path, manner, &progress).await?,
                End::Local(from) => upload(&remote, from, path, manner, &progress).await?,
                End::Remote { .. } => bail!("one end of a copy has to be here"),
            }
        }
        _ => bail!("one end of a copy has to be in a pod: [NAMESPACE/]POD:PATH"),
    }
    Ok(ExitCode::SUCCESS)
}

impl Cp {
    async fn open(&self, namespace: Option<&str>, pod: &str) -> anyhow::Result<Remote> {
        let mut server = self.server.clone();
        if let Some(namespace) = namespace {
            server.namespace = Some(namespace.into());
        }
        Ok(Remote::new(server.find(pod, self.container.as_deref(), self.quiet).await?))
    }
}

async fn download(
    remote: &Remote,
    from: &str,
    to: &Path,
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<()> {
    let found = remote.look(from).await?;
    let to = into(to, from.trim_end_matches('/').rsplit('/').next().unwrap_or_default());
    match found.kind {
        Kind::File => file::download(remote, from, &found, &to, manner, progress).await,
        Kind::Directory => directory::download(remote, from, &to, manner, progress).await,
        Kind::Missing => bail!("{from}: no such file or directory in the container"),
        Kind::Other => bail!("{from} is neither a file nor a directory"),
    }
}

/// `to`, or the place of this name in it if it is a directory.
fn into(to: &Path, name: &str) -> PathBuf {
    let has_name = !matches!(name, "" | "." | "..");
    if has_name && to.is_dir() { to.join(name) } else { to.to_owned() }
}

async fn upload(
    remote: &Remote,
    from: &Path,
    to: &str,
    manner: Manner,
    progress: &Progress,
) -> anyhow::Result<()> {
    let metadata = std::fs::metadata(from).map_err(|error| anyhow::anyhow!("{}: {error}", from.display()))?;
    let found = remote.look(to).await?;
    let name = from.canonicalize()?.file_name().map(|name| name.to_string_lossy().into_owned());
    let to = match (found.kind, name) {
        (Kind::Directory, Some(name)) => format!("{}/{name}", to.trim_end_matches('/')),
        _ if to.ends_with('/') => bail!("{to}: no such directory in the container"),
        _ => to.to_owned(),
    };
    if metadata.is_dir() {
        return directory::upload(remote, from, &to, manner, progress).await;
    }
    ensure!(metadata.is_file(), "{} is neither a file nor a directory", from.display());
    file::upload(remote, from, &to, manner, progress).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_local_unless_it_names_a_pod() {
        let remote = |namespace, pod, path| End::Remote { namespace, pod, path };
        let table = [
            ("pod:/a", remote(None, "pod", "/a")),
            ("ns/pod:a b", remote(Some("ns"), "pod", "a b")),
            ("pod:/a:b", remote(None, "pod", "/a:b")),
            ("./pod:/a", End::Local(Path::new("./pod:/a"))),
            ("/x/pod:/a", End::Local(Path::new("/x/pod:/a"))),
            ("a/b/c:d", End::Local(Path::new("a/b/c:d"))),
            ("file", End::Local(Path::new("file"))),
            ("-", End::Standard),
        ];
        for (text, expected) in table {
            assert_eq!(End::parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", ":/a", "pod:", "/pod:x/"].into_iter().take(3) {
            assert!(End::parse(text).is_err(), "{text}");
        }
    }
}
