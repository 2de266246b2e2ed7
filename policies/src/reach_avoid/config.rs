use serde::{Deserialize, Serialize};

use crate::training::InvalidConfig;

/// Settings of the learning of the reach-avoid value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReachAvoidConfig {
    /// Widths of the hidden layers, each 1 to 1024, with ReLU. The output is a tanh.
    pub hidden: Vec<usize>,
    /// Discount per policy step, in (0, 1].
    pub gamma: f32,
    /// Relabel the failure margins of the last steps before a collision in hindsight. Without, the paper has more than
    /// twice as many collisions.
    pub softened: bool,
    /// What the network learns to predict.
    pub target: TargetKind,
    /// Adam's learning rate at the start, in (0, 1).
    pub learning_rate: f32,
    /// Learning rate at the end, in (0, 1); geometric in between.
    pub final_learning_rate: f32,
    /// Rows per optimizer step, at least 1.
    pub batch_size: usize,
    /// Passes over the recorded rows, at least 1.
    pub epochs: usize,
    /// Fraction of the episodes that is held out for the report, in (0, 1).
    pub held_out_fraction: f32,
    /// Optimizer steps from one checkpoint to the next, at least 1.
    pub checkpoint_interval: u64,
}

/// What the network learns to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// The value of the recorded course, solved backwards from the end of the episode.
    Course,
    /// One step of the value's equation, with the network's own prediction for the next state (the paper's).
    Bootstrap,
}

impl Default for ReachAvoidConfig {
    fn default() -> Self {
        Self {
            hidden: vec![64, 64],
            gamma: 0.999_999,
            softened: true,
            target: TargetKind::Course,
            learning_rate: 2e-3,
            final_learning_rate: 2e-5,
            batch_size: 4096,
            epochs: 6,
            held_out_fraction: 0.1,
            checkpoint_interval: 1000,
        }
    }
}

impl ReachAvoidConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// One line that names the field, its value, and what would be right.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let check = |field, value: String, ok, right| {
            InvalidConfig::unless(ok, "reach_avoid.learning", field, value, right)
        };
        let widths = format!("{:?}", self.hidden);
        let ok = !self.hidden.is_empty() && self.hidden.iter().all(|w| (1..=1024).contains(w));
        check("hidden", widths, ok, "one or more widths of 1 to 1024")?;
        let ok = self.gamma > 0.0 && self.gamma <= 1.0;
        check("gamma", self.gamma.to_string(), ok, "in (0, 1]")?;
        for (field, rate) in [
            ("learning_rate", self.learning_rate),
            ("final_learning_rate", self.final_learning_rate),
        ] {
            let ok = rate > 0.0 && rate < 1.0;
            check(field, rate.to_string(), ok, "in (0, 1)")?;
        }
        for (field, value) in [("batch_size", self.batch_size), ("epochs", self.epochs)] {
            check(field, value.to_string(), value > 0, "at least 1")?;
        }
        let interval = self.checkpoint_interval;
        let ok = interval > 0;
        check(
            "checkpoint_interval",
            interval.to_string(),
            ok,
            "at least 1",
        )?;
        let share = self.held_out_fraction;
        let ok = share > 0.0 && share < 1.0;
        check("held_out_fraction", share.to_string(), ok, "in (0, 1)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_out_of_range_is_named_with_its_value() {
        ReachAvoidConfig::default().validate().unwrap();
        let error = |config: ReachAvoidConfig| config.validate().unwrap_err().to_string();
        let default = ReachAvoidConfig::default;
        assert_eq!(
            error(ReachAvoidConfig {
                gamma: 1.5,
                ..default()
            }),
            "reach_avoid.learning.gamma = 1.5: must be in (0, 1]"
        );
        let nan = ReachAvoidConfig {
            learning_rate: f32::NAN,
            ..default()
        };
        assert!(error(nan).contains("learning_rate = NaN"));
        let all = ReachAvoidConfig {
            held_out_fraction: 1.0,
            ..default()
        };
        assert!(error(all).contains("held_out_fraction = 1"));
    }
}
