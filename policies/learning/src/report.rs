//! What an iteration did, in numbers.

use policies::training::{Scalar, TimeShares};

/// One iteration in numbers.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct IterationReport {
    /// Iterations done, this one included.
    pub iteration: u64,
    /// Policy steps done over all environments, this iteration's included.
    pub policy_steps: u64,
    /// Policy steps per second of this iteration.
    pub steps_per_s: f64,
    /// Share of the iteration spent collecting; the rest is the update.
    pub collect_share: f64,
    /// Where the time of all workers went.
    pub time_shares: TimeShares,
    /// Mean reward per policy step, unscaled.
    pub reward: f32,
    /// Learning rate at the end.
    pub learning_rate: f32,
    /// Mean divergence from the policy that acted.
    pub kl: f32,
    /// Mean standard deviation of the actions.
    pub std: f32,
    /// Entropy of the actions.
    pub entropy: f32,
    /// Clipped surrogate loss.
    pub surrogate_loss: f32,
    /// Mean squared error of the values (of scaled rewards).
    pub value_loss: f32,
    /// What bounded the costs, under `ppo-lagrangian`.
    pub costs: Option<CostReport>,
    /// Share of the variance of the returns that the values explain.
    pub explained_variance: f32,
    /// Share of ratios outside the clip.
    pub clip_fraction: f32,
    /// Gradient norm of the actor before clipping.
    pub actor_gradient_norm: f32,
    /// Gradient norm of the critic of the rewards before clipping.
    pub critic_gradient_norm: f32,
    /// Minibatches skipped because a loss or gradient was not finite.
    pub skipped_minibatches: u32,
    /// What the environments logged, merged over the shards.
    pub scalars: Vec<Scalar>,
}

/// How the costs were bounded in an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct CostReport {
    /// What a unit of cost is worth in reward.
    pub multiplier: f32,
    /// Mean cost of the episodes that ended, if any did.
    pub episode_cost: Option<f32>,
    /// Mean squared error of the values of the costs.
    pub value_loss: f32,
}

impl CostReport {
    fn scalars(self) -> impl Iterator<Item = (&'static str, f64)> {
        let cost = self.episode_cost.map(|cost| ("cost", f64::from(cost)));
        [
            ("multiplier", f64::from(self.multiplier)),
            ("cost_value_loss", f64::from(self.value_loss)),
        ]
        .into_iter()
        .chain(cost)
    }
}

impl IterationReport {
    /// All of it as named scalars: the learner's under `learner/`, then the environments'.
    pub fn all_scalars(&self) -> impl Iterator<Item = (String, f64)> + '_ {
        let own = [
            ("reward", f64::from(self.reward)),
            ("learning_rate", f64::from(self.learning_rate)),
            ("kl", f64::from(self.kl)),
            ("std", f64::from(self.std)),
            ("entropy", f64::from(self.entropy)),
            ("surrogate_loss", f64::from(self.surrogate_loss)),
            ("value_loss", f64::from(self.value_loss)),
            ("explained_variance", f64::from(self.explained_variance)),
            ("clip_fraction", f64::from(self.clip_fraction)),
            ("actor_gradient_norm", f64::from(self.actor_gradient_norm)),
            ("critic_gradient_norm", f64::from(self.critic_gradient_norm)),
            ("skipped_minibatches", f64::from(self.skipped_minibatches)),
            ("steps_per_s", self.steps_per_s),
            ("collect_share", self.collect_share),
        ];
        let costs = self.costs.into_iter().flat_map(CostReport::scalars);
        own.into_iter()
            .chain(costs)
            .map(|(name, value)| (format!("learner/{name}"), value))
            .chain(self.scalars.iter().map(|s| (s.name.clone(), s.value)))
    }
}

/// Means over shards, weighted by count, in the order of first appearance.
pub(super) fn merged<'a>(scalars: impl Iterator<Item = &'a Scalar>) -> Vec<Scalar> {
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
