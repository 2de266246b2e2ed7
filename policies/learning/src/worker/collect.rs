//! What a worker's environments go through under its policy.

use std::time::Instant;

use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use tch::Tensor;

use super::Worker;
use crate::host_tensor::{elements, elements_mut};
use policies::training::{Done, StepOut};

impl Worker {
    /// Fills the rollout; returns how long the environments took, s.
    pub(super) fn collect(&mut self, random: &mut Pcg64) -> f64 {
        let mut step_s = 0.0;
        let (n, observation_dim, action_dim) = (
            self.env.num_envs(),
            self.env.observation_dim(),
            self.env.action_dim(),
        );
        let rollout = &mut self.rollout;
        rollout.log_std.copy_from_slice(self.model.log_std());
        let std: Vec<f32> = rollout.log_std.iter().map(|l| l.exp()).collect();
        rollout.timed_out.clear();
        rollout.timed_out_observations.clear();
        let rows_of = |tensor: &Tensor, step: usize| tensor.narrow(0, (step * n) as i64, n as i64);
        let columns = self.columns;
        columns.place(&rollout.observed, &rows_of(&rollout.observations, 0));
        for step in 0..self.config.steps_per_rollout {
            let means = rows_of(&rollout.means, step);
            self.model.actor.forward(
                &rows_of(&rollout.observations, step),
                &means,
                &mut self.work,
            );
            let actions = &mut rollout.actions[step * n * action_dim..][..n * action_dim];
            for (actions, means) in actions
                .chunks_exact_mut(action_dim)
                .zip(elements::<f32>(&means).chunks_exact(action_dim))
            {
                for ((action, mean), std) in actions.iter_mut().zip(means).zip(&std) {
                    *action = mean + std * random.sample::<f32, _>(StandardNormal);
                }
            }
            let rows = step * n..(step + 1) * n;
            let begin = Instant::now();
            self.env.step(
                actions,
                StepOut {
                    observations: elements_mut(&mut rollout.observed),
                    rewards: &mut rollout.rewards.given[rows.clone()],
                    costs: (rollout.costs.as_mut()).map(|costs| &mut costs.given[rows.clone()]),
                    done: &mut rollout.done[rows.clone()],
                    terminal_observations: &mut rollout.terminal,
                },
            );
            step_s += begin.elapsed().as_secs_f64();
            if let (Some(lagrangian), Some(costs)) = (&mut self.lagrangian, &rollout.costs) {
                lagrangian.add(&costs.given[rows.clone()], &rollout.done[rows.clone()]);
            }
            for (row, terminal) in rows.zip(rollout.terminal.chunks_exact(observation_dim)) {
                if rollout.done[row] == Done::TimedOut {
                    rollout.timed_out.push(row);
                    rollout.timed_out_observations.extend_from_slice(terminal);
                }
            }
            let next = rows_of(&rollout.observations, step + 1);
            columns.place(&rollout.observed, &next);
        }
        step_s
    }
}
