use crate::{Direction, Fault, Leg, Pace, Scenario, Sessions};

/// All traffic that is measured.
pub const SCENARIOS: &[Scenario] = &[
    // What a gateway is for: a WebSocket client and a SPDY upstream.
    exec("stdin/keystroke", Direction::ToUpstream, KEYSTROKE, 4096).alone(),
    exec("stdin/log_line", Direction::ToUpstream, LOG_LINE, 4096),
    exec("stdin/1KiB", Direction::ToUpstream, &[1024], 512),
    exec("stdin/4KiB", Direction::ToUpstream, &[4096], 128),
    exec("stdin/32KiB", Direction::ToUpstream, &[32 * 1024], 16),
    exec("stdin/mixed", Direction::ToUpstream, MIXED, 360),
    exec("stdout/keystroke", Direction::ToClient, KEYSTROKE, 4096).alone(),
    exec("stdout/log_line", Direction::ToClient, LOG_LINE, 4096),
    exec("stdout/1KiB", Direction::ToClient, &[1024], 512),
    exec("stdout/4KiB", Direction::ToClient, &[4096], 128),
    exec("stdout/32KiB", Direction::ToClient, &[32 * 1024], 16),
    exec("stdout/mixed", Direction::ToClient, MIXED, 360),
    exec("both/4KiB", Direction::Both, &[4096], 128),
    exec("both/32KiB", Direction::Both, &[32 * 1024], 16),
    exec("echo/keystroke", Direction::Echo, KEYSTROKE, 4096).alone(),
    exec("echo/1KiB", Direction::Echo, &[1024], 512).alone(),
    // Frames that come in the segments of an Ethernet.
    exec("segments/stdin/32KiB", Direction::ToUpstream, &[32 * 1024], 16).with(SEGMENTS),
    exec("segments/stdout/32KiB", Direction::ToClient, &[32 * 1024], 16).with(SEGMENTS),
    // The reverse: an old client and a WebSocket upstream.
    exec("from_spdy/stdin/log_line", Direction::ToUpstream, LOG_LINE, 4096).reversed(),
    exec("from_spdy/stdin/32KiB", Direction::ToUpstream, &[32 * 1024], 16).reversed(),
    exec("from_spdy/stdout/log_line", Direction::ToClient, LOG_LINE, 4096).reversed(),
    exec("from_spdy/stdout/32KiB", Direction::ToClient, &[32 * 1024], 16).reversed(),
    // Port-forwards: SPDY in a WebSocket, and channels of a WebSocket.
    forward(Leg::Tunnel, "tunnel/up/1KiB", Direction::ToUpstream, &[1024], 512, 1),
    forward(Leg::Tunnel, "tunnel/up/32KiB", Direction::ToUpstream, &[32 * 1024], 16, 1),
    forward(Leg::Tunnel, "tunnel/down/1KiB", Direction::ToClient, &[1024], 512, 1),
    forward(Leg::Tunnel, "tunnel/down/32KiB", Direction::ToClient, &[32 * 1024], 16, 1),
    forward(Leg::Tunnel, "tunnel/both/32KiB", Direction::Both, &[32 * 1024], 16, 1),
    forward(Leg::Tunnel, "tunnel/pairs/4KiB", Direction::Both, &[4096], 128, 16),
    forward(Leg::Ports, "ports/up/1KiB", Direction::ToUpstream, &[1024], 512, 1),
    forward(Leg::Ports, "ports/up/32KiB", Direction::ToUpstream, &[32 * 1024], 16, 1),
    forward(Leg::Ports, "ports/down/1KiB", Direction::ToClient, &[1024], 512, 1),
    forward(Leg::Ports, "ports/down/32KiB", Direction::ToClient, &[32 * 1024], 16, 1),
    forward(Leg::Ports, "ports/pairs/4KiB", Direction::Both, &[4096], 128, 16),
    // A session that says one line and ends, again and again, and one whose client and upstream are far away.
    exec("session/short", Direction::ToClient, LOG_LINE, 1).sessions(IN_TURN),
    exec("session/far", Direction::ToClient, LOG_LINE, 1).sessions(IN_TURN).with(&[Fault::Far(20)]),
    // Sessions that are cut off: behind a line, and in the middle of what either end has to say.
    exec("lost/line", Direction::ToClient, LOG_LINE, 1).sessions(IN_TURN).with(&[Fault::ClientLost]),
    exec("lost/stdin/32KiB", Direction::ToUpstream, &[32 * 1024], 16)
        .sessions(IN_TURN)
        .with(&[Fault::ClientLost]),
    exec("lost/stdout/32KiB", Direction::ToClient, &[32 * 1024], 16)
        .sessions(IN_TURN)
        .with(&[Fault::UpstreamLost]),
    // A reader that does something else every now and then.
    exec("stalls/stdin/32KiB", Direction::ToUpstream, &[32 * 1024], 16).with(STALLS),
    exec("stalls/stdout/32KiB", Direction::ToClient, &[32 * 1024], 16).with(STALLS),
    // Sessions that say nothing but their heartbeats.
    idle("idle/1", 1),
    idle("idle/10", 10),
    idle("idle/100", 100),
    idle("idle/1000", 1000),
    idle("idle/10000", 10_000),
];

const KEYSTROKE: &[usize] = &[1];

/// What a program writes that flushes each line.
const LOG_LINE: &[usize] = &[80];

/// What a shell with a bit of everything makes.
const MIXED: &[usize] = &[1, 1, 80, 1, 4096, 80, 80, 1024, 1, 32 * 1024, 80, 200];

const IN_TURN: Sessions = Sessions::InTurn(256);

const STALLS: &[Fault] = &[Fault::Stalls { every: 1024 * 1024, milliseconds: 5 }];

/// TCP's payload of an Ethernet frame, with its time stamps.
const SEGMENTS: &[Fault] = &[Fault::Pieces(1448)];

const fn exec(name: &'static str, direction: Direction, sizes: &'static [usize], frames: usize) -> Scenario {
    Scenario {
        name,
        client: Leg::WebSocket,
        upstream: Leg::Spdy,
        direction,
        pace: Pace::Bulk,
        sizes,
        frames,
        sessions: Sessions::Open(1),
        pairs: 0,
        faults: &[],
    }
}

const fn forward(
    client: Leg,
    name: &'static str,
    direction: Direction,
    sizes: &'static [usize],
    frames: usize,
    pairs: usize,
) -> Scenario {
    Scenario { client, pairs, ..exec(name, direction, sizes, frames) }
}

const fn idle(name: &'static str, sessions: usize) -> Scenario {
    exec(name, Direction::Both, &[], 0).sessions(Sessions::Open(sessions))
}

impl Scenario {
    const fn alone(self) -> Self {
        Self { pace: Pace::Alone, ..self }
    }

    const fn reversed(self) -> Self {
        Self { client: Leg::Spdy, upstream: Leg::WebSocket, ..self }
    }

    const fn sessions(self, sessions: Sessions) -> Self {
        Self { sessions, ..self }
    }

    const fn with(self, faults: &'static [Fault]) -> Self {
        Self { faults, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            assert!(SCENARIOS[..index].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
            assert_eq!(Scenario::find(scenario.name), Some(scenario));
        }
    }

    #[test]
    fn frames_have_sizes_and_port_forwards_have_connections() {
        for scenario in SCENARIOS {
            assert_eq!(scenario.frame_sizes().count(), scenario.frames, "{}", scenario.name);
            let forwards = matches!(scenario.client, Leg::Tunnel | Leg::Ports);
            assert_eq!(scenario.pairs > 0, forwards, "{}", scenario.name);
        }
    }
}
