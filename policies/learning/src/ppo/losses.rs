//! The formulas of PPO over one rollout: advantages, losses, and the losses' gradients with respect to the networks' outputs.
//!
//! Arrays are time-major: row `step * num_envs + env`.

use policies::training::{Done, PpoConfig};

/// What the environments went through in one iteration. Allocated once.
#[derive(Default)]
pub(super) struct Rollout {
    pub(super) num_envs: usize,
    /// Means and logarithm of the standard deviation that the actions were drawn with [steps * num_envs, action_dim], \[action_dim\].
    pub(super) means: Vec<f32>,
    pub(super) log_std: Vec<f32>,
    pub(super) actions: Vec<f32>,
    pub(super) rewards: Signal,
    /// If they are bounded.
    pub(super) costs: Option<Signal>,
    pub(super) done: Vec<Done>,
    /// Last observations of episodes that timed out in the present step [num_envs, observation_dim].
    pub(super) terminal: Vec<f32>,
    /// Rows with a timeout, and the last observations of their episodes [.., observation_dim].
    pub(super) timeouts: Vec<usize>,
    pub(super) timeout_observations: Vec<f32>,
    /// The order in which minibatches take rows.
    pub(super) order: Vec<i64>,
}

/// What one critic predicts, rewards or costs, and how well it did.
#[derive(Default)]
pub(super) struct Signal {
    /// Scaled rewards, or costs [steps * num_envs].
    pub(super) rewards: Vec<f32>,
    /// Values of the observations acted on, and of those after the last step [(steps + 1) * num_envs].
    pub(super) values: Vec<f32>,
    pub(super) advantages: Vec<f32>,
    pub(super) returns: Vec<f32>,
}

impl Signal {
    /// Generalized advantage estimation (Schulman et al., 2016), and the returns with it. A timeout is bootstrapped with the value of the episode's last
    /// observation, of which `timeouts` holds (row, value) in the order of the rows; a termination with zero. Neither lets the next episode's rewards
    /// through.
    pub(super) fn estimate(
        &mut self,
        done: &[Done],
        timeouts: &[(usize, f32)],
        num_envs: usize,
        gamma: f32,
        lambda: f32,
    ) {
        let rows = self.rewards.len();
        let mut timeouts = timeouts.iter().rev().peekable();
        for i in (0..rows).rev() {
            let next = i + num_envs;
            let (next_value, next_advantage) = match done[i] {
                Done::No if next < rows => (self.values[next], self.advantages[next]),
                Done::No => (self.values[next], 0.0),
                Done::Terminated => (0.0, 0.0),
                Done::Timeout => {
                    let value = timeouts.next_if(|(row, _)| *row == i);
                    (value.map_or(0.0, |(_, value)| *value), 0.0)
                }
            };
            let delta = self.rewards[i] + gamma * next_value - self.values[i];
            self.advantages[i] = delta + gamma * lambda * next_advantage;
        }
        let advantages = self.advantages.iter().zip(&self.values);
        for (to_go, (advantage, value)) in self.returns.iter_mut().zip(advantages) {
            *to_go = advantage + value;
        }
    }

    /// Squared error of the present values \[rows\] of these rows times `share`, one over the rows of their minibatch; where `clip` is given, of the
    /// larger of that and the error of the value clipped to within `clip` of the old one. Writes the gradient with respect to the values.
    pub(super) fn value_loss(
        &self,
        (rows, share): (&[i64], f32),
        clip: Option<f32>,
        values: &[f32],
        gradient: &mut [f32],
    ) -> f32 {
        let mut loss = 0.0_f64;
        for ((&row, &value), gradient) in rows.iter().zip(values).zip(gradient) {
            let target = self.returns[row as usize];
            let error = value - target;
            let (mut squared, mut slope) = (error * error, 2.0 * error);
            if let Some(clip) = clip {
                let old = self.values[row as usize];
                let delta = value - old;
                let clipped_error = old + delta.clamp(-clip, clip) - target;
                if clipped_error * clipped_error > squared {
                    squared = clipped_error * clipped_error;
                    slope = if delta.abs() < clip {
                        2.0 * clipped_error
                    } else {
                        0.0
                    };
                }
            }
            loss += f64::from(squared);
            *gradient = slope * share;
        }
        (loss * f64::from(share)) as f32
    }
}

impl Rollout {
    /// Clipped surrogate loss minus the entropy bonus, over these rows times `share`, one over the rows of their minibatch, of a policy with these
    /// means [rows, action_dim] and log_std \[action_dim\]. Writes the gradient with respect to the former and adds that with respect to the latter. Returns
    /// surrogate loss, Kullback-Leibler divergence from the policy that acted, and the fraction of rows whose probability ratio is outside the clip.
    pub(super) fn policy_loss(
        &self,
        (rows, share): (&[i64], f32),
        config: &PpoConfig,
        (means, log_std): (&[f32], &[f32]),
        (mean_gradient, log_std_gradient): (&mut [f32], &mut [f32]),
    ) -> [f32; 3] {
        let dim = log_std.len();
        let inverse_std: Vec<f32> = log_std.iter().map(|l| (-l).exp()).collect();
        let old_inverse_std: Vec<f32> = self.log_std.iter().map(|l| (-l).exp()).collect();
        let log_stds = || log_std.iter().zip(&self.log_std);
        let log_std_delta: f32 = log_stds().map(|(new, old)| new - old).sum();
        let kl_of_std: f32 = log_stds()
            .map(|(new, old)| new - old + 0.5 * (2.0 * (old - new)).exp() - 0.5)
            .sum();
        for gradient in &mut *log_std_gradient {
            *gradient -= config.entropy * rows.len() as f32 * share;
        }

        let (mut surrogate, mut kl, mut outside) = (0.0_f64, 0.0_f64, 0_u32);
        for ((&row, mean), gradient) in (rows.iter())
            .zip(means.chunks_exact(dim))
            .zip(mean_gradient.chunks_exact_mut(dim))
        {
            let row = row as usize;
            let action = &self.actions[row * dim..][..dim];
            let old_mean = &self.means[row * dim..][..dim];
            let (mut log_ratio, mut squared_delta) = (-log_std_delta, 0.0);
            for j in 0..dim {
                let z = (action[j] - mean[j]) * inverse_std[j];
                let old_z = (action[j] - old_mean[j]) * old_inverse_std[j];
                let mean_delta = (mean[j] - old_mean[j]) * inverse_std[j];
                log_ratio += 0.5 * (old_z * old_z - z * z);
                squared_delta += mean_delta * mean_delta;
            }
            kl += f64::from(kl_of_std + 0.5 * squared_delta);
            let ratio = log_ratio.exp();
            let advantage = self.rewards.advantages[row];
            let (low, high) = (1.0 - config.clip, 1.0 + config.clip);
            outside += u32::from((ratio - 1.0).abs() > config.clip);
            let loss = -(ratio * advantage).min(ratio.clamp(low, high) * advantage);
            // Clamp and min drop NaN; a NaN ratio or advantage must show.
            surrogate += f64::from(if ratio.is_nan() { ratio } else { loss });
            let clipped = (advantage > 0.0 && ratio > high) || (advantage < 0.0 && ratio < low);
            // Derivative of the loss with respect to the logarithm of the probability.
            let slope = if clipped {
                0.0
            } else {
                -ratio * advantage * share
            };
            for j in 0..dim {
                let z = (action[j] - mean[j]) * inverse_std[j];
                gradient[j] = slope * z * inverse_std[j];
                log_std_gradient[j] += slope * (z * z - 1.0);
            }
        }
        [
            (surrogate * f64::from(share)) as f32,
            (kl * f64::from(share)) as f32,
            outside as f32 * share,
        ]
    }
}
