//! Sessions with faults by a seed.

use std::env;
use std::time::Duration;

use strait::k8s::Subprotocol::{self, None as Unnamed, V1, V1Base64, V2, V3, V4, V4Base64, V5};
use strait_tests::{Random, long_tests_are_wanted};

use super::transport::{Fault, Pace};
use super::{Case, Way, Who, Work, channels};

const WEBSOCKET: [Subprotocol; 6] = [V5, V4, V4Base64, V1, V1Base64, Unnamed];
const SPDY: [Subprotocol; 4] = [V4, V3, V2, V1];

impl Case {
    /// One without a fault.
    pub(super) fn random(seed: u64, work: Work, pace: Pace, random: &mut Random) -> Self {
        let length = random.length(pace.most_input());
        let input = random.bytes(length);
        let ways = if work == Work::Channels { &Way::OF_CHANNELS[..] } else { &Way::ALL };
        let way = one_of(ways, random);
        Self { seed, pace, ..Self::new(work, way, input) }
    }

    /// With any protocol, any exit code, a command and a reader that take their time.
    fn varied(mut self, random: &mut Random) -> Self {
        let any = |is_websocket, random: &mut Random| {
            if is_websocket { one_of(&WEBSOCKET, random) } else { one_of(&SPDY, random) }
        };
        let spoken = match self.work {
            Work::Channels => one_of(&channels::PROTOCOLS, random),
            Work::Forward => self.protocols[0],
            Work::Exec | Work::Terminal => any(self.way.is_websocket_client(), random),
        };
        let chosen = match self.way {
            Way::Translated => any(false, random),
            // What the gateway asks upstream for.
            Way::TranslatedBack => one_of(&[V5, V4], random),
            Way::WebSocketPassedOn if random.below(2) == 0 => one_of(&[V5, V4], random),
            _ => spoken,
        };
        if self.work != Work::Forward {
            self.protocols = [spoken, if self.work == Work::Channels { spoken } else { chosen }];
        }
        self.code = one_of(&[0, 5], random);
        // Nobody says anything for longer than a silent peer is waited for.
        self.pause = Duration::from_secs(one_of(&[0, 0, 5, 70], random));
        if random.below(4) == 0 {
            self.reader = Pace::Pieces { seed: self.seed, most: 1 + self.input.len() / 50 };
        }
        self
    }

    /// Some of its halves break, all at once and anywhere.
    fn broken(self, random: &mut Random) -> Self {
        let most = 3 * self.input.len() as u64;
        self.broken_within(most, random)
    }

    /// The same behind up to so many bytes.
    pub(super) fn broken_within(mut self, most: u64, random: &mut Random) -> Self {
        for _ in 0..=random.below(2) {
            let half = one_of(self.way.halves(), random);
            self.faults[half] = Fault::random(random, most);
        }
        self
    }

    /// The gateway or the node is told to stop in the middle of it.
    fn stopped(mut self, random: &mut Random) -> Self {
        let is_node = !self.way.has_gateway() || matches!(self.work, Work::Forward | Work::Channels);
        let who = match (self.way.has_gateway(), is_node) {
            (true, true) => one_of(&[Who::Gateway, Who::Server], random),
            (true, false) => Who::Gateway,
            (false, _) => Who::Server,
        };
        let most = if self.pace == Pace::Fast { 6_000 } else { 100_000 };
        self.stop = Some((who, Duration::from_millis(random.length(most) as u64 - 1)));
        self
    }
}

pub(super) fn one_of<T: Copy>(list: &[T], random: &mut Random) -> T {
    list[random.below(list.len())]
}

/// So many, from `STRAIT_SEED` on if that is set.
pub(super) fn seeds(count: u64) -> std::ops::Range<u64> {
    let first = env::var("STRAIT_SEED").map_or(0, |seed| seed.parse().expect("STRAIT_SEED is a number"));
    first..first + count
}

/// Pieces, pauses, short writes and readiness that comes and goes change nothing.
async fn slow_sessions(work: Work) {
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let pace = Pace::random(seed, &mut random);
        let case = Case::random(seed, work, pace, &mut random);
        assert!(case.is_complete().await, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_on_slow_connections_is_complete() {
    slow_sessions(Work::Exec).await;
}

#[tokio::test(start_paused = true)]
async fn a_port_forward_on_slow_connections_is_complete() {
    slow_sessions(Work::Forward).await;
}

/// What a pace does to every other session that there is.
#[tokio::test(start_paused = true)]
async fn every_protocol_on_slow_connections_is_complete() {
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let work = one_of(&[Work::Exec, Work::Terminal, Work::Channels], &mut random);
        let pace = if random.below(3) == 0 { Pace::Fast } else { Pace::random(seed, &mut random) };
        let case = Case::random(seed, work, pace, &mut random).varied(&mut random);
        assert!(case.is_complete().await, "{case}");
    }
}

/// Runs them all: `few` unless more are wanted.
async fn run(name: &str, few: u64, case: fn(u64) -> Case) {
    let is_long = long_tests_are_wanted(&format!("random faults of 5,000 seeds, and not of {few},"));
    let seeds = seeds(if is_long { 5_000 } else { few });
    let (first, count) = (seeds.start, seeds.end - seeds.start);
    let (mut complete, mut errors) = (0, 0);
    for seed in seeds {
        let case = case(seed);
        *(if case.is_complete().await { &mut complete } else { &mut errors }) += 1;
    }
    println!("{name}, {count} seeds from {first} on: {complete} complete, {errors} an error");
    assert!(complete > count / 10 && errors > count / 10, "{complete} complete, {errors} an error");
}

pub(super) fn any_pace(seed: u64, random: &mut Random) -> Pace {
    if random.below(2) == 0 { Pace::Fast } else { Pace::random(seed, random) }
}

fn newest(seed: u64, work: Work) -> Case {
    let random = &mut Random::new(seed);
    let pace = any_pace(seed, random);
    Case::random(seed, work, pace, random).broken(random)
}

#[tokio::test(start_paused = true)]
async fn sessions_with_random_faults_are_complete_or_an_error() {
    run("exec", 150, |seed| newest(seed, Work::Exec)).await;
}

#[tokio::test(start_paused = true)]
async fn port_forwards_with_random_faults_are_complete_or_an_error() {
    run("port-forward", 150, |seed| newest(seed, Work::Forward)).await;
}

fn legacy(seed: u64) -> Case {
    let random = &mut Random::new(seed);
    let pace = any_pace(seed, random);
    Case::random(seed, Work::Channels, pace, random).varied(random).broken(random)
}

fn any_protocol(seed: u64) -> Case {
    let random = &mut Random::new(seed);
    let work = one_of(&[Work::Exec, Work::Terminal], random);
    let pace = any_pace(seed, random);
    Case::random(seed, work, pace, random).varied(random).broken(random)
}

fn any_stopped(seed: u64) -> Case {
    let random = &mut Random::new(seed);
    let work = one_of(&[Work::Exec, Work::Terminal, Work::Forward, Work::Channels], random);
    let pace = any_pace(seed, random);
    let case = Case::random(seed, work, pace, random).varied(random).stopped(random);
    if random.below(2) == 0 { case.broken(random) } else { case }
}

#[tokio::test(start_paused = true)]
async fn legacy_port_forwards_with_random_faults_are_complete_or_an_error() {
    run("legacy port-forward", 100, legacy).await;
}

#[tokio::test(start_paused = true)]
async fn every_protocol_and_terminal_with_random_faults_is_complete_or_an_error() {
    run("every protocol", 150, any_protocol).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_any_session_leaves_it_complete_or_an_error() {
    run("a stop", 150, any_stopped).await;
}

/// Those that are not among the ones that are always run.
#[tokio::test(start_paused = true)]
async fn seeds_that_have_found_something_find_nothing_more() {
    let ports = [legacy(101), legacy(271), legacy(817)];
    let others = [any_stopped(660), any_stopped(1152), any_protocol(2098), newest(3334, Work::Exec)];
    for case in ports.into_iter().chain(others) {
        case.run().await;
    }
}
