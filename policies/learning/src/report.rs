//! What an iteration did, in numbers.

use policies::training::{Scalar, Times};

/// One iteration in numbers.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct IterationReport {
    /// Iterations done, this one included.
    pub iteration: u64,
    /// Policy steps done over all environments, this iteration's included.
    pub policy_steps: u64,
    /// Policy steps per second of this iteration.
    pub steps_per_s: f64,
    /// Where the time of all workers went: in the environments, as they name it; then `inference`, all else of collecting; then `update`.
    pub times: Times,
    /// What the learner measured, over all workers: of PPO `reward` (per policy step, unscaled), `learning_rate`, `kl`, `std`, `entropy`,
    /// `surrogate_loss`, `value_loss` (of scaled rewards), `explained_variance`, `clip_fraction`, `actor_gradient_norm`, `critic_gradient_norm` (before
    /// clipping), `skipped_minibatches` (a loss or gradient was not finite); of PPO-Lagrangian also `multiplier`, `cost_value_loss`, and `cost` per
    /// episode, if any ended.
    pub learner: Vec<(&'static str, f64)>,
    /// What the environments logged, merged over the shards.
    pub environments: Vec<Scalar>,
}

impl IterationReport {
    /// What the learner measured under this name, if it did.
    #[must_use]
    pub fn learner(&self, name: &str) -> Option<f64> {
        let mut scalars = self.learner.iter();
        scalars
            .find(|(own, _)| *own == name)
            .map(|(_, value)| *value)
    }

    /// Fraction of the time that was not spent on the update.
    #[must_use]
    pub fn collect_fraction(&self) -> f64 {
        1.0 - self.times.fraction("update")
    }

    /// All of it as named scalars: the learner's under `learner/`, then the environments'.
    pub fn scalars(&self) -> impl Iterator<Item = (String, f64)> + '_ {
        let speed = [
            ("steps_per_s", self.steps_per_s),
            ("collect_fraction", self.collect_fraction()),
        ];
        let learner = self.learner.iter().copied().chain(speed);
        let learner = learner.map(|(name, value)| (format!("learner/{name}"), value));
        let environments = self.environments.iter();
        learner.chain(environments.map(|scalar| (scalar.name.clone(), scalar.value)))
    }
}

/// Means over shards, weighted by count, in the order of first appearance.
pub(crate) fn merged<'a>(scalars: impl Iterator<Item = &'a Scalar>) -> Vec<Scalar> {
    let mut merged: Vec<Scalar> = Vec::new();
    for scalar in scalars {
        match merged.iter_mut().find(|m| m.name == scalar.name) {
            Some(sum) => {
                let count = sum.count + scalar.count;
                if count > 0 {
                    sum.value = (sum.value * sum.count as f64 + scalar.value * scalar.count as f64)
                        / count as f64;
                }
                sum.count = count;
            }
            None => merged.push(scalar.clone()),
        }
    }
    merged
}
