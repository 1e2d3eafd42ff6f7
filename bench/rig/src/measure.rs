pub(crate) mod allocations;
pub(crate) mod bulk;
pub(crate) mod idle;
pub(crate) mod lost;
pub(crate) mod round_trip;
pub(crate) mod sessions;
pub(crate) mod system_calls;

use std::time::Duration;

use anyhow::{Result, ensure};
use strait_scenarios::Scenario;

use crate::figures::Figures;
use crate::job::Jobs;
use crate::target::Target;

/// One measurement: a scenario, carried by a target.
pub(crate) struct Run<'a> {
    pub(crate) jobs: &'a Jobs,
    pub(crate) scenario: &'static Scenario,
    pub(crate) target: &'a mut Target,
    /// How long it is measured.
    pub(crate) time: Duration,
    pub(crate) figures: &'a mut Figures,
}

impl Run<'_> {
    fn add(&mut self, name: &'static str, unit: &'static str, sample: f64) -> Result<()> {
        // Bytes of nothing, or a clock that stood still.
        ensure!(sample.is_finite(), "{name} is no number");
        self.figures.add([self.scenario.name, self.target.kind.name()], name, unit, sample);
        Ok(())
    }

    /// CPU time that the target has used so far. Without a target there is none.
    fn cpu(&self) -> Result<Option<Duration>> {
        self.target.pid().map(crate::process::cpu).transpose()
    }
}
