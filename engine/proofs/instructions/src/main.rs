//! What a frame costs on a Cortex-M3: an exec session with lanes of 2 KiB, WebSocket client to SPDY upstream.
//!
//! QEMU counts an instruction as a fixed piece of time (`-icount`), so a counter of the board counts them, the same in every run.
//! Counted is what the engine does: translating, naming the output, taking note that it was written. Reading and writing is
//! not. `cargo xtask size` runs it.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m as _;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use strait::bridge::{Bridge, ExecBridge, Lane, Side};
use strait::k8s::{StreamSet, Subprotocol};
use strait::leg::{SpdyLeg, WebSocketLeg};
use strait::spdy::SkipBlocks;
use strait::{Instant, Limits};

const LANE: usize = 2048;

type Translator = ExecBridge<WebSocketLeg, SpdyLeg<SkipBlocks>>;
type Direction = Lane<[u8; LANE], 8>;

/// Frames of one length, one after the other, and the direction in which they go.
struct Scenario {
    name: &'static str,
    from: Side,
    /// Payload bytes of a frame.
    payload: usize,
    frames: usize,
    /// Frames that come with one read; 0 for as many as there is room for.
    together: usize,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario { name: "stdin, frames of 32 KiB", from: Side::Client, payload: 32 * 1024, frames: 16, together: 0 },
    Scenario { name: "stdin, frames of 80 B", from: Side::Client, payload: 80, frames: 2000, together: 0 },
    Scenario { name: "stdin, keystrokes", from: Side::Client, payload: 1, frames: 1000, together: 1 },
    Scenario { name: "stdout, frames of 2 KiB", from: Side::Upstream, payload: 2048, frames: 256, together: 0 },
    Scenario { name: "stdout, frames of 80 B", from: Side::Upstream, payload: 80, frames: 2000, together: 0 },
    Scenario { name: "stdout, echoes of 1 B", from: Side::Upstream, payload: 1, frames: 1000, together: 1 },
];

#[entry]
fn main() -> ! {
    counter::start();
    for scenario in &SCENARIOS {
        let instructions = run(scenario);
        let bytes = scenario.payload * scenario.frames;
        // xtask reads these: the name, frames, bytes of payload, instructions.
        hprintln!("{}|{}|{}|{}", scenario.name, scenario.frames, bytes, instructions);
    }
    debug::exit(debug::EXIT_SUCCESS);
    loop {}
}

/// The instructions that all frames of a scenario take.
fn run(scenario: &Scenario) -> u64 {
    let (mut bridge, [mut up, mut down]) = session();
    let lane = if scenario.from == Side::Client { &mut up } else { &mut down };
    let mut frames = Frames { scenario, left: scenario.frames, at: 0 };
    let (mut instructions, mut sent) = (0, 0);
    while frames.read(lane) {
        let start = counter::read();
        black_box(bridge.translate(scenario.from, lane, Instant::ZERO));
        let to = scenario.from.other();
        let count = bridge.output(to, lane).map(|piece| black_box(piece).len()).sum();
        bridge.written(to, lane, count);
        instructions += counter::since(start);
        sent += count;
    }
    assert!(sent > scenario.payload * scenario.frames, "all payload has left");
    assert!(bridge.outcome().is_none());
    instructions
}

/// A session that is running: both upgrades are through, and upstream has accepted all streams.
fn session() -> (Translator, [Direction; 2]) {
    let limits = Limits::MICROCONTROLLER;
    let streams = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };
    let mut bridge = Translator::new(WebSocketLeg::server(Subprotocol::V5, &limits), streams, &limits);
    let (mut up, mut down) = (Lane::new([0; LANE]), Lane::new([0; LANE]));
    bridge.greet(&mut down);
    bridge.connected(SpdyLeg::client(streams, Subprotocol::V4, &limits), Instant::ZERO);
    for stream in [1, 3, 5, 7] {
        let reply = [0x80, 3, 0, 2, 0, 0, 0, 4, 0, 0, 0, stream];
        down.space()[..reply.len()].copy_from_slice(&reply);
        down.received(reply.len());
        bridge.translate(Side::Upstream, &mut down, Instant::ZERO);
        write_all(&mut bridge, Side::Client, &mut down);
    }
    write_all(&mut bridge, Side::Upstream, &mut up);
    (bridge, [up, down])
}

fn write_all(bridge: &mut Translator, side: Side, lane: &mut Direction) {
    let count = bridge.output(side, lane).map(<[u8]>::len).sum();
    bridge.written(side, lane, count);
}

/// What a peer sends.
struct Frames<'a> {
    scenario: &'a Scenario,
    left: usize,
    /// Bytes of the current frame that were read, header included.
    at: usize,
}

impl Frames<'_> {
    /// Reads into the lane what there is room for; false if nothing is left.
    fn read(&mut self, lane: &mut Direction) -> bool {
        let (header, size) = self.header();
        let space = lane.space();
        let (mut filled, mut whole) = (0, 0);
        while filled < space.len() && self.left > 0 && (self.scenario.together == 0 || whole < self.scenario.together) {
            space[filled] = *header[..size].get(self.at).unwrap_or(&b'x');
            filled += 1;
            self.at += 1;
            if self.at == size + self.scenario.payload {
                (self.at, self.left, whole) = (0, self.left - 1, whole + 1);
            }
        }
        lane.received(filled);
        filled > 0
    }

    /// All in front of the payload, and how long it is. A client's is masked with a key that leaves the channel 0 at 0.
    fn header(&self) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        let mut size = 0;
        let mut put = |more: &[u8]| {
            bytes[size..size + more.len()].copy_from_slice(more);
            size += more.len();
        };
        let len = self.scenario.payload;
        match self.scenario.from {
            Side::Client if len + 1 < 126 => put(&[0x82, 0x80 | (len + 1) as u8]),
            Side::Client => {
                put(&[0x82, 0x80 | 126]);
                put(&(len as u16 + 1).to_be_bytes());
            }
            // DATA of stream 5, which is stdout.
            Side::Upstream => {
                put(&[0, 0, 0, 5]);
                put(&(len as u32).to_be_bytes());
            }
        }
        if self.scenario.from == Side::Client {
            put(&[0, 0x55, 0xaa, 0x0f, 0]);
        }
        (bytes, size)
    }
}

/// The board's free-running counter at 25 MHz (Arm application note 385, FPGAIO).
mod counter {
    const COUNTER: usize = 0x4002_8018;
    const PRESCALE: usize = 0x4002_801c;

    /// What QEMU takes for an instruction with `-icount shift=6`, and the counter for a tick, in nanoseconds.
    const INSTRUCTION: u64 = 64;
    const TICK: u64 = 40;

    pub fn start() {
        // SAFETY: a register of the board.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(PRESCALE).write_volatile(0) }
    }

    pub fn read() -> u32 {
        // SAFETY: as above.
        unsafe { core::ptr::with_exposed_provenance::<u32>(COUNTER).read_volatile() }
    }

    /// Instructions since then.
    pub fn since(start: u32) -> u64 {
        u64::from(read().wrapping_sub(start)) * TICK / INSTRUCTION
    }
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}
