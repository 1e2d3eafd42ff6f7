use std::path::PathBuf;

use anyhow::Result;
use strait_bench::Record;

/// What was measured, in the order of its first sample.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

/// Samples of one figure.
#[derive(Debug)]
struct Figure {
    scenario: &'static str,
    target: &'static str,
    name: &'static str,
    unit: &'static str,
    samples: Vec<f64>,
}

impl Figures {
    pub(crate) fn add(
        &mut self,
        [scenario, target]: [&'static str; 2],
        name: &'static str,
        unit: &'static str,
        sample: f64,
    ) {
        let same = |figure: &&mut Figure| {
            figure.scenario == scenario && figure.target == target && figure.name == name
        };
        if let Some(figure) = self.0.iter_mut().find(same) {
            figure.samples.push(sample);
            return;
        }
        self.0.push(Figure { scenario, target, name, unit, samples: vec![sample] });
    }

    /// Writes all of them where reports read them.
    pub(crate) fn store(&self) -> Result<PathBuf> {
        let records: Vec<Record> = self.0.iter().filter_map(Figure::record).collect();
        Ok(Record::store("rig", &records)?)
    }

    /// Prints those of one scenario.
    pub(crate) fn print(&self, scenario: &str) {
        let figures = self.0.iter().filter(|figure| figure.scenario == scenario).filter_map(Figure::record);
        for Record { scenario, target, figure, unit, value, low, high, samples } in figures {
            let name = format!("{figure} [{unit}]");
            println!(
                "{scenario:<18} {target:<18} {name:<30} {value:>12.3}  {low:.3} to {high:.3}, n = {samples}"
            );
        }
    }
}

impl Figure {
    fn record(&self) -> Option<Record> {
        Record::measured(self.scenario, self.target, self.name, self.unit, self.samples.clone())
    }
}

/// The value below which `share` of the sorted values are.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "fewer than 2^52 values, and a share of 1 at most"
)]
pub(crate) fn quantile(sorted: &[u64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |value| *value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let sorted: Vec<u64> = (0..1000).collect();
        let seen = [0.5, 0.999, 1.0].map(|share| quantile(&sorted, share).to_string());
        assert_eq!(seen, ["500", "999", "999"]);
    }
}
