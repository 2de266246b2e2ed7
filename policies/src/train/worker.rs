//! One worker: its environments, its replica of the networks, its part of every rollout and minibatch.

use std::time::Instant;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::communicator::{Communicator, LostWorker, ThreadCommunicator};
use super::host_tensor::{elements, elements_mut, head, zeros};
use super::lagrangian::Lagrangian;
use super::loss::{PolicyBatch, ValueBatch, policy_loss, value_loss};
use super::model::{Model, ParameterLayout, STATISTICS};
use super::network::{Columns, Compute, Workspace};
use super::random::{Purpose, random_stream};
use super::rollout::{Rollout, Trajectories, estimate_advantages};
use crate::algorithm::{Algorithm, PpoConfig};
use crate::vec_env::{Done, Scalar, StepOut, StepTimes, VecEnv};

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

    /// Fills the rollout; returns how long the environments took, s.
    fn collect(&mut self, random: &mut Pcg64) -> f64 {
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

    /// Values of all observations of the rollout, then advantages and returns.
    fn evaluate(&mut self) {
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
    fn prepare(&mut self, share: f32, report: &mut WorkerReport) -> Result<(), LostWorker> {
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

    fn update(
        &mut self,
        plan: Plan,
        share: f32,
        report: &mut WorkerReport,
    ) -> Result<(), LostWorker> {
        let rows = self.rollout.done.len();
        let minibatches = self.config.minibatches;
        let mut random = random_stream(
            plan.seed,
            self.communicator.rank(),
            plan.iteration,
            Purpose::Minibatches,
        );
        for (i, row) in elements_mut::<i64>(&mut self.rollout.order)
            .iter_mut()
            .enumerate()
        {
            *row = i as i64;
        }
        let steps_after = plan.policy_steps + report.policy_steps;
        let bound = self.config.std_bound.at(steps_after);
        let log_std = self.config.min_std.ln()..bound.map_or(f32::INFINITY, f32::ln);
        // Once per rollout; on the processor they are there already.
        let observations = self.rollout.observations.to_device(self.compute.device);
        let mut counted = 0;
        for _ in 0..self.config.epochs {
            elements_mut::<i64>(&mut self.rollout.order).shuffle(&mut random);
            for minibatch in 0..minibatches {
                let begin = rows * minibatch / minibatches;
                let end = rows * (minibatch + 1) / minibatches;
                if begin == end {
                    continue;
                }
                let statistics = self.differentiate(&observations, begin, end, share)?;
                let [surrogate, kl, clipped, value_loss, cost_value_loss] = statistics;
                let norms = self.model.gradient_norms();
                if !statistics.iter().chain(&norms).all(|x| x.is_finite()) {
                    report.skipped += 1;
                    self.skipped_in_a_row += 1;
                    continue;
                }
                self.skipped_in_a_row = 0;
                self.learning_rate = adapted_rate(&self.config, self.learning_rate, kl);
                self.model
                    .step(norms, &self.config, self.learning_rate, log_std.clone());
                counted += 1;
                report.surrogate += surrogate;
                report.kl += kl;
                report.clipped += clipped;
                report.value_loss += value_loss;
                report.cost_value_loss += cost_value_loss;
                report.actor_gradient_norm += norms[0];
                report.critic_gradient_norm += norms[1];
            }
        }
        let inverse = 1.0 / counted.max(1) as f32;
        for sum in [
            &mut report.surrogate,
            &mut report.kl,
            &mut report.clipped,
            &mut report.value_loss,
            &mut report.cost_value_loss,
            &mut report.actor_gradient_norm,
            &mut report.critic_gradient_norm,
        ] {
            *sum *= inverse;
        }
        Ok(())
    }

    /// Gradients of all losses over the minibatch `order[begin..end]`, averaged over all workers, and the statistics with them.
    fn differentiate(
        &mut self,
        observations: &Tensor,
        begin: usize,
        end: usize,
        share: f32,
    ) -> Result<[f32; STATISTICS], LostWorker> {
        let rows = end - begin;
        let rollout = &self.rollout;
        let order = rollout.order.narrow(0, begin as i64, rows as i64);
        let input = head(&self.batch, rows);
        let device_order = order.to_device(self.compute.device);
        let _ = observations.index_select_out(&input, 0, &device_order);
        let order = elements::<i64>(&order);

        let means = head(&self.means, rows);
        let mut mean_gradient = head(&self.mean_gradient, rows);
        self.model.actor.forward(&input, &means, &mut self.work);
        let policy = policy_loss(
            &PolicyBatch {
                rows: order,
                actions: &rollout.actions,
                old_means: elements(&rollout.means),
                old_log_std: &rollout.log_std,
                advantages: &rollout.rewards.advantages,
                means: elements(&means),
                log_std: self.model.log_std(),
                clip: self.config.clip,
                entropy: self.config.entropy,
            },
            elements_mut(&mut mean_gradient),
            &mut self.log_std_gradient,
        );
        self.model
            .actor
            .backward(&input, &mean_gradient, &mut self.work);

        let values = head(&self.values, rows);
        let mut value_gradient = head(&self.value_gradient, rows);
        let mut value_losses = [0.0; 2];
        let signals = std::iter::once(&rollout.rewards).chain(&rollout.costs);
        for ((critic, signal), loss) in
            (self.model.critics.iter_mut().zip(signals)).zip(&mut value_losses)
        {
            critic.forward(&input, &values, &mut self.work);
            *loss = value_loss(
                &ValueBatch {
                    rows: order,
                    returns: &signal.returns,
                    old_values: elements(&signal.values),
                    values: elements(&values),
                    clip: self.config.value_clip.then_some(self.config.clip),
                },
                elements_mut(&mut value_gradient),
            );
            critic.backward(&input, &value_gradient, &mut self.work);
        }

        self.model.fetch_gradients();
        let (log_std, len) = (self.model.layout.log_std.clone(), self.model.layout.len());
        let gradients = self.model.gradients_mut();
        gradients[log_std].copy_from_slice(&self.log_std_gradient);
        gradients[len..].copy_from_slice(&[
            policy.surrogate,
            policy.kl,
            policy.clipped,
            value_losses[0],
            value_losses[1],
        ]);
        if share != 1.0 {
            gradients.iter_mut().for_each(|g| *g *= share);
        }
        self.communicator.all_reduce_mean(gradients)?;
        let mut statistics = [0.0; STATISTICS];
        statistics.copy_from_slice(&gradients[len..]);
        Ok(statistics)
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

/// The learning rate after a minibatch whose divergence was `kl`: a third less when more than twice the desired one, half more when less than half.
pub fn adapted_rate(config: &PpoConfig, rate: f32, kl: f32) -> f32 {
    if config.desired_kl == 0.0 {
        rate
    } else if kl > 2.0 * config.desired_kl {
        (rate / 1.5).max(config.learning_rate.min)
    } else if kl > 0.0 && kl < 0.5 * config.desired_kl {
        (rate * 1.5).min(config.learning_rate.max)
    } else {
        rate
    }
}
