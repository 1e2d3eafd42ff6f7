use std::path::Path;

use anyhow::Context as _;
use strait::k8s::StreamSet;
use strait_tokio::client::{ConnectError, Executor, Exit, SessionError, Streams};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::Place;

/// Says what is at a path: a word, bytes, mode, time of change, and whether there is a checksum to be had. Words of stat differ between systems, so
/// what is not known is `-`.
const LOOK: &str = r#"
if [ -d "$1" ]; then echo directory; elif [ -f "$1" ]; then echo file; elif [ -e "$1" ] || [ -L "$1" ]; then echo other; else echo missing; fi
if [ -f "$1" ]; then wc -c < "$1"; else echo -; fi
stat -L -c '%a' -- "$1" 2>/dev/null || echo -
stat -L -c '%Y' -- "$1" 2>/dev/null || echo -
if command -v sha256sum >/dev/null 2>&1; then echo sha256sum; else echo -; fi
"#;

/// Most of what a helper command may say.
const ANSWER: usize = 64 * 1024 * 1024;

/// A container, and the commands that run in it.
pub(super) struct Remote {
    executor: Executor,
    place: Place,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) mode: Option<u32>,
    pub(super) modified: Option<u64>,
    /// The container has `sha256sum`.
    pub(super) has_checksums: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Missing,
    Other,
}

impl Remote {
    pub(super) fn new(place: Place) -> Self {
        Self { executor: place.executor(), place }
    }

    /// Looks at a path.
    pub(super) async fn look(&self, path: &str) -> anyhow::Result<Found> {
        let answer = self.shell(LOOK, &[path]).await?;
        Found::parse(&answer)
            .with_context(|| format!("the container's shell gave no proper answer: {answer:?}"))
    }

    /// The SHA-256 of the first `len` bytes of a file, in hexadecimal digits.
    pub(super) async fn checksum(&self, path: &str, len: u64) -> anyhow::Result<String> {
        let answer = self.shell("head -c \"$2\" < \"$1\" | sha256sum", &[path, &len.to_string()]).await?;
        Ok(answer.split_whitespace().next().unwrap_or_default().to_owned())
    }

    /// Runs a script in the container's shell and returns what it prints; a failure of it is an error.
    pub(super) async fn shell(&self, script: &str, arguments: &[&str]) -> anyhow::Result<String> {
        self.shell_with(script, arguments, tokio::io::empty()).await
    }

    /// The same with standard input.
    pub(super) async fn shell_with(
        &self,
        script: &str,
        arguments: &[&str],
        stdin: impl AsyncRead + Send + Unpin,
    ) -> anyhow::Result<String> {
        let mut answer = Bounded(Vec::new());
        let command = [&["sh", "-c", script, "strait"], arguments].concat();
        self.run(&command, Some(stdin), &mut answer).await?;
        Ok(String::from_utf8_lossy(&answer.0).into_owned())
    }

    /// Runs a command with standard input and standard output. It fails with what the command says on standard error.
    pub(super) async fn run(
        &self,
        command: &[&str],
        stdin: Option<impl AsyncRead + Send + Unpin>,
        stdout: impl AsyncWrite + Send + Unpin,
    ) -> Result<(), CommandError> {
        let asked = StreamSet { stdin: stdin.is_some(), stdout: true, stderr: true, tty: false };
        let session = self.executor.exec(&self.place.pod(), command, asked).await;
        let session = session.map_err(CommandError::Connect)?;
        let mut said = Bounded(Vec::new());
        let mut streams = Streams::new().stdout(stdout).stderr(&mut said);
        if let Some(stdin) = stdin {
            streams = streams.stdin(stdin);
        }
        let result = session.run(streams).await;
        let said = String::from_utf8_lossy(&said.0).trim().to_owned();
        match result {
            Ok(Exit { code: 0 }) => Ok(()),
            Ok(Exit { code }) => Err(CommandError::Exit { program: command[0].to_owned(), code, said }),
            Err(error) => Err(CommandError::Session(error)),
        }
    }
}

/// Why a command in the container did not do what it is for.
#[derive(Debug)]
pub(super) enum CommandError {
    /// It says that it failed.
    Exit { program: String, code: u32, said: String },
    /// Its session failed.
    Session(SessionError),
    /// It was not run.
    Connect(ConnectError),
}

impl CommandError {
    /// True if the connection is at fault, or there was none to be had: the same may work with another one.
    pub(super) const fn is_lost_connection(&self) -> bool {
        use ConnectError::{Answer, Dial, Refused, Timeout};
        matches!(
            self,
            Self::Session(SessionError::Lost { .. } | SessionError::Silent)
                | Self::Connect(Dial { .. } | Answer(_) | Timeout | Refused { status: 502..=504, .. })
        )
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exit { program, code, said } if said.is_empty() => {
                write!(f, "{program} in the container ended with exit code {code}")
            }
            Self::Exit { program, code, said } => {
                write!(f, "{program} in the container ended with exit code {code}: {said}")
            }
            Self::Session(error) => write!(f, "{error}"),
            Self::Connect(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CommandError {}

impl Found {
    fn parse(answer: &str) -> Option<Self> {
        let mut lines = answer.lines().map(str::trim);
        let kind = match lines.next()? {
            "file" => Kind::File,
            "directory" => Kind::Directory,
            "missing" => Kind::Missing,
            "other" => Kind::Other,
            _ => return None,
        };
        let size = lines.next()?.parse().unwrap_or(0);
        let mode = lines.next()?;
        let modified = lines.next()?.parse().ok();
        let has_checksums = lines.next()? == "sha256sum";
        Some(Self { kind, size, mode: u32::from_str_radix(mode, 8).ok(), modified, has_checksums })
    }
}

/// The directory of a path in the container.
pub(super) fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        None => ".",
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}

/// The name of the file beside `path` that a copy goes through.
pub(super) fn partial(path: &str) -> String {
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    format!("{}/.{name}.strait-partial", parent(path))
}

/// Collects what a command says, as far as there is room. What is more is an error.
struct Bounded(Vec<u8>);

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if self.0.len() + bytes.len() > ANSWER {
            return std::task::Poll::Ready(Err(std::io::ErrorKind::FileTooLarge.into()));
        }
        self.0.extend_from_slice(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_says_of_a_path_is_understood() {
        let file = Found::parse("file\n 12\n644\n1700000000\nsha256sum\n").unwrap();
        assert_eq!((file.kind, file.size, file.mode), (Kind::File, 12, Some(0o644)));
        assert_eq!((file.modified, file.has_checksums), (Some(1_700_000_000), true));
        let missing = Found::parse("missing\n-\n-\n-\n-\n").unwrap();
        assert_eq!((missing.kind, missing.mode, missing.has_checksums), (Kind::Missing, None, false));
        assert_eq!(Found::parse("sh: not found"), None);
    }

    #[test]
    fn a_copy_goes_through_a_file_beside_its_destination() {
        let table =
            [("/a/b", "/a/.b.strait-partial"), ("/b", "//.b.strait-partial"), ("b", "./.b.strait-partial")];
        for (path, expected) in table {
            assert_eq!(partial(path), expected);
        }
    }
}
