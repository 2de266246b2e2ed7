//! One worker: its environments, its replica of the networks, its part of every rollout and minibatch.

mod advantages;
mod collect;
mod update;

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::communicator::{Communicator, LostWorker, ThreadCommunicator};
use super::compute::Compute;
use super::host_tensor::{elements, elements_mut, zeros};
use super::lagrangian::Lagrangian;
use super::model::{Model, ParameterLayout};
use super::network::{Columns, Workspace};
use super::random::{Purpose, random_stream};
use super::rollout::Rollout;
use policies::training::{Algorithm, PpoConfig};
use policies::training::{Scalar, StepTimes, VecEnv};

pub use update::adapted_rate;

/// What is the same for all workers in an iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) iteration: u64,
    /// Before the iteration, over all environments.
    pub(super) policy_steps: u64,
}

/// What one worker measured in an iteration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) collect_s: f64,
    /// In the environments, and where there.
    pub(super) step_s: f64,
    pub(super) step: StepTimes,
    pub(super) update_s: f64,
    pub(super) log: Vec<Scalar>,
}

/// Statistics of an iteration, the same for all workers.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerReport {
    pub(super) policy_steps: u64,
    pub(super) reward: f32,
    pub(super) explained_variance: f32,
    /// Of the episodes that ended, if costs are bounded and any did.
    pub(super) episode_cost: Option<f32>,
    /// Means over the minibatches that were not skipped.
    pub(super) surrogate: f32,
    pub(super) kl: f32,
    pub(super) clipped: f32,
    pub(super) value_loss: f32,
    /// 0 where costs are not bounded.
    pub(super) cost_value_loss: f32,
    pub(super) actor_gradient_norm: f32,
    pub(super) critic_gradient_norm: f32,
    pub(super) skipped: u32,
    /// By each worker, over all processes.
    pub(super) measured: Vec<Measured>,
}

pub(super) struct Worker {
    pub(super) env: Box<dyn VecEnv>,
    pub(super) communicator: ThreadCommunicator,
    pub(super) model: Model,
    pub(super) learning_rate: f32,
    /// If costs are bounded.
    pub(super) lagrangian: Option<Lagrangian>,
    /// Minibatches skipped since the last one that was not.
    pub(super) skipped_in_a_row: u32,
    config: PpoConfig,
    pub(super) columns: Columns,
    compute: Compute,
    rollout: Rollout,
    work: Workspace,
    /// Observations of a minibatch [minibatch, stride], on the device.
    batch: Tensor,
    /// Outputs and their gradients [minibatch, action_dim], [minibatch, 1].
    means: Tensor,
    mean_gradient: Tensor,
    values: Tensor,
    value_gradient: Tensor,
    log_std_gradient: Vec<f32>,
}

impl Worker {
    pub(super) fn new(
        config: &PpoConfig,
        compute: Compute,
        env: Box<dyn VecEnv>,
        communicator: ThreadCommunicator,
        seed: u64,
    ) -> Self {
        let (n, action_dim) = (env.num_envs(), env.action_dim());
        let columns = Columns {
            actor: env.actor_dim(),
            observation: env.observation_dim(),
        };
        let steps = config.steps_per_rollout;
        let rows = steps * n;
        let minibatch = rows.div_ceil(config.minibatches);
        let has_costs = config.name == Algorithm::PpoLagrangian;
        let layout = ParameterLayout::new(columns, &config.hidden, action_dim, has_costs);
        let kind = compute.kind;
        let mut model = Model::new(layout, compute);
        model.initialize(config, &mut random_stream(seed, 0, 0, Purpose::Parameters));
        let mut worker = Self {
            communicator,
            model,
            learning_rate: config.learning_rate.start,
            lagrangian: has_costs.then(|| Lagrangian::new(config.lagrangian, n)),
            skipped_in_a_row: 0,
            rollout: Rollout::new(n, steps, columns, action_dim, has_costs, kind),
            work: Workspace::new(minibatch.max(n), &config.hidden, compute),
            batch: compute.zeros(&[minibatch, columns.stride()], kind),
            columns,
            compute,
            means: zeros(&[minibatch, action_dim], Kind::Float),
            mean_gradient: zeros(&[minibatch, action_dim], Kind::Float),
            values: zeros(&[minibatch, 1], Kind::Float),
            value_gradient: zeros(&[minibatch, 1], Kind::Float),
            log_std_gradient: vec![0.0; action_dim],
            config: config.clone(),
            env,
        };
        worker
            .env
            .observe(elements_mut(&mut worker.rollout.observed));
        worker
    }

    /// What the next iteration begins with: observations [num_envs, observation_dim] and, if costs are bounded, those of the episodes
    /// under way \[num_envs\].
    pub(super) fn carried(&self) -> Vec<f32> {
        let costs = self.lagrangian.iter().flat_map(|l| &l.episode_costs);
        let observed = elements::<f32>(&self.rollout.observed).iter();
        observed.chain(costs).copied().collect()
    }

    /// Puts back what `carried` returned.
    pub(super) fn restore(&mut self, carried: &[f32]) {
        let observed = elements_mut(&mut self.rollout.observed);
        let (observations, costs) = carried.split_at(observed.len());
        observed.copy_from_slice(observations);
        if let Some(lagrangian) = &mut self.lagrangian {
            lagrangian.episode_costs.copy_from_slice(costs);
        }
    }

    /// Collects one rollout and learns from it.
    pub(super) fn iterate(&mut self, plan: Plan) -> Result<WorkerReport, LostWorker> {
        let mut report = WorkerReport::default();
        let begin = Instant::now();
        let n = self.env.num_envs();
        let mut mean_envs = [n as f32];
        self.communicator.all_reduce_mean(&mut mean_envs)?;
        let all_envs = (f64::from(mean_envs[0]) * self.communicator.size() as f64).round() as u64;
        // A worker with more environments counts more.
        let share = n as f32 / mean_envs[0];
        report.policy_steps = all_envs * self.config.steps_per_rollout as u64;

        self.env.set_progress(plan.policy_steps / all_envs);
        let step_s = self.collect(&mut random_stream(
            plan.seed,
            self.communicator.rank(),
            plan.iteration,
            Purpose::Actions,
        ));
        let mut measured = Measured {
            log: self.env.take_log(),
            step: self.env.take_times(),
            step_s,
            collect_s: begin.elapsed().as_secs_f64(),
            update_s: 0.0,
        };

        let begin = Instant::now();
        self.evaluate();
        self.prepare(share, &mut report)?;
        self.update(plan, share, &mut report)?;
        measured.update_s = begin.elapsed().as_secs_f64();
        report.measured = self.gather(&measured)?;
        Ok(report)
    }

    fn gather(&self, own: &Measured) -> Result<Vec<Measured>, LostWorker> {
        // Plain data of this program: neither can fail.
        let bytes = postcard::to_stdvec(own).unwrap_or_default();
        let all = self.communicator.all_gather(&bytes)?;
        let read = |bytes: &Vec<u8>| postcard::from_bytes(bytes).unwrap_or_default();
        Ok(all.iter().map(read).collect())
    }
}
