//! Sessions of the raw client: what they send and expect, and what may come of them.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use strait::k8s::Subprotocol;
use strait_tests::{Dialect, End, Exec, Random, Refusal, Session, Transcript};

use crate::job::{Came, Load, right};

/// Sent and not yet come back: less than what all buffers on the way hold.
const WINDOW: usize = 48 * 1024;
/// The largest input, and the largest output.
const MOST: usize = 4_000_000;

const DIALECTS: [Dialect; 3] = [
    Dialect::WebSocket(Subprotocol::V5),
    Dialect::WebSocket(Subprotocol::V4),
    Dialect::Spdy(Subprotocol::V4),
];

/// A command, with all that it is given and that it has to answer.
pub(crate) struct Task {
    exec: Exec,
    dialect: Dialect,
    input: Vec<u8>,
    /// It sends back what it gets.
    echoes: bool,
    /// The end of the input is told.
    closes: bool,
    sizes: Vec<(u16, u16)>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    code: u8,
    /// The client vanishes behind so many bytes of output.
    leaves_at: Option<usize>,
}

impl Task {
    /// `mark` is a word for the wires that the command ignores.
    pub(crate) fn of(load: Load, mark: &str, random: &mut Random) -> Self {
        let dialect = DIALECTS[random.below(DIALECTS.len())];
        let code = [0, 1, 7, 137, 255][random.below(5)];
        let quiet = |script: &str| Exec::script(&format!(": {mark}; {script}"));
        let empty = Self {
            exec: quiet(&format!("exit {code}")),
            dialect,
            input: Vec::new(),
            echoes: false,
            closes: false,
            sizes: Vec::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            code,
            leaves_at: None,
        };
        match load {
            Load::Echo => {
                let length = random.length(MOST);
                let input = random.bytes(length);
                // The end of the input cannot be told by v4 over WebSocket.
                let closes = dialect != Dialect::WebSocket(Subprotocol::V4);
                let reads = if closes { "cat".to_owned() } else { format!("head -c {length}") };
                let exec = quiet(&format!("{reads}; exit {code}")).with_stdin();
                Self { exec, stdout: input.clone(), input, echoes: true, closes, ..empty }
            }
            Load::Flood | Load::Vanish => {
                let (first, count) = (random.below(1000), random.length(MOST / 8));
                let errors = random.below(2) * random.length(2000);
                let script = format!("seq {first} {}; seq {errors} >&2; exit {code}", first + count - 1);
                let mut exec = quiet(&script);
                if random.below(2) == 0 {
                    exec = exec.with_receive_buffer(4096);
                }
                let stdout = numbers(first, count);
                let leaves_at = (load == Load::Vanish).then(|| random.below(stdout.len()));
                Self { exec, stdout, stderr: numbers(1, errors), leaves_at, ..empty }
            }
            Load::Terminal => {
                let sizes: Vec<_> = (0..=random.below(4))
                    .map(|_| (10 + random.below(90) as u16, 40 + random.below(90) as u16))
                    .collect();
                let (rows, columns) = sizes[sizes.len() - 1];
                let script = format!(
                    "stty -echo; until [ \"$(stty size)\" = '{rows} {columns}' ]; do sleep 0.05; done; \
                     echo sized; read line; echo \"got $line\"; exit {code}"
                );
                let exec = quiet(&script).on_terminal();
                let stdout = b"sized\r\ngot a line\r\n".to_vec();
                Self { exec, sizes, input: b"a line\n".to_vec(), stdout, ..empty }
            }
            _ => empty,
        }
    }

    /// How many bytes of payload there are.
    pub(crate) const fn payload(&self) -> usize {
        self.input.len() + self.stdout.len() + self.stderr.len()
    }

    /// An error is something that must not happen; what may happen on a broken way is [`Came::Error`].
    pub(crate) async fn run(&self, gateway: SocketAddr, random: &mut Random) -> Result<Came> {
        let session = match self.exec.open(gateway, self.dialect).await {
            Ok(session) => session,
            Err(error) if error.is::<Refusal>() || is_lost(&error) => {
                return Ok(Came::Error(format!("{error:#}")));
            }
            Err(error) => return Err(error),
        };
        let mut all = Transcript::default();
        match self.carry(session, &mut all, random).await {
            Ok(true) => self.judge(&all),
            Ok(false) => Ok(Came::Left),
            Err(error) if is_lost(&error) => {
                self.is_part(&all)?;
                Ok(Came::Error(format!("{error:#}")))
            }
            Err(error) => {
                Err(error.context(format!("behind {} of {} bytes", all.stdout.len(), self.stdout.len())))
            }
        }
    }

    /// Carries everything to the end: false if the client has left before.
    async fn carry(&self, mut session: Session, all: &mut Transcript, random: &mut Random) -> Result<bool> {
        for (rows, columns) in &self.sizes {
            session.resize(*columns, *rows).await?;
        }
        let (mut sent, mut is_closed) = (0, !self.closes);
        if !self.sizes.is_empty() {
            while !all.stdout.ends_with(b"sized\r\n") {
                if !all.add(session.next().await?)? {
                    return Ok(true);
                }
            }
        }
        loop {
            let ahead = if self.echoes { sent - all.stdout.len().min(sent) } else { 0 };
            if sent < self.input.len() && ahead < WINDOW {
                let count = random.length(WINDOW - ahead).min(self.input.len() - sent);
                session.send(&self.input[sent..sent + count]).await?;
                sent += count;
                continue;
            }
            if sent == self.input.len() && !is_closed {
                session.half_close().await?;
                is_closed = true;
            }
            if self.leaves_at.is_some_and(|place| all.stdout.len() > place) {
                return Ok(false);
            }
            if !all.add(session.next().await?)? {
                return Ok(true);
            }
        }
    }

    /// All of the output and the right code, or a part of it and an error.
    fn judge(&self, all: &Transcript) -> Result<Came> {
        self.is_part(all)?;
        let is_all = all.stdout == self.stdout && all.stderr == self.stderr;
        let Ok(status) = all.status() else {
            right!(all.end != End::Clean, "a clean end without a status");
            return Ok(Came::Error(format!("{:?} without a status", all.end)));
        };
        let code = &status["details"]["causes"][0]["message"];
        if status["status"] == "Success" || status["reason"] == "NonZeroExitCode" {
            let got = code.as_str().unwrap_or("0");
            right!(is_all, "exit code {got} and {} of {} bytes", all.stdout.len(), self.stdout.len());
            right!(got == self.code.to_string(), "exit code {got}, not {}", self.code);
            return Ok(Came::All);
        }
        right!(status["status"] == "Failure", "neither success nor failure: {status}");
        Ok(Came::Error(status["message"].as_str().unwrap_or_default().to_owned()))
    }

    fn is_part(&self, all: &Transcript) -> Result<()> {
        for (name, got, whole) in
            [("stdout", &all.stdout, &self.stdout), ("stderr", &all.stderr, &self.stderr)]
        {
            right!(whole.starts_with(got), "other {name}: {} bytes, of {}", got.len(), whole.len());
        }
        Ok(())
    }
}

/// What is said of a GOAWAY in front of the answers to the streams: a gateway that is told to stop.
const GOAWAY: &str = "Other(End {";

/// The connection has broken; not that nothing comes, nor that something comes that is no answer.
fn is_lost(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    let ends = [
        "the connection is closed behind",
        "the connection ends before",
        "closed connection",
        "reset",
        GOAWAY,
    ];
    text.contains("Connection") || text.contains("Broken pipe") || ends.iter().any(|end| text.contains(end))
}

pub(crate) fn numbers(first: usize, count: usize) -> Vec<u8> {
    (first..first + count).flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// Reads to the end of a session that has to succeed.
pub(crate) async fn warm(gateway: SocketAddr) -> Result<()> {
    let session = Exec::command(&["echo", "warm"]).open(gateway, DIALECTS[0]).await.context("no session")?;
    let all = session.finish().await?;
    ensure!(all.stdout == b"warm\n", "{all:?}");
    Ok(())
}
