//! Forwarded connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use strait_tests::{ForwardClient, Forwards, Random, Running, Target};

use crate::job::{Came, PATIENCE, right};
use crate::programs::{Front, client};

/// The most bytes of one connection.
const MOST: usize = 2_000_000;
/// How long one of them may stand still: longer than any stall and any time-out of the servers.
const SILENCE: Duration = Duration::from_secs(40);

/// A server that sends back what it gets, and the end of it.
fn echo() -> u16 {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(Target::echo).port()
}

/// Some connections of one session, by every protocol; panics if anything is wrong.
pub(crate) fn raw(gateway: SocketAddr, random: &mut Random, payload: &mut usize) {
    let forwards = Forwards::ALL[random.below(Forwards::ALL.len())];
    let count = 1 + random.below(4);
    let mut client = ForwardClient::connect(gateway, forwards, &vec![echo(); count]);
    for _ in 0..=random.below(10) {
        let index = random.below(count);
        let length = random.length(20_000);
        *payload += 2 * length;
        client.assert_echo(index, &random.bytes(length));
    }
    if forwards.can_half_close() {
        for index in 0..count {
            client.half_close(index);
        }
        client.until("the end of all", |client| (0..count).all(|index| client.is_finished(index)));
    }
}

/// Some connections at a time through `strait port-forward`. Each gets everything and a FIN, or an error: what a program of a user would take
/// for all there is has to be that.
pub(crate) fn through_program(front: &Front, random: &mut Random, payload: &mut usize) -> Result<Came> {
    let mut command = client(front, "port-forward");
    command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", if random.below(2) == 0 { "true" } else { "false" });
    let port = format!(":{}", echo());
    command.args(["demo", "--address", "127.0.0.1", &port]);
    let mut running = Running::start(command.stdin(Stdio::null()), PATIENCE);
    let mut stdout = BufReader::new(running.stdout.take().context("a pipe")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    let Some((address, _)) = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split_once(" -> "))
    else {
        running.kill();
        return Ok(Came::Error(running.stderr()));
    };
    let address: SocketAddr = address.parse()?;
    let inputs: Vec<_> = (0..=random.below(3))
        .map(|_| {
            let length = random.length(MOST);
            random.bytes(length)
        })
        .collect();
    *payload = 2 * inputs.iter().map(Vec::len).sum::<usize>();
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            inputs.iter().map(|input| scope.spawn(move || exchange(address, input))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    running.kill();
    let mut errors = Vec::new();
    for (answer, input) in answers.into_iter().zip(&inputs) {
        match answer? {
            None => {}
            Some(error) => errors.push(format!("{error}, of {} bytes", input.len())),
        }
    }
    if errors.is_empty() { Ok(Came::All) } else { Ok(Came::Error(errors.join("; "))) }
}

/// What went wrong in a way that the program at this end is told.
fn exchange(address: SocketAddr, input: &[u8]) -> Result<Option<String>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut answer = Vec::new();
    let received = thread::scope(|scope| {
        scope.spawn(|| {
            let sent = (&stream).write_all(input);
            sent.and_then(|()| stream.shutdown(Shutdown::Write))
        });
        (&stream).read_to_end(&mut answer)
    });
    right!(input.starts_with(&answer), "another echo: {} bytes of {}", answer.len(), input.len());
    match received {
        Ok(_) => {
            right!(
                answer.len() == input.len(),
                "an end in order behind {} of {} bytes",
                answer.len(),
                input.len()
            );
            Ok(None)
        }
        Err(error) => {
            use std::io::ErrorKind::{TimedOut, WouldBlock};
            ensure!(
                !matches!(error.kind(), TimedOut | WouldBlock),
                "silence behind {} of {} bytes",
                answer.len(),
                input.len()
            );
            Ok(Some(error.to_string()))
        }
    }
}
