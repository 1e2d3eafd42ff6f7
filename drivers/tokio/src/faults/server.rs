//! A server whose command sends back what it gets, and then fails with a warning.

use std::future::poll_fn;

use strait::Limits;
use strait::k8s::{Channel, status};
use strait::leg::{Close, Event, Leg};

use super::exec::{CODE, ERRORS, STREAMS};
use super::transport::Faulty;
use crate::link::Link;

const BUFFER: usize = 64 * 1024;

/// Serves one session to the end of its connection: what came of standard input.
pub(super) async fn serve<L: Leg>(io: Faulty, leg: L, limits: &Limits) -> Vec<u8> {
    let mut link = Link::new(io, leg, &[], || vec![0; BUFFER].into_boxed_slice(), limits);
    let (mut received, mut is_over) = (Vec::new(), false);
    if link.leg.greets() {
        link.output.payload_space();
        link.output.payload(&mut link.leg, STREAMS.ready_channel(), false, 0);
    }
    loop {
        while link.has_output() {
            if poll_fn(|cx| link.poll_write(cx)).await.is_err() {
                return received;
            }
        }
        let Ok(step) = link.leg.receive(link.input.input()) else { return received };
        if step.consumed == 0 && step.event.is_none() {
            match poll_fn(|cx| link.poll_read(cx)).await {
                Ok(1..) => continue,
                Ok(0) | Err(_) => return received,
            }
        }
        match step.event {
            Some(Event::Data { channel: Channel::STDIN, range }) if !is_over => {
                let bytes = link.input.input()[range].to_vec();
                link.output.payload_space()[..bytes.len()].copy_from_slice(&bytes);
                link.output.payload(&mut link.leg, Channel::STDOUT, false, bytes.len());
                received.extend_from_slice(&bytes);
            }
            Some(Event::HalfClosed(Channel::STDIN)) if !is_over => {
                is_over = true;
                link.output.payload_space()[..ERRORS.len()].copy_from_slice(ERRORS);
                link.output.payload(&mut link.leg, Channel::STDERR, false, ERRORS.len());
                link.output.end_session(&mut link.leg, |room| status::exit_code(CODE, room).ok());
                if link.leg.closes_first() {
                    link.leg.close(Close::Normal);
                }
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
