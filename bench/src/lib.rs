//! The lab: what the engine costs, measured on traffic that is described as data.
//!
//! [`SCENARIOS`] is the list of all traffic, for wall-clock times (`cargo bench -p strait-bench`) and for
//! instruction counts (`examples/instructions.rs`) alike. [`Traffic`] makes the bytes of a scenario and checks what
//! became of them: a run that does not carry every byte is no measurement.

mod carry;
mod scenario;
mod traffic;

pub use carry::{Bridge, spdy_receive, websocket_receive};
pub use scenario::{Direction, SCENARIOS, Scenario};
pub use traffic::Traffic;
