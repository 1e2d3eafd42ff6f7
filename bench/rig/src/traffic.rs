use std::ops::Range;

use anyhow::{Context as _, Result, anyhow, ensure};
use strait::k8s::{Channel, PortChannel, PortStream, status};
use strait::leg::Framing;
use strait_scenarios::{Scenario, fill};

/// Room in front of a payload for the header of any leg.
const HEADROOM: usize = 24;

/// What is sent again and again in one direction: the frames of one run of a scenario.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// The payload of one run, of each connection that is forwarded; there is one of an exec session.
    parts: Vec<Vec<u8>>,
    /// Which part a frame belongs to, and where in it.
    frames: Vec<(usize, Range<usize>)>,
    /// Forwarded connections.
    pairs: usize,
}

/// Where payload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

impl Traffic {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let count = scenario.pairs.max(1);
        let (mut parts, mut frames) = (vec![Vec::new(); count], Vec::new());
        for (number, size) in scenario.frame_sizes().enumerate() {
            let part: &mut Vec<u8> = &mut parts[number % count];
            frames.push((number % count, part.len()..part.len() + size));
            part.resize(part.len() + size, 0);
        }
        let mut place = 0;
        for part in &mut parts {
            fill(place, part);
            place += part.len();
        }
        Self { parts, frames, pairs: scenario.pairs }
    }

    /// Payload bytes of one run.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Connections that are forwarded, if any are.
    pub(crate) const fn pairs(&self) -> usize {
        self.pairs
    }

    /// The channels that carry payload this way, in the order of their parts.
    pub(crate) fn channels(&self, way: Way) -> impl Iterator<Item = Channel> + use<> {
        let pairs = self.pairs;
        (0..self.parts.len()).map(move |part| channel(pairs, way, part))
    }

    /// One run as `leg` sends it, so that sending it again costs a write and nothing else.
    pub(crate) fn encode(&self, leg: &mut impl Framing, way: Way) -> Result<Vec<u8>> {
        Ok(self.encode_each(leg, way)?.concat())
    }

    /// What is sent of a run that is cut off in the middle of its last frame.
    pub(crate) fn without_the_end<'a>(&self, run: &'a [u8]) -> &'a [u8] {
        let last = self.frames.last().map_or(0, |(_, range)| range.len());
        &run[..run.len() - last / 2]
    }

    /// The same as [`encode`](Self::encode), each frame on its own.
    pub(crate) fn encode_each(&self, leg: &mut impl Framing, way: Way) -> Result<Vec<Vec<u8>>> {
        let encoded = self.frames.iter().map(|(part, range)| {
            let mut wire = Vec::new();
            let payload = &self.parts[*part][range.clone()];
            encode(leg, channel(self.pairs, way, *part), false, payload, &mut wire).map(|()| wire)
        });
        encoded.collect()
    }

    /// The end of a client's input.
    pub(crate) fn encode_end_of_input(&self, leg: &mut impl Framing) -> Result<Vec<u8>> {
        let mut wire = Vec::new();
        self.channels(Way::Up).try_for_each(|channel| encode(leg, channel, true, &[], &mut wire))?;
        Ok(wire)
    }

    /// The end of a server's output: without errors, and with the status of success if there is one.
    pub(crate) fn encode_end(&self, leg: &mut impl Framing) -> Result<Vec<u8>> {
        let mut wire = Vec::new();
        self.channels(Way::Down).try_for_each(|channel| encode(leg, channel, true, &[], &mut wire))?;
        for index in 0..self.pairs {
            let error = PortChannel { index: index as u8, stream: PortStream::Error };
            encode(leg, error.channel(), true, &[], &mut wire)?;
        }
        if self.pairs == 0 {
            let mut json = [0; 64];
            let length = status::success(&mut json).map_err(|_| anyhow!("a status is short"))?;
            encode(leg, Channel::ERROR, false, &json[..length], &mut wire)?;
            encode(leg, Channel::ERROR, true, &[], &mut wire)?;
        }
        Ok(wire)
    }
}

fn channel(pairs: usize, way: Way, part: usize) -> Channel {
    match way {
        _ if pairs > 0 => PortChannel { index: part as u8, stream: PortStream::Data }.channel(),
        Way::Up => Channel::STDIN,
        Way::Down => Channel::STDOUT,
    }
}

/// Appends one frame.
pub(crate) fn encode(
    leg: &mut impl Framing,
    channel: Channel,
    fin: bool,
    payload: &[u8],
    wire: &mut Vec<u8>,
) -> Result<()> {
    let start = wire.len();
    wire.resize(start + HEADROOM, 0);
    wire.extend_from_slice(payload);
    let end = wire.len();
    let begun = leg.frame(channel, fin, wire, start + HEADROOM..end).context("the channel takes no data")?;
    // What was not needed of the room.
    wire.drain(start..begun);
    Ok(())
}

/// Looks at each byte that arrives, on whichever channel, and at what ends.
#[derive(Debug)]
pub(crate) struct Verifier {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    channel: Channel,
    /// How far into the run the next byte is.
    place: usize,
    is_open: bool,
}

impl Verifier {
    /// Of what goes this way.
    pub(crate) fn of(traffic: &Traffic, way: Way) -> Self {
        let part = |channel| Part { channel, place: 0, is_open: true };
        Self { parts: traffic.channels(way).map(part).collect() }
    }

    /// Fails unless `bytes` are what comes next on this channel. How many of them are payload.
    pub(crate) fn check(&mut self, traffic: &Traffic, channel: Channel, bytes: &[u8]) -> Result<u64> {
        let found = self.parts.iter_mut().zip(&traffic.parts).find(|(part, _)| part.channel == channel);
        let Some((part, payload)) = found else { return Ok(0) };
        let mut rest = bytes;
        while !rest.is_empty() {
            let expected = &payload[part.place..];
            let count = expected.len().min(rest.len());
            let piece = rest.split_off(..count).unwrap_or_default();
            let place = part.place;
            ensure!(piece == &expected[..count], "the payload has changed in {count} bytes at {place}");
            part.place = (place + count) % payload.len();
        }
        Ok(bytes.len() as u64)
    }

    /// The peer sends nothing more on this channel.
    pub(crate) fn end(&mut self, channel: Channel) {
        for part in self.parts.iter_mut().filter(|part| part.channel == channel) {
            part.is_open = false;
        }
    }

    /// Nothing more comes on any of them.
    pub(crate) fn is_ended(&self) -> bool {
        self.parts.iter().all(|part| !part.is_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(name: &str) -> Traffic {
        Traffic::of(Scenario::find(name).unwrap())
    }

    #[test]
    fn what_is_lost_changed_or_swapped_is_noticed() {
        let traffic = traffic("stdin/1KiB");
        let check = |bytes: &[u8]| Verifier::of(&traffic, Way::Up).check(&traffic, Channel::STDIN, bytes);
        let payload = &traffic.parts[0];
        let twice = [&payload[..], payload].concat();
        assert_eq!(check(&twice).unwrap(), twice.len() as u64);
        let mut changed = twice.clone();
        changed[700_000] ^= 1;
        assert!(check(&changed).is_err());
        let lost = [&twice[..1024], &twice[2048..]].concat();
        assert!(check(&lost).is_err());
        let swapped = [&twice[1024..2048], &twice[..1024]].concat();
        assert!(check(&swapped).is_err());
    }

    #[test]
    fn what_comes_out_of_another_connection_is_noticed() {
        let traffic = traffic("tunnel/pairs/4KiB");
        let channels: Vec<_> = traffic.channels(Way::Down).collect();
        let mut verifier = Verifier::of(&traffic, Way::Down);
        for (channel, payload) in channels.iter().zip(&traffic.parts) {
            assert_eq!(verifier.check(&traffic, *channel, payload).unwrap(), payload.len() as u64);
        }
        assert!(verifier.check(&traffic, channels[0], &traffic.parts[1]).is_err());
        for channel in channels {
            assert!(!verifier.is_ended());
            verifier.end(channel);
        }
        assert!(verifier.is_ended());
    }
}
