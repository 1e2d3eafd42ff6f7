//! Each scenario once, verified: what the benchmarks carry is right.

use strait_bench::{Bridge, Direction, SCENARIOS, Traffic, spdy_receive, websocket_receive};

#[test]
fn receivers_report_the_payload_of_each_scenario() {
    for scenario in &SCENARIOS {
        let traffic = Traffic::new(scenario);
        let mut wire = traffic.wire.clone();
        match scenario.direction {
            // The channel byte is payload to them.
            Direction::ToUpstream => {
                assert_eq!(
                    websocket_receive(&mut wire),
                    traffic.payload + traffic.frames,
                    "{}",
                    scenario.name
                );
            }
            Direction::ToClient => assert_eq!(spdy_receive(&wire), traffic.payload, "{}", scenario.name),
        }
        traffic.verify_in_place(&wire);
    }
}

#[test]
fn the_bridge_carries_each_scenario_again_and_again() {
    for scenario in &SCENARIOS {
        let traffic = Traffic::new(scenario);
        let mut bridge = Bridge::new();
        for _ in 0..3 {
            bridge.run(&traffic, scenario.direction);
            traffic.verify_output(bridge.output());
        }
    }
}

#[test]
#[should_panic(expected = "the payload has changed")]
fn a_changed_byte_is_noticed() {
    let traffic = Traffic::new(&SCENARIOS[1]);
    let mut wire = traffic.wire.clone();
    websocket_receive(&mut wire);
    let last = wire.len() - 1;
    wire[last] ^= 1;
    traffic.verify_in_place(&wire);
}

#[test]
#[should_panic(expected = "bytes and checksum of the payload")]
fn a_missing_frame_is_noticed() {
    let [scenario] =
        SCENARIOS.iter().filter(|scenario| scenario.name == "stdin/4KiB").collect::<Vec<_>>()[..]
    else {
        return;
    };
    let traffic = Traffic::new(scenario);
    let mut bridge = Bridge::new();
    bridge.run(&traffic, scenario.direction);
    traffic.verify_output(&bridge.output()[8 + 4096..]);
}

#[test]
fn names_are_unique() {
    for (index, scenario) in SCENARIOS.iter().enumerate() {
        assert!(SCENARIOS[..index].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
    }
}
