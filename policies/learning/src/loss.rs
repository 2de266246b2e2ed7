//! The losses of PPO and their gradients with respect to the networks' outputs.

/// What the policy's loss needs of the rollout; rows are elements of time-major arrays.
pub struct PolicyBatch<'a> {
    /// Which rows of the rollout the minibatch holds.
    pub rows: &'a [i64],
    /// Actions taken [rollout, action_dim].
    pub actions: &'a [f32],
    /// Means they were drawn around [rollout, action_dim].
    pub old_means: &'a [f32],
    /// Logarithm of the standard deviation they were drawn with \[action_dim\].
    pub old_log_std: &'a [f32],
    /// Normalized advantages \[rollout\].
    pub advantages: &'a [f32],
    /// Present means [rows, action_dim].
    pub means: &'a [f32],
    /// Present logarithm of the standard deviation \[action_dim\].
    pub log_std: &'a [f32],
    /// Clip of the probability ratio.
    pub clip: f32,
    /// Weight of the entropy bonus.
    pub entropy: f32,
}

/// Means over a minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolicyStatistics {
    /// Clipped surrogate loss.
    pub surrogate: f32,
    /// Kullback-Leibler divergence of the present policy from the one that acted.
    pub kl: f32,
    /// Share of rows whose ratio is outside the clip.
    pub clipped: f32,
}

/// Clipped surrogate loss minus the entropy bonus; writes the gradients with respect to means [rows, action_dim] and log_std \[action_dim\].
pub fn policy_loss(
    batch: &PolicyBatch<'_>,
    mean_gradient: &mut [f32],
    log_std_gradient: &mut [f32],
) -> PolicyStatistics {
    let dim = batch.log_std.len();
    let share = 1.0 / batch.rows.len() as f32;
    let inverse_std: Vec<f32> = batch.log_std.iter().map(|l| (-l).exp()).collect();
    let old_inverse_std: Vec<f32> = batch.old_log_std.iter().map(|l| (-l).exp()).collect();
    let log_std_change: f32 = batch
        .log_std
        .iter()
        .zip(batch.old_log_std)
        .map(|(new, old)| new - old)
        .sum();
    let kl_of_std: f32 = (batch.log_std.iter().zip(batch.old_log_std))
        .map(|(new, old)| new - old + 0.5 * (2.0 * (old - new)).exp() - 0.5)
        .sum();
    log_std_gradient.fill(-batch.entropy);

    let (mut surrogate, mut kl, mut clipped) = (0.0_f64, 0.0_f64, 0_u32);
    for ((&row, mean), gradient) in (batch.rows.iter())
        .zip(batch.means.chunks_exact(dim))
        .zip(mean_gradient.chunks_exact_mut(dim))
    {
        let row = row as usize;
        let action = &batch.actions[row * dim..][..dim];
        let old_mean = &batch.old_means[row * dim..][..dim];
        let (mut log_ratio, mut shift) = (-log_std_change, 0.0);
        for j in 0..dim {
            let z = (action[j] - mean[j]) * inverse_std[j];
            let old_z = (action[j] - old_mean[j]) * old_inverse_std[j];
            let moved = (mean[j] - old_mean[j]) * inverse_std[j];
            log_ratio += 0.5 * (old_z * old_z - z * z);
            shift += moved * moved;
        }
        kl += f64::from(kl_of_std + 0.5 * shift);
        let ratio = log_ratio.exp();
        let advantage = batch.advantages[row];
        let outside = (ratio - 1.0).abs() > batch.clip;
        clipped += u32::from(outside);
        let bounded = ratio.clamp(1.0 - batch.clip, 1.0 + batch.clip);
        let loss = -(ratio * advantage).min(bounded * advantage);
        // Clamp and min drop NaN; a NaN ratio or advantage must show.
        surrogate += f64::from(if ratio.is_nan() { ratio } else { loss });
        let flat = (advantage > 0.0 && ratio > 1.0 + batch.clip)
            || (advantage < 0.0 && ratio < 1.0 - batch.clip);
        // Derivative of the loss with respect to the logarithm of the probability.
        let slope = if flat {
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
    PolicyStatistics {
        surrogate: (surrogate * f64::from(share)) as f32,
        kl: (kl * f64::from(share)) as f32,
        clipped: clipped as f32 * share,
    }
}

/// What the value loss needs of the rollout.
pub struct ValueBatch<'a> {
    /// Which rows of the rollout the minibatch holds.
    pub rows: &'a [i64],
    /// Returns \[rollout\].
    pub returns: &'a [f32],
    /// Values when the rollout was collected \[rollout\].
    pub old_values: &'a [f32],
    /// Present values \[rows\].
    pub values: &'a [f32],
    /// How far a value may move from the old one before its gain no longer counts.
    pub clip: Option<f32>,
}

/// Mean squared error of the values, the larger of the clipped and the plain one if `clip`; writes the gradient with respect to them \[rows\].
pub fn value_loss(batch: &ValueBatch<'_>, gradient: &mut [f32]) -> f32 {
    let share = 1.0 / batch.rows.len() as f32;
    let mut loss = 0.0_f64;
    for ((&row, &value), gradient) in batch.rows.iter().zip(batch.values).zip(gradient) {
        let target = batch.returns[row as usize];
        let error = value - target;
        let mut squared = error * error;
        let mut slope = 2.0 * error;
        if let Some(clip) = batch.clip {
            let old = batch.old_values[row as usize];
            let moved = value - old;
            let clipped_error = old + moved.clamp(-clip, clip) - target;
            if clipped_error * clipped_error > squared {
                squared = clipped_error * clipped_error;
                slope = if moved.abs() < clip {
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
