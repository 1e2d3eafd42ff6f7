//! Port-forward through the board.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use strait_tests::{ForwardClient, Forwarding, Forwards, Kubectl, Random, Target, eventually, refused_port};

use crate::{Rig, SOON};

type Find = fn(&str) -> Option<Kubectl>;

/// The tunnel, which the board translates, and SPDY, which it passes on.
const KUBECTLS: [Find; 2] = [Kubectl::find, Kubectl::old];

/// Of a page.
const PAGE: usize = 2_000_000;

/// More than all memory of a session, less than the buffers of this host: one thread writes and reads.
const PIECE: usize = 300_000;

/// An HTTP server with one page.
fn server(page: Vec<u8>) -> Target {
    Target::start(move |mut stream| {
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
            request.push(byte[0]);
        }
        let _ =
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", page.len());
        let _ = stream.write_all(&page);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = io::copy(&mut stream, &mut io::sink());
    })
}

/// What comes back for a request, up to the end of the connection.
fn ask(mut stream: TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).expect("kubectl takes a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer, and its end");
    answer
}

#[track_caller]
fn closes(target: &Target) {
    eventually(SOON, || match target.open() {
        0 => Ok(()),
        open => Err(format!("{open} connections are left")),
    });
}

#[test]
#[ignore = "run by cargo xtask firmware test"]
fn kubectl_forwards_ports_through_the_board() {
    let page = Random::of_this_run().bytes(PAGE);
    let http = server(page.clone());
    let upper = Target::start(|mut stream| {
        let mut question = String::new();
        let _ = stream.read_to_string(&mut question);
        let _ = stream.write_all(question.to_uppercase().as_bytes());
    });
    let stream = Target::start(|mut stream| while stream.write_all(&[7; 10_000]).is_ok() {});
    let rig = Rig::start();
    for find in KUBECTLS {
        let Some(kubectl) = find(&rig.board.url()) else { continue };
        let ports = [http.port(), upper.port(), stream.port(), refused_port()];
        let mut forwarding = Forwarding::start(&kubectl, &ports);
        let started = Instant::now();
        let get = b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n";
        thread::scope(|scope| {
            for _ in 0..4 {
                let connection = forwarding.connect(0);
                let page = &page;
                scope.spawn(move || assert!(ask(connection, get).ends_with(page)));
            }
        });
        println!("4 pages of {PAGE} bytes at a time: {:?}", started.elapsed());

        let mut connection = forwarding.connect(1);
        connection.write_all(b"question").expect("kubectl takes it");
        connection.shutdown(Shutdown::Write).expect("a half can be closed");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer, and its end");
        assert_eq!(answer, "QUESTION");

        // kubectl vanishes while data is on its way.
        let mut connection = forwarding.connect(2);
        connection.read_exact(&mut [0; 10_000]).expect("bytes without an end");
        forwarding.kubectl.kill();
        for target in [&http, &upper, &stream] {
            closes(target);
        }

        // A connection that is refused. kubectl says so, and ends.
        let forwarding = Forwarding::start(&kubectl, &ports);
        let _ = forwarding.connect(3).read(&mut [0]);
        eventually(SOON, || match forwarding.kubectl.stderr() {
            said if said.to_lowercase().contains("refused") => Ok(()),
            said => Err(said),
        });
        drop(forwarding);
        println!("{:?}", rig.rests(1));
    }
}

#[test]
#[ignore = "run by cargo xtask firmware test"]
fn every_client_forwards_ports_through_the_board() {
    let rig = Rig::start();
    let (one, two) = (Target::echo(), Target::echo());
    let bytes = Random::of_this_run().bytes(PIECE);
    for forwards in Forwards::ALL {
        let connect = |ports: &[u16]| ForwardClient::connect(rig.board.address(), forwards, ports);
        let mut client = connect(&[one.port(), two.port(), refused_port()]);
        client.until("a failure", |client| client.has_failed(2));
        client.assert_echo(0, b"small");
        client.send(1, &bytes);
        client.until("all of it", |client| client.data(1).len() >= PIECE);
        assert!(client.data(1) == bytes, "another echo");
        if forwards.can_half_close() {
            client.half_close(0);
            client.until("its end", |client| client.is_finished(0));
        }
        drop(client);
        closes(&one);
        closes(&two);
        // Four at a time, which vanish together.
        let mut clients: Vec<_> = (0..4).map(|_| connect(&[one.port()])).collect();
        for client in &mut clients {
            client.assert_echo(0, b"one of four");
        }
        drop(clients);
        closes(&one);
    }
    println!("{:?}", rig.rests(5 * 5));
}
