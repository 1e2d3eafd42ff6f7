//! Sessions sleep while nothing happens. A test of its own, because the processor time of the process is looked at.
#![cfg(target_os = "linux")]

mod rig;

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Duration;

use strait::k8s::StreamSet;
use strait_std::client::{Executor, Pod, Server, Transport};
use strait_tests::{Server as Program, Target};

use rig::StdGateway;

const POD: Pod<'static> = Pod { namespace: "default", name: "demo", container: None };

#[test]
fn idle_sessions_take_no_processor_time() {
    let node = Program::node();
    let gateway = StdGateway::start(node.address());
    let (echo, asked) = (Target::echo(), StreamSet { stdin: true, stdout: true, stderr: true, tty: false });
    let mut processes = Vec::new();
    let mut connections = Vec::new();
    for (address, transport) in [
        (node.address(), Transport::WebSocket),
        (node.address(), Transport::Spdy),
        (gateway.address, Transport::WebSocket),
    ] {
        let executor = Executor::new(Server::new(address.to_string())).with_transport(transport);
        let mut process = executor.exec(&POD, ["sh", "-c", "echo up; cat"], asked).unwrap();
        process.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
        // One whose output nobody reads, with input that nobody takes.
        let full = executor.exec(&POD, ["sh", "-c", "yes"], asked).unwrap();
        let mut connection = executor.port_forward(&POD, echo.port()).unwrap().spawn().unwrap();
        connection.write_all(b"up").unwrap();
        connection.read_exact(&mut [0; 2]).unwrap();
        // Half-closed at this end, and still open at the other one.
        let half = executor.port_forward(&POD, echo.port()).unwrap().spawn().unwrap();
        processes.extend([process, full]);
        connections.extend([connection, half]);
    }
    thread::sleep(Duration::from_secs(2));
    let (before, time) = (rig::cpu_time(), Duration::from_secs(3));
    thread::sleep(time);
    let spent = rig::cpu_time().saturating_sub(before);
    assert!(spent < time / 10, "{spent:?} of {time:?}");
}
