//! The multiplier of PPO-Lagrangian (Ray et al., 2019): what a unit of cost is worth in reward, so that episodes cost no more than the limit.

use policies::training::{Done, LagrangianConfig};

use crate::distributed::LostWorker;

/// The multiplier, the same for all workers, and the costs of this worker's episodes.
pub(super) struct Lagrangian {
    config: LagrangianConfig,
    pub(super) multiplier: f32,
    /// Cost so far of the episode that each environment is in \[num_envs\].
    pub(super) episode_costs: Vec<f32>,
    /// Cost and number of the episodes that ended since the last update.
    ended: [f32; 2],
}

impl Lagrangian {
    pub(super) fn new(config: LagrangianConfig, num_envs: usize) -> Self {
        Self {
            config,
            multiplier: config.multiplier,
            episode_costs: vec![0.0; num_envs],
            ended: [0.0; 2],
        }
    }

    /// Adds the costs of a policy step \[num_envs\].
    pub(super) fn add(&mut self, costs: &[f32], done: &[Done]) {
        for ((sum, cost), done) in self.episode_costs.iter_mut().zip(costs).zip(done) {
            *sum += cost;
            if *done != Done::No {
                self.ended[0] += *sum;
                self.ended[1] += 1.0;
                *sum = 0.0;
            }
        }
    }

    /// Gradient ascent on the multiplier with the mean cost of the episodes that ended, over all workers; returns that mean. Where no episode
    /// ended, or a cost is not finite, the multiplier stays.
    pub(super) fn update(
        &mut self,
        mean_over_workers: impl FnOnce(&mut [f32]) -> Result<(), LostWorker>,
    ) -> Result<Option<f32>, LostWorker> {
        let mut ended = std::mem::take(&mut self.ended);
        mean_over_workers(&mut ended)?;
        let mean = ended[0] / ended[1];
        if !mean.is_finite() {
            return Ok(None);
        }
        let step = self.config.rate * (mean - self.config.cost_limit);
        self.multiplier = (self.multiplier + step).max(0.0);
        Ok(Some(mean))
    }

    /// Turns the advantages of rewards that were multiplied by `reward_scale` into those of the Lagrangian. They are normalized afterwards, so
    /// that the usual division by 1 + multiplier would change nothing.
    pub(super) fn combine(&self, reward_scale: f32, rewards: &mut [f32], costs: &[f32]) {
        for (advantage, cost) in rewards.iter_mut().zip(costs) {
            *advantage = *advantage / reward_scale - self.multiplier * cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributed::{Communicator, ThreadCommunicator};

    fn lagrangian() -> Lagrangian {
        let config = LagrangianConfig {
            multiplier: 0.5,
            rate: 0.1,
            cost_limit: 1.0,
            ..LagrangianConfig::default()
        };
        Lagrangian::new(config, 2)
    }

    #[test]
    fn the_multiplier_follows_the_mean_cost_of_whole_episodes_down_to_zero() {
        let alone = |_: &mut [f32]| Ok(());
        let mut lagrangian = lagrangian();
        lagrangian.add(&[1.0, 1.0], &[Done::No; 2]);
        // No episode has ended.
        assert_eq!(lagrangian.update(alone).unwrap(), None);
        assert_eq!(lagrangian.multiplier, 0.5);
        // The first one ends with 1 + 2, the second continues with 1 + 1.
        lagrangian.add(&[2.0, 1.0], &[Done::Terminated, Done::No]);
        assert_eq!(lagrangian.update(alone).unwrap(), Some(3.0));
        assert!((lagrangian.multiplier - 0.7).abs() < 1e-6);
        // 2 + 3, and 0 since the end of the first: a mean of 2.5.
        lagrangian.add(&[0.0, 3.0], &[Done::Timeout; 2]);
        assert_eq!(lagrangian.update(alone).unwrap(), Some(2.5));
        assert!((lagrangian.multiplier - 0.85).abs() < 1e-6);
        for _ in 0..10 {
            lagrangian.add(&[0.0, 0.0], &[Done::Timeout; 2]);
            lagrangian.update(alone).unwrap();
        }
        assert_eq!(lagrangian.multiplier, 0.0);
        lagrangian.add(&[f32::NAN, 0.0], &[Done::Timeout; 2]);
        assert_eq!(lagrangian.update(alone).unwrap(), None);
        assert_eq!(lagrangian.multiplier, 0.0);
    }

    #[test]
    fn workers_share_the_mean_over_all_of_their_episodes() {
        // One worker has three episodes of cost 0, the other one of cost 8: the mean is 2, not (0 + 8) / 2.
        let members = ThreadCommunicator::group(2);
        let course = |member: &ThreadCommunicator| {
            let mut lagrangian = lagrangian();
            if member.rank() == 0 {
                lagrangian.add(&[0.0; 2], &[Done::Timeout; 2]);
                lagrangian.add(&[0.0; 2], &[Done::Timeout, Done::No]);
            } else {
                lagrangian.add(&[0.0, 8.0], &[Done::No, Done::Terminated]);
            }
            let cost = lagrangian.update(|ended| member.all_reduce_mean(ended));
            (cost.unwrap(), lagrangian.multiplier)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = members
                .into_iter()
                .map(|member| scope.spawn(move || course(&member)))
                .collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), (Some(2.0), 0.6));
            }
        });
    }

    #[test]
    fn advantages_are_weighed_by_the_multiplier_in_unscaled_reward() {
        let mut advantages = [0.3, -0.1];
        lagrangian().combine(0.1, &mut advantages, &[2.0, -4.0]);
        // 3 - 0.5 * 2 and -1 + 0.5 * 4
        assert!((advantages[0] - 2.0).abs() < 1e-6, "{advantages:?}");
        assert!((advantages[1] - 1.0).abs() < 1e-6, "{advantages:?}");
    }
}
