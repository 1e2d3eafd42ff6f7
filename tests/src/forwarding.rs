use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::{Kubectl, Running, eventually};

/// How long kubectl may take to listen.
const READY: Duration = Duration::from_secs(30);
/// How long it may forward.
const LIFE: Duration = Duration::from_mins(10);
/// How long a connection may stand still.
const PATIENCE: Duration = Duration::from_mins(1);

/// A `kubectl port-forward` that listens.
#[derive(Debug)]
pub struct Forwarding {
    /// The program.
    pub kubectl: Running,
    /// Where it listens for each port, in order.
    locals: Vec<u16>,
}

impl Forwarding {
    /// Forwards connections to these ports of the pod `demo`.
    #[track_caller]
    pub fn start(kubectl: &Kubectl, ports: &[u16]) -> Self {
        let ports: Vec<String> = ports.iter().map(|port| format!(":{port}")).collect();
        let arguments: Vec<&str> =
            ["port-forward", "pod/demo"].into_iter().chain(ports.iter().map(String::as_str)).collect();
        let mut running = kubectl.start(&arguments, Stdio::null(), LIFE);
        let stdout = BufReader::new(running.stdout.take().expect("standard output is a pipe"));
        let (lines, printed) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut locals = Vec::new();
        eventually(READY, || {
            locals.extend(printed.try_iter().filter_map(|line| {
                let rest = line.strip_prefix("Forwarding from 127.0.0.1:")?;
                rest.split(' ').next()?.parse::<u16>().ok()
            }));
            if locals.len() == ports.len() { Ok(()) } else { Err(running.stderr()) }
        });
        Self { kubectl: running, locals }
    }

    /// A connection to one of the ports.
    pub fn connect(&self, index: usize) -> TcpStream {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.locals[index]));
        let stream = TcpStream::connect(address).expect("kubectl accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }
}
