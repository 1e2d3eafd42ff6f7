/// Which way payload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Masked WebSocket frames become SPDY DATA: stdin.
    ToUpstream,
    /// SPDY DATA becomes WebSocket frames: stdout.
    ToClient,
}

/// Traffic of one direction.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Names the scenario in results; unique.
    pub name: &'static str,
    /// Which way it goes.
    pub direction: Direction,
    /// Payload bytes of its frames, in turn.
    pub sizes: &'static [usize],
    /// Frames in one run.
    pub frames: usize,
}

/// All traffic that is measured.
pub const SCENARIOS: [Scenario; 12] = [
    to_upstream("stdin/keystroke", &[1], 4096),
    to_upstream("stdin/log_line", &[80], 4096),
    to_upstream("stdin/1KiB", &[1024], 512),
    to_upstream("stdin/4KiB", &[4096], 128),
    to_upstream("stdin/32KiB", &[32 * 1024], 16),
    to_upstream("stdin/mixed", MIXED, 360),
    to_client("stdout/keystroke", &[1], 4096),
    to_client("stdout/log_line", &[80], 4096),
    to_client("stdout/1KiB", &[1024], 512),
    to_client("stdout/4KiB", &[4096], 128),
    to_client("stdout/32KiB", &[32 * 1024], 16),
    to_client("stdout/mixed", MIXED, 360),
];

/// What a shell with a bit of everything makes.
const MIXED: &[usize] = &[1, 1, 80, 1, 4096, 80, 80, 1024, 1, 32 * 1024, 80, 200];

const fn to_upstream(name: &'static str, sizes: &'static [usize], frames: usize) -> Scenario {
    Scenario { name, direction: Direction::ToUpstream, sizes, frames }
}

const fn to_client(name: &'static str, sizes: &'static [usize], frames: usize) -> Scenario {
    Scenario { name, direction: Direction::ToClient, sizes, frames }
}
