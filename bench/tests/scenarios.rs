//! Each scenario once, verified: what the benchmarks carry is right.

use strait_bench::{Bridge, Traffic, scenarios, spdy_receive, websocket_receive};
use strait_scenarios::{Direction, Scenario};

#[test]
fn receivers_report_the_payload_of_each_scenario() {
    for scenario in scenarios() {
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
            _ => assert_eq!(spdy_receive(&wire), traffic.payload, "{}", scenario.name),
        }
        traffic.verify_in_place(&wire);
    }
}

#[test]
fn the_bridge_carries_each_scenario_again_and_again() {
    for scenario in scenarios() {
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
    let traffic = Traffic::new(scenario("stdin/log_line"));
    let mut wire = traffic.wire.clone();
    websocket_receive(&mut wire);
    let last = wire.len() - 1;
    wire[last] ^= 1;
    traffic.verify_in_place(&wire);
}

#[test]
#[should_panic(expected = "bytes and checksum of the payload")]
fn a_missing_frame_is_noticed() {
    let scenario = scenario("stdin/4KiB");
    let traffic = Traffic::new(scenario);
    let mut bridge = Bridge::new();
    bridge.run(&traffic, scenario.direction);
    traffic.verify_output(&bridge.output()[8 + 4096..]);
}

fn scenario(name: &str) -> &'static Scenario {
    Scenario::find(name).expect("it is in the list")
}
