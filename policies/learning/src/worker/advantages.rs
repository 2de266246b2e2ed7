//! What a collected rollout was worth: values, returns, advantages.

use tch::Tensor;

use super::{Worker, WorkerReport};
use crate::communicator::{Communicator, LostWorker, ThreadCommunicator};
use crate::host_tensor::{elements, head};
use crate::rollout::{Trajectories, estimate_advantages};

impl Worker {
    /// Values of all observations of the rollout, then advantages and returns.
    pub(super) fn evaluate(&mut self) {
        let (n, observation_dim) = (self.env.num_envs(), self.env.observation_dim());
        let rollout = &mut self.rollout;
        for reward in &mut rollout.rewards.given {
            *reward *= self.config.reward_scale;
        }
        let rows = rollout.done.len() + n;
        let chunk = self.batch.size()[0];
        let signals = std::iter::once(&mut rollout.rewards).chain(&mut rollout.costs);
        let lambdas = [self.config.lambda, self.config.lagrangian.cost_lambda];
        for ((signal, critic), lambda) in signals.zip(&self.model.critics).zip(lambdas) {
            for begin in (0..rows as i64).step_by(chunk as usize) {
                let len = chunk.min(rows as i64 - begin);
                let observations = rollout.observations.narrow(0, begin, len);
                critic.forward(
                    &observations,
                    &signal.values.narrow(0, begin, len),
                    &mut self.work,
                );
            }
            let mut terminal_values = Vec::with_capacity(rollout.timed_out.len());
            for (rows, observations) in (rollout.timed_out.chunks(chunk as usize)).zip(
                rollout
                    .timed_out_observations
                    .chunks(chunk as usize * observation_dim),
            ) {
                let observations = Tensor::from_slice(observations)
                    .view([rows.len() as i64, observation_dim as i64]);
                let input = head(&self.batch, rows.len());
                let _ = input.shallow_clone().zero_();
                self.columns.place(&observations, &input);
                let values = head(&self.values, rows.len());
                critic.forward(&input, &values, &mut self.work);
                terminal_values.extend(
                    rows.iter()
                        .copied()
                        .zip(elements::<f32>(&values).iter().copied()),
                );
            }
            let values = elements::<f32>(&signal.values);
            estimate_advantages(
                &Trajectories {
                    num_envs: n,
                    rewards: &signal.given,
                    done: &rollout.done,
                    values,
                    terminal_values: &terminal_values,
                },
                self.config.gamma,
                lambda,
                &mut signal.advantages,
            );
            for ((to_go, advantage), value) in signal
                .returns
                .iter_mut()
                .zip(&signal.advantages)
                .zip(values)
            {
                *to_go = advantage + value;
            }
        }
    }

    /// Bounds the costs, then normalizes the advantages over all workers; statistics of rewards, costs and values.
    pub(super) fn prepare(
        &mut self,
        share: f32,
        report: &mut WorkerReport,
    ) -> Result<(), LostWorker> {
        let rewards = &mut self.rollout.rewards;
        let communicator = &self.communicator;
        let mut reward = [share * mean(&rewards.given, f64::from)];
        communicator.all_reduce_mean(&mut reward)?;
        // The advantage is also what the values leave unexplained of the returns.
        let [mut advantage, (_, of_returns)] =
            moments(communicator, share, [&rewards.advantages, &rewards.returns])?;
        report.reward = reward[0] / self.config.reward_scale;
        report.explained_variance = 1.0 - advantage.1 / of_returns.max(f32::MIN_POSITIVE);
        if let (Some(lagrangian), Some(costs)) = (&mut self.lagrangian, &self.rollout.costs) {
            report.episode_cost = lagrangian.update(communicator)?;
            let scale = self.config.reward_scale;
            lagrangian.combine(scale, &mut rewards.advantages, &costs.advantages);
            [advantage] = moments(communicator, share, [&rewards.advantages])?;
        }
        let (mean, variance) = advantage;
        let inverse_std = 1.0 / (variance.sqrt() + 1e-8);
        for advantage in &mut rewards.advantages {
            *advantage = (*advantage - mean) * inverse_std;
        }
        Ok(())
    }
}

/// Mean and variance of each of `series` over all workers; `share` is the weight of this one.
fn moments<const N: usize>(
    communicator: &ThreadCommunicator,
    share: f32,
    series: [&[f32]; N],
) -> Result<[(f32, f32); N], LostWorker> {
    let mut means = series.map(|values| share * mean(values, f64::from));
    communicator.all_reduce_mean(&mut means)?;
    let mut variances: [_; N] = std::array::from_fn(|i| {
        share * mean(series[i], |value| f64::from(value - means[i]).powi(2))
    });
    communicator.all_reduce_mean(&mut variances)?;
    Ok(std::array::from_fn(|i| (means[i], variances[i])))
}

fn mean(values: &[f32], of: impl Fn(f32) -> f64) -> f32 {
    (values.iter().map(|&value| of(value)).sum::<f64>() / values.len() as f64) as f32
}
