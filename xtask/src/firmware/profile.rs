use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};

use super::QEMU;
use crate::image::crate_of;
use crate::run::{cargo, target};

/// Bytes of two transfers. What the second takes more, so many bytes take: without the board's start and the session's.
const BYTES: [usize; 2] = [100_000, 300_000];

/// Instructions by where they belong.
type Counts = BTreeMap<String, u64>;

/// Prints what a byte costs on the board, in each direction: all instructions, those of TCP and of the network card too. The time
/// that the board waits is in it, as instructions of its own crate, so a run is like another but not the same.
pub(super) fn chore(image: &Path) -> Result<()> {
    cargo(["build", "--package", "strait-cli"])?;
    let strait = target().join("debug/strait");
    for (direction, is_in) in [("in", true), ("out", false)] {
        let [few, many] = BYTES.map(|bytes| count(image, &strait, bytes, is_in));
        let (few, many) = (few?, many?);
        let bytes = (BYTES[1] - BYTES[0]) as u64;
        let of = |name: &str| {
            many.get(name).copied().unwrap_or(0).saturating_sub(few.get(name).copied().unwrap_or(0))
        };
        let mut rows: Vec<_> = many.keys().map(|name| (of(name), name.as_str())).collect();
        let all = rows.iter().map(|(count, _)| count).sum();
        rows.push((all, "all"));
        rows.sort_unstable_by(|a, b| b.cmp(a));
        println!("\ninstructions a byte, bulk {direction}:");
        for (count, name) in rows.iter().filter(|(count, _)| count * 100 >= bytes) {
            println!("{:>4}.{:02} {name}", count / bytes, count * 100 / bytes % 100);
        }
    }
    Ok(())
}

/// Ends what is not ended.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The instructions of a session that carries so many bytes, from the board's start on.
fn count(image: &Path, strait: &Path, bytes: usize, is_in: bool) -> Result<Counts> {
    let mut node = Command::new(strait);
    node.args(["node", "--listen", "127.0.0.1:0", "--pod", "demo"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut node = Running(node.spawn().context("strait node")?);
    let ready = ready(node.0.stdout.take())?;
    let upstream = ready.rsplit(':').next().unwrap_or_default();

    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let network = format!("user,hostfwd=tcp:{free}-:8080");
    let mut board = Command::new(QEMU);
    // One instruction at a time, each told on standard error with the function that it is of.
    board
        .args(["-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "stdio"])
        .args(["-singlestep", "-d", "exec,nochain", "-semihosting-config", "enable=on,target=native"])
        .args(["-nic", &network, "-append", upstream, "-kernel"])
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut board = Running(board.spawn().context(QEMU)?);
    let trace = board.0.stderr.take().context("standard error is a pipe")?;
    let counts = thread::spawn(move || counts(trace));
    self::ready(board.0.stdout.take())?;

    let server = format!("--server=http://{free}");
    let script = if is_in { "wc -c".to_owned() } else { format!("head -c {bytes} /dev/zero") };
    let mut client = Command::new(strait);
    client.args(["exec", "-i", &server, "demo", "--", "sh", "-c", &script]);
    client.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut client = Running(client.spawn().context("strait exec")?);
    let mut input = client.0.stdin.take().context("standard input is a pipe")?;
    if is_in {
        input.write_all(&vec![0; bytes])?;
    }
    drop(input);
    ensure!(client.0.wait()?.success(), "the session has failed");
    drop(board);
    Ok(counts.join().unwrap_or_default())
}

/// The line that says that a server is ready. What it prints afterwards is read and dropped.
fn ready(stdout: Option<impl Read + Send + 'static>) -> Result<String> {
    let mut lines = BufReader::new(stdout.context("standard output is a pipe")?).lines();
    let ready = lines.by_ref().map_while(Result::ok).find(|line| line.contains("ready "));
    thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    ready.context("it has ended before it was ready")
}

/// `Trace 0: ADDRESS [STATE] FUNCTION` is an instruction.
fn counts(trace: impl Read) -> Counts {
    let mut functions = BTreeMap::<String, u64>::new();
    for line in BufReader::new(trace).lines().map_while(Result::ok).filter(|line| line.starts_with("Trace")) {
        let name = line.rsplit(' ').next().unwrap_or_default();
        match functions.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(functions.insert(name.to_owned(), 1)),
        }
    }
    let mut counts = Counts::new();
    for (name, count) in functions {
        *counts.entry(place(&format!("{:#}", rustc_demangle::demangle(&name)))).or_default() += count;
    }
    counts
}

/// A function's crate; where all of a task is one function, the task.
fn place(name: &str) -> String {
    let task = name.split("::__").nth(1).and_then(|rest| rest.strip_suffix("_task"));
    match task {
        Some(task) => format!("task of {task}, with what the compiler puts there"),
        None if name.contains("mem") && (!name.contains("::") || name.contains("::mem::")) => {
            "memcpy and its like".to_owned()
        }
        None if name.contains("::wire::ip::checksum::") => "checksums".to_owned(),
        None => crate_of(name),
    }
}
