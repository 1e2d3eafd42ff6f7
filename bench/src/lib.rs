//! The lab: what the engine costs, measured on traffic that is described as data.
//!
//! [`strait_scenarios`] has the list of all traffic, of which [`scenarios`] are those that the engine alone can run, for wall-clock times (`cargo bench -p strait-bench`) and for
//! instruction counts (`examples/instructions.rs`) alike. [`Traffic`] makes the bytes of a scenario and checks what
//! became of them: a run that does not carry every byte is no measurement.

mod carry;
mod record;
mod traffic;

pub use carry::{Bridge, spdy_receive, websocket_receive};
pub use record::Record;
use strait_scenarios::{Direction, Leg, SCENARIOS, Scenario, Sessions};
pub use traffic::Traffic;

/// The scenarios of one running exec session whose payload goes one way.
pub fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().filter(|scenario| {
        (scenario.client, scenario.upstream) == (Leg::WebSocket, Leg::Spdy)
            && matches!(scenario.direction, Direction::ToUpstream | Direction::ToClient)
            && scenario.sessions == Sessions::Open(1)
            && scenario.faults.is_empty()
    })
}
