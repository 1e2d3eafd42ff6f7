use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// SHA-256 of what is written to it, by the program `sha256sum`: the far side of a session uses the same, and it is fast
/// in every profile.
#[derive(Debug)]
pub struct Checksum(Child);

impl Checksum {
    /// A checksum of what is written.
    pub fn new() -> Self {
        Self::of(Stdio::piped())
    }

    /// A checksum of all that `input` brings.
    pub fn of(input: impl Into<Stdio>) -> Self {
        let mut program = Command::new("sha256sum");
        program.stdin(input).stdout(Stdio::piped());
        Self(program.spawn().expect("sha256sum is a program of this machine"))
    }

    /// Waits for the end of the input. The line that `sha256sum` prints.
    pub fn finish(self) -> String {
        let output = self.0.wait_with_output().expect("sha256sum can be waited for");
        String::from_utf8(output.stdout).expect("a checksum is text")
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The checksum of what a shell command prints on this side of the session.
pub fn checksum_of(command: &str) -> String {
    let mut shell = Command::new("sh");
    let mut child = shell.args(["-c", command]).stdout(Stdio::piped()).spawn().expect("a shell");
    let output = child.stdout.take().expect("the shell's output is a pipe");
    let sum = Checksum::of(output).finish();
    assert!(child.wait().expect("the shell can be waited for").success(), "{command}");
    sum
}
