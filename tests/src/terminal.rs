use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pty};
use rustix::termios::{LocalModes, tcgetattr};

use crate::{Finished, Kubectl, Running, eventually};

/// How long anything may take to show on the screen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a program may live on a terminal.
const LIFE: Duration = Duration::from_mins(2);

/// A program on a pseudo-terminal, and the person in front of it.
pub struct Terminal {
    pty: Arc<Pty>,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Where on the screen the person has read to.
    read: usize,
    running: Running,
}

impl Terminal {
    /// Starts a kubectl on a terminal of that many rows and columns.
    pub fn start(kubectl: &Kubectl, arguments: &[&str], size: (u16, u16)) -> Self {
        let plain = kubectl.command(arguments);
        let command = Command::new(kubectl.program()).args(plain.get_args()).env_clear();
        Self::of(command.envs(kubectl.environment()), format!("{plain:?}"), size)
    }

    /// Starts a script of `sh` on a terminal of that many rows and columns.
    pub fn shell(script: &str, size: (u16, u16)) -> Self {
        Self::of(Command::new("sh").args(["-c", script]), script.to_owned(), size)
    }

    fn of(command: Command, name: String, (rows, columns): (u16, u16)) -> Self {
        let (pty, user_side) = pty_process::blocking::open().expect("a pseudo-terminal");
        pty.resize(Size::new(rows, columns)).expect("a pseudo-terminal has a size");
        let child = command.spawn(user_side).expect("the program can be started");
        let (pty, screen) = (Arc::new(pty), Arc::default());
        let (from, to) = (Arc::clone(&pty), Arc::clone(&screen));
        thread::spawn(move || show(&from, &to));
        Self { pty, screen, read: 0, running: Running::watch(name, child, LIFE) }
    }

    /// True if keys go to the program as they are typed, and none has a meaning for the terminal.
    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(&*self.pty).expect("a terminal has modes").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Types `keys`.
    pub fn types(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until `text` shows, behind what was read before. What has come up to its end.
    #[track_caller]
    pub fn reads(&mut self, text: &str) -> String {
        let from = self.read;
        let end = eventually(PATIENCE, || {
            let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
            let news = &screen[from..];
            let found = news.windows(text.len()).position(|window| window == text.as_bytes());
            let shown = || format!("no {text:?} in {:?}", String::from_utf8_lossy(news));
            found.map(|start| from + start + text.len()).ok_or_else(shown)
        });
        self.read = end;
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&screen[from..end]).into_owned()
    }

    /// Drags the window to another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.pty.resize(Size::new(rows, columns)).expect("a pseudo-terminal has a size");
    }

    /// Waits for the end of the program.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.running.finish()
    }
}

/// Reading fails when the program's side is closed for good.
fn show(pty: &Pty, screen: &Mutex<Vec<u8>>) {
    let (mut pty, mut buffer) = (pty, [0; 4096]);
    while let Ok(count @ 1..) = pty.read(&mut buffer) {
        screen.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
    }
}
