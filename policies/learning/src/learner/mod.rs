//! The learner: workers and their iterations.

mod resume;
mod threads;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tch::Kind;

use super::communicator::{Communicator, ThreadCommunicator};
use super::compute::Compute;
use super::error::TrainError;
use super::report::{CostReport, IterationReport, merged};
use super::worker::{Measured, Plan, Worker};
use policies::Linear;
use policies::training::{PpoConfig, Precision};
use policies::training::{StepTimes, TimeShares, VecEnv};

pub use resume::{KnownInputs, Resumed};

/// Learning stops as diverged when all minibatches of this many iterations in a row had to be skipped.
const LOST_ITERATIONS: usize = 2;

/// PPO (Schulman et al., 2017) with data-parallel workers.
pub struct Learner {
    config: PpoConfig,
    seed: u64,
    iteration: u64,
    policy_steps: u64,
    workers: Vec<Worker>,
}

impl Learner {
    /// A learner with one worker thread for each of `envs`, which share the config's rollout: as many as there are cores is best.
    /// The result depends on the seed and on how the environments are divided, not on timing.
    ///
    /// # Errors
    /// When the config is out of range or the environments do not fit together.
    pub fn new(
        config: PpoConfig,
        envs: Vec<Box<dyn VecEnv>>,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let communicators = ThreadCommunicator::group(envs.len());
        Self::with_communicators(config, envs, seed, communicators)
    }

    /// As `new`, as one of several processes, each with the same number of environments; `processes` ties them together.
    ///
    /// # Errors
    /// As `new`.
    pub fn among_processes(
        config: PpoConfig,
        envs: Vec<Box<dyn VecEnv>>,
        seed: u64,
        processes: Box<dyn Communicator>,
    ) -> Result<Self, TrainError> {
        let communicators = ThreadCommunicator::group_within(envs.len(), processes);
        Self::with_communicators(config, envs, seed, communicators)
    }

    fn with_communicators(
        config: PpoConfig,
        envs: Vec<Box<dyn VecEnv>>,
        seed: u64,
        communicators: Vec<ThreadCommunicator>,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let Some(first) = envs.first() else {
            return Err(TrainError::Environments(
                "no environments to learn from".into(),
            ));
        };
        let dims_of = |env: &dyn VecEnv| (env.observation_dim(), env.actor_dim(), env.action_dim());
        let dims = dims_of(first.as_ref());
        for (index, env) in envs.iter().enumerate() {
            let (observations, seen, actions) = dims_of(env.as_ref());
            if (observations, seen, actions) != dims
                || env.num_envs() == 0
                || !(1..=observations).contains(&seen)
                || actions == 0
            {
                return Err(TrainError::Environments(format!(
                    "shard {index} has {} environments with {observations} observations, {seen} of them for the actor, and {actions} actions, \
                     must have at least one, with {}, {} and {} like shard 0",
                    env.num_envs(),
                    dims.0,
                    dims.1,
                    dims.2
                )));
            }
        }
        let compute = Compute::new(&config)?;
        tch::set_num_threads(1);
        let workers = envs
            .into_iter()
            .zip(communicators)
            .map(|(env, communicator)| Worker::new(&config, compute, env, communicator, seed))
            .collect();
        Ok(Self {
            config,
            seed,
            iteration: 0,
            policy_steps: 0,
            workers,
        })
    }

    /// The algorithm's config.
    #[must_use]
    pub fn config(&self) -> &PpoConfig {
        &self.config
    }

    /// Index of this process among those that learn together.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.workers[0].communicator.rank() / self.workers.len()
    }

    /// Number format of the networks' products on this machine, never `Auto`.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match self.workers[0].model.compute().kind {
            Kind::BFloat16 => Precision::Bf16,
            _ => Precision::F32,
        }
    }

    /// Iterations done.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// Policy steps done over all environments.
    #[must_use]
    pub fn policy_steps(&self) -> u64 {
        self.policy_steps
    }

    /// Iterates until the config's policy steps are done, or `stop` is set or `observer` breaks in any of the processes. With `checkpoints`, a
    /// folder that all processes see, it saves there at the config's interval and at the end.
    ///
    /// # Errors
    /// When learning diverges, a worker fails or a checkpoint cannot be written; earlier checkpoints stay.
    pub fn run(
        &mut self,
        checkpoints: Option<&Path>,
        stop: &AtomicBool,
        mut observer: impl FnMut(&Self, &IterationReport) -> ControlFlow<()>,
    ) -> Result<(), TrainError> {
        let mut saved = None;
        let mut go_on = true;
        while self.policy_steps < self.config.total_policy_steps
            && self.agree(go_on && !stop.load(Ordering::Relaxed))?
        {
            let report = self.iterate()?;
            if let Some(folder) = checkpoints
                && self
                    .iteration
                    .is_multiple_of(self.config.checkpoint_interval)
            {
                self.save(folder)?;
                saved = Some(self.iteration);
            }
            go_on = observer(self, &report).is_continue();
        }
        if let Some(folder) = checkpoints
            && saved != Some(self.iteration)
        {
            self.save(folder)?;
        }
        Ok(())
    }

    /// Whether all processes are `ok`. Every process asks at the same place between two iterations.
    ///
    /// # Errors
    /// When another process has stopped.
    pub fn agree(&self, ok: bool) -> Result<bool, TrainError> {
        Ok(self.workers[0].communicator.agree(ok)?)
    }

    /// Collects one rollout and learns from it.
    ///
    /// # Errors
    /// When learning has diverged or a worker has failed. After a failed worker the learner is of no more use.
    pub fn iterate(&mut self) -> Result<IterationReport, TrainError> {
        let begin = Instant::now();
        let plan = self.next();
        let reports = threads::iterate(&mut self.workers, plan)?;
        let first = &reports[0];
        self.iteration += 1;
        self.policy_steps += first.policy_steps;

        let worker = &self.workers[0];
        let limit = LOST_ITERATIONS * self.config.epochs * self.config.minibatches;
        if worker.skipped_in_a_row as usize >= limit {
            return Err(TrainError::Diverged {
                iteration: self.iteration,
                skipped: worker.skipped_in_a_row,
            });
        }
        let log_std = worker.model.log_std();
        let entropy_of_unit = 0.5 * (1.0 + (2.0 * std::f32::consts::PI).ln());
        let sum = |of: fn(&Measured) -> f64| first.measured.iter().map(of).sum::<f64>();
        let (collect_s, update_s) = (sum(|m| m.collect_s), sum(|m| m.update_s));
        let step_s = sum(|m| m.step_s);
        let step = StepTimes {
            physics_s: sum(|m| m.step.physics_s),
            rays_s: sum(|m| m.step.rays_s),
            rewards_s: sum(|m| m.step.rewards_s),
        };
        Ok(IterationReport {
            iteration: self.iteration,
            policy_steps: self.policy_steps,
            steps_per_s: first.policy_steps as f64 / begin.elapsed().as_secs_f64(),
            collect_share: collect_s / (collect_s + update_s),
            time_shares: TimeShares::new(&step, step_s, collect_s - step_s, update_s),
            reward: first.reward,
            learning_rate: worker.learning_rate,
            kl: first.kl,
            std: log_std.iter().map(|l| l.exp()).sum::<f32>() / log_std.len() as f32,
            entropy: log_std.iter().map(|l| l + entropy_of_unit).sum(),
            surrogate_loss: first.surrogate,
            value_loss: first.value_loss,
            costs: (worker.lagrangian.as_ref()).map(|lagrangian| CostReport {
                multiplier: lagrangian.multiplier,
                episode_cost: first.episode_cost,
                value_loss: first.cost_value_loss,
            }),
            explained_variance: first.explained_variance,
            clip_fraction: first.clipped,
            actor_gradient_norm: first.actor_gradient_norm,
            critic_gradient_norm: first.critic_gradient_norm,
            skipped_minibatches: first.skipped,
            scalars: merged(first.measured.iter().flat_map(|m| &m.log)),
        })
    }

    fn next(&self) -> Plan {
        Plan {
            seed: self.seed,
            iteration: self.iteration,
            policy_steps: self.policy_steps,
        }
    }

    /// The actor's layers, input to output, with ELU after all but the last: what a bundle stores.
    #[must_use]
    pub fn actor_layers(&self) -> Vec<Linear> {
        self.workers[0].model.actor_layers()
    }

    /// Mean actions [rows, action_dim] for what the actor sees [rows, actor_dim], as the learner computes them.
    ///
    /// # Panics
    /// When `observations` is not a whole number of rows.
    #[must_use]
    pub fn mean_actions(&self, observations: &[f32]) -> Vec<f32> {
        self.workers[0]
            .model
            .mean_actions(&self.config.hidden, observations)
    }
}
