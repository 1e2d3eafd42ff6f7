//! A server whose command sends back what it gets, and then fails with a warning.

use std::future::poll_fn;
use std::pin::pin;

use strait::k8s::{Channel, TerminalSize, status};
use strait::leg::{Close, Event, Leg};
use tokio::time::sleep;

use super::exec::SIZES;
use super::transport::Faulty;
use super::{Case, LIMITS};
use crate::link::Link;
use crate::node_session::to_text;

const BUFFER: usize = 64 * 1024;

/// Serves one session to the end of its connection: what came of standard input.
pub(super) async fn serve<L: Leg>(case: &Case, io: Faulty, leg: L) -> Vec<u8> {
    let mut link = Link::new(io, leg, &[], || vec![0; BUFFER].into_boxed_slice(), &LIMITS);
    let (mut received, mut sizes, mut phase) = (Vec::new(), Vec::new(), Phase::Running);
    let mut pause = pin!(sleep(case.pause));
    if link.leg.greets() {
        link.output.payload_space();
        link.output.payload(&mut link.leg, case.streams().ready_channel(), false, 0);
    }
    loop {
        while link.has_output() {
            if poll_fn(|cx| link.poll_write(cx)).await.is_err() {
                return received;
            }
        }
        if phase == Phase::Running && case.is_all_input(received.len()) && link.leg.is_ready() {
            phase = Phase::Pausing;
            pause.as_mut().reset(tokio::time::Instant::now() + case.pause);
        }
        if phase == Phase::Pausing && pause.is_elapsed() {
            phase = Phase::Over;
            end(case, &mut link, &sizes);
            continue;
        }
        let Ok(step) = link.leg.receive(link.input.input()) else { return received };
        if step.consumed == 0 && step.event.is_none() {
            let read = tokio::select! {
                biased;
                read = poll_fn(|cx| link.poll_read(cx)) => read,
                () = pause.as_mut(), if phase == Phase::Pausing => continue,
            };
            match read {
                Ok(1..) => continue,
                Ok(0) | Err(_) => return received,
            }
        }
        match step.event {
            Some(Event::Data { channel: Channel::STDIN, range }) if phase == Phase::Running => {
                let has_size = !sizes.is_empty() || !case.has_sizes();
                assert!(has_size, "input has overtaken the size in front of it: {case}");
                let bytes = link.input.input()[range].to_vec();
                link.output.payload_space()[..bytes.len()].copy_from_slice(&bytes);
                link.output.payload(&mut link.leg, Channel::STDOUT, false, bytes.len());
                received.extend_from_slice(&bytes);
            }
            Some(Event::HalfClosed(Channel::STDIN)) if phase == Phase::Running => {
                // A SPDY client that leaves resets its streams, and v5 has only the end of input for that.
                let is_all = received == case.input || !case.way.is_websocket_client();
                assert!(is_all, "the end of the input behind a part of it: {case}");
                phase = Phase::Pausing;
                pause.as_mut().reset(tokio::time::Instant::now() + case.pause);
            }
            Some(Event::Resize(size)) => {
                let place = |size| SIZES.iter().position(|known| *known == size);
                assert!(place(size) > sizes.last().copied().and_then(place), "{size:?}: {case}");
                sizes.push(size);
            }
            Some(Event::End { .. }) => {
                link.leg.close(Close::Normal);
                while link.has_output() && poll_fn(|cx| link.poll_write(cx)).await.is_ok() {}
                return received;
            }
            _ => {}
        }
        link.input.consume(step.consumed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The command has all of its input.
    Pausing,
    Over,
}

/// The command ends.
fn end<L: Leg>(case: &Case, link: &mut Link<Faulty, L, Box<[u8]>>, sizes: &[TerminalSize]) {
    if case.is_calm() && case.has_sizes() && case.pause.as_secs() > SIZES.len() as u64 {
        assert_eq!(sizes, SIZES, "{case}");
    }
    let errors = case.errors();
    if !errors.is_empty() {
        link.output.payload_space()[..errors.len()].copy_from_slice(errors);
        link.output.payload(&mut link.leg, Channel::STDERR, false, errors.len());
    }
    let is_json = link.leg.status_is_json();
    link.output.end_session(&mut link.leg, |room| {
        let len = status::exit_code(case.code, room).ok()?;
        Some(if is_json { len } else { to_text(room, len) })
    });
    if link.leg.closes_first() {
        link.leg.close(Close::Normal);
    }
}
