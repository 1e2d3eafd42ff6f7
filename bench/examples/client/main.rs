//! `strait exec` next to kubectl: the same bytes to and from the same `strait node`, in turn, with the wall-clock time and the CPU
//! time (user and system) of each client: the least of some rounds, because whatever else runs only adds. Every run verifies how much has arrived.
//! The floor is a third client, of this program's own, that does nothing but read and write.
//!
//! ```console
//! $ cargo build --release -p strait-cli
//! $ cargo run --release -p strait-bench --example client -- target/release/strait 2048 5
//! ```
//!
//! The arguments are the program, the MiB of each transfer and the rounds; `KUBECTL` names another kubectl than that in `PATH`.

mod floor;

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use floor::FLOOR;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

const CHUNK: usize = 256 * 1024;

/// Clock ticks in a second, as Linux tells them to programs on every architecture of today.
const TICKS: f64 = 100.0;

fn main() -> io::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [first, rest @ ..] = &*arguments
        && first == FLOOR
    {
        return floor::run(rest);
    }
    let mut arguments = arguments.into_iter();
    let strait = arguments.next().unwrap_or_else(|| "target/release/strait".into());
    let mut number =
        |default| arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(default);
    let (mib, rounds) = (number(1024), number(3));
    let kubectl = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let (node, itself) = (Node::start(&strait)?, std::env::current_exe()?.into_os_string());
    println!("{mib} MiB each, best of {rounds}; CPU is user + system of the client");
    for (direction, run) in [("stdin", send as Transfer), ("stdout", receive)] {
        let (mut ours, mut theirs, mut floor) = (Figures::WORST, Figures::WORST, Figures::WORST);
        for _ in 0..rounds {
            ours.improve(&run(&mut client(&strait, &node.url, direction), mib)?);
            theirs.improve(&run(&mut client(&kubectl, &node.url, direction), mib)?);
            floor.improve(&run(Command::new(&itself).args([FLOOR, &node.url, direction]), mib)?);
        }
        for (name, figures) in [("strait", &ours), ("kubectl", &theirs), ("floor", &floor)] {
            let (wall, cpu) = (figures.wall.as_secs_f64(), figures.cpu);
            let (rate, cost) = (f64::from(mib) * 1.048_576 / wall, cpu / f64::from(mib) * 1024.0);
            println!(
                "{direction:<7} {name:<8} {wall:6.2} s  {rate:7.0} MB/s  CPU {cpu:6.2} s, {cost:5.2} s/GiB"
            );
        }
        let (faster, cheaper) = (theirs.wall.as_secs_f64() / ours.wall.as_secs_f64(), ours.cpu / theirs.cpu);
        println!(
            "{direction:<7} strait has {faster:.2} times the throughput of kubectl, and {cheaper:.2} of its CPU time"
        );
        let (faster, cheaper) =
            (theirs.wall.as_secs_f64() / floor.wall.as_secs_f64(), floor.cpu / theirs.cpu);
        println!("{direction:<7} the floor {faster:.2} times, and {cheaper:.2}");
    }
    Ok(())
}

type Transfer = fn(&mut Command, u32) -> io::Result<Figures>;

struct Figures {
    wall: Duration,
    cpu: f64,
}

impl Figures {
    const WORST: Self = Self { wall: Duration::MAX, cpu: f64::INFINITY };

    fn improve(&mut self, other: &Self) {
        self.wall = self.wall.min(other.wall);
        self.cpu = self.cpu.min(other.cpu);
    }
}

fn client(program: &OsString, url: &str, direction: &str) -> Command {
    let mut command = Command::new(program);
    command.env("KUBECONFIG", "/dev/null").args(["exec", "--server", url]);
    command.args(if direction == "stdin" { &["-i", "demo", "--"][..] } else { &["demo", "--"] });
    command
}

/// Bytes to a command that counts them.
fn send(command: &mut Command, mib: u32) -> io::Result<Figures> {
    command.args(["wc", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let sending = thread::spawn(move || {
        let chunk = vec![7; CHUNK];
        (0..bytes(mib) / CHUNK).try_for_each(|_| stdin.write_all(&chunk))
    });
    let mut counted = String::new();
    child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.read_to_string(&mut counted)?;
    sending.join().map_err(|_| io::ErrorKind::Other)??;
    verify(counted.trim().parse().unwrap_or(0), mib)?;
    finish(child, begun)
}

/// Bytes from a command.
fn receive(command: &mut Command, mib: u32) -> io::Result<Figures> {
    let bytes = bytes(mib).to_string();
    command.args(["head", "-c", &bytes, "/dev/zero"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (mut buffer, mut count) = (vec![0; CHUNK], 0);
    loop {
        match stdout.read(&mut buffer)? {
            0 => break,
            read => count += read,
        }
    }
    verify(count, mib)?;
    finish(child, begun)
}

const fn bytes(mib: u32) -> usize {
    mib as usize * 1024 * 1024
}

fn verify(count: usize, mib: u32) -> io::Result<()> {
    if count == bytes(mib) {
        return Ok(());
    }
    Err(io::Error::other(format!("{count} bytes have arrived of {mib} MiB")))
}

/// What a client has cost is read when it has ended and before it is reaped.
fn finish(mut child: Child, begun: Instant) -> io::Result<Figures> {
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let wall = begun.elapsed();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    // Behind the name, which may have anything in it, user and system time are the 12th and 13th field.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let cpu = (ticks(11) + ticks(12)) / TICKS;
    let status = child.wait()?;
    if status.success() { Ok(Figures { wall, cpu }) } else { Err(io::Error::other(status.to_string())) }
}

struct Node {
    child: Child,
    url: String,
}

impl Node {
    fn start(strait: &OsString) -> io::Result<Self> {
        let mut command = Command::new(strait);
        command.args(["node", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).read_line(&mut line)?;
        let url = line.trim().strip_prefix("ready ").unwrap_or_default().to_owned();
        Ok(Self { child, url })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
