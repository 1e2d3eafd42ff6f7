use anyhow::{Context as _, Result, anyhow, ensure};
use strait::k8s::{Channel, status};
use strait::leg::Framing;
use strait_scenarios::{Scenario, fill};

/// Room in front of a payload for the header of any leg.
const HEADROOM: usize = 24;

/// What is sent again and again in one direction: the frames of one run of a scenario.
#[derive(Debug)]
pub(crate) struct Traffic {
    sizes: Vec<usize>,
    /// The payload of one run.
    payload: Vec<u8>,
}

impl Traffic {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let sizes: Vec<usize> = scenario.frame_sizes().collect();
        let mut payload = vec![0; sizes.iter().sum()];
        fill(0, &mut payload);
        Self { sizes, payload }
    }

    /// Payload bytes of one run.
    pub(crate) const fn len(&self) -> usize {
        self.payload.len()
    }

    /// One run as `leg` sends it, so that sending it again costs a write and nothing else.
    pub(crate) fn encode(&self, leg: &mut impl Framing, channel: Channel) -> Result<Vec<u8>> {
        let mut wire = Vec::new();
        self.frames().try_for_each(|payload| encode(leg, channel, false, payload, &mut wire))?;
        Ok(wire)
    }

    /// The same, each frame on its own.
    pub(crate) fn encode_each(&self, leg: &mut impl Framing, channel: Channel) -> Result<Vec<Vec<u8>>> {
        let encoded = self.frames().map(|payload| {
            let mut wire = Vec::new();
            encode(leg, channel, false, payload, &mut wire).map(|()| wire)
        });
        encoded.collect()
    }

    fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.payload[..];
        self.sizes.iter().map(move |size| rest.split_off(..*size).unwrap_or_default())
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

/// The end of a server's output, and the status of success.
pub(crate) fn encode_end(leg: &mut impl Framing, wire: &mut Vec<u8>) -> Result<()> {
    encode(leg, Channel::STDOUT, true, &[], wire)?;
    let mut json = [0; 64];
    let length = status::success(&mut json).map_err(|_| anyhow!("a status is short"))?;
    encode(leg, Channel::ERROR, false, &json[..length], wire)?;
    encode(leg, Channel::ERROR, true, &[], wire)
}

/// Looks at each byte that arrives.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    place: usize,
}

impl Verifier {
    /// Fails unless `bytes` are what comes next.
    pub(crate) fn check(&mut self, traffic: &Traffic, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let expected = &traffic.payload[self.place..];
            let count = expected.len().min(bytes.len());
            let (piece, rest) = bytes.split_at(count);
            ensure!(
                piece == &expected[..count],
                "the payload has changed in {count} bytes at {}",
                self.place
            );
            self.place = (self.place + count) % traffic.payload.len();
            bytes = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_changed_or_swapped_is_noticed() {
        let traffic = Traffic::of(Scenario::find("stdin/1KiB").unwrap());
        let twice = [&traffic.payload[..], &traffic.payload].concat();
        assert!(Verifier::default().check(&traffic, &twice).is_ok());
        let mut changed = twice.clone();
        changed[700_000] ^= 1;
        assert!(Verifier::default().check(&traffic, &changed).is_err());
        let lost = [&twice[..1024], &twice[2048..]].concat();
        assert!(Verifier::default().check(&traffic, &lost).is_err());
        let swapped = [&twice[1024..2048], &twice[..1024]].concat();
        assert!(Verifier::default().check(&traffic, &swapped).is_err());
    }
}
