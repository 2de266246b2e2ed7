//! Proximal policy optimization (Schulman et al., 2017), as one worker does it: collect a rollout, estimate advantages (Schulman et al., 2016), take
//! clipped gradient steps, minibatch by minibatch. How networks are computed, differentiated and averaged is the [`Backend`]'s.
//!
//! [`losses`] has the formulas, this file their order.

mod average;
mod lagrangian;
mod losses;
#[cfg(test)]
mod tests;

use std::iter::once;
use std::ops::Range;

use policies::Linear;
use policies::training::{Algorithm, Done, PpoConfig, StepOut, VecEnv};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

use crate::backend::{Backend, Norms, Statistics};
use crate::distributed::LostWorker;
use crate::learner::{Iteration, KnownInputs, Learner, Purpose, State, Update};

use average::WeightAverage;
use lagrangian::Lagrangian;
use losses::{Rollout, Signal};

/// Learning has diverged when all minibatches of this many iterations in a row had to be skipped.
const LOST_ITERATIONS: usize = 2;

/// PPO, or PPO-Lagrangian where costs are bounded.
pub(crate) struct Ppo<B> {
    config: PpoConfig,
    backend: B,
    rollout: Rollout,
    learning_rate: f32,
    /// If costs are bounded.
    lagrangian: Option<Lagrangian>,
    /// Of the actor's weights, if that is what is exported.
    average: Option<WeightAverage>,
    /// Minibatches skipped since the last one that was not.
    skipped_in_a_row: u32,
}

impl<B: Backend> Ppo<B> {
    pub(crate) fn new(config: &PpoConfig, mut backend: B, env: &mut dyn VecEnv) -> Self {
        let (n, action_dim) = (env.num_envs(), env.action_dim());
        let rows = n * config.steps_per_rollout;
        let has_costs = config.name == Algorithm::PpoLagrangian;
        let signal = || Signal {
            rewards: vec![0.0; rows],
            values: vec![0.0; rows + n],
            advantages: vec![0.0; rows],
            returns: vec![0.0; rows],
        };
        env.observe(backend.observations_mut());
        Self {
            rollout: Rollout {
                num_envs: n,
                means: vec![0.0; rows * action_dim],
                log_std: vec![0.0; action_dim],
                actions: vec![0.0; rows * action_dim],
                rewards: signal(),
                costs: has_costs.then(signal),
                done: vec![Done::No; rows],
                terminal: vec![0.0; n * env.observation_dim()],
                timeouts: Vec::new(),
                timeout_observations: Vec::new(),
                order: Vec::new(),
            },
            learning_rate: config.learning_rate.start,
            lagrangian: has_costs.then(|| Lagrangian::new(config.lagrangian, n)),
            average: WeightAverage::new(config.averaged_iterations, || backend.actor_layers()),
            skipped_in_a_row: 0,
            config: config.clone(),
            backend,
        }
    }
}

impl<B: Backend> Learner for Ppo<B> {
    fn collect(&mut self, env: &mut dyn VecEnv, random: &mut Pcg64) {
        let Self {
            rollout, backend, ..
        } = self;
        let (n, action_dim, observation_dim) =
            (env.num_envs(), env.action_dim(), env.observation_dim());
        rollout.log_std.copy_from_slice(backend.log_std());
        let std: Vec<f32> = rollout.log_std.iter().map(|l| l.exp()).collect();
        rollout.timeouts.clear();
        rollout.timeout_observations.clear();
        backend.keep(0);
        for step in 0..self.config.steps_per_rollout {
            let rows = step * n..(step + 1) * n;
            let elements = rows.start * action_dim..rows.end * action_dim;
            let means = &mut rollout.means[elements.clone()];
            let actions = &mut rollout.actions[elements];
            backend.act(step, means);
            for ((action, mean), std) in actions.iter_mut().zip(means).zip(std.iter().cycle()) {
                *action = *mean + std * random.sample::<f32, _>(StandardNormal);
            }
            env.step(
                actions,
                StepOut {
                    observations: backend.observations_mut(),
                    rewards: &mut rollout.rewards.rewards[rows.clone()],
                    costs: (rollout.costs.as_mut()).map(|costs| &mut costs.rewards[rows.clone()]),
                    done: &mut rollout.done[rows.clone()],
                    terminal_observations: &mut rollout.terminal,
                },
            );
            if let (Some(lagrangian), Some(costs)) = (&mut self.lagrangian, &rollout.costs) {
                lagrangian.add(&costs.rewards[rows.clone()], &rollout.done[rows.clone()]);
            }
            for (row, terminal) in rows.zip(rollout.terminal.chunks_exact(observation_dim)) {
                if rollout.done[row] == Done::Timeout {
                    rollout.timeouts.push(row);
                    rollout.timeout_observations.extend_from_slice(terminal);
                }
            }
            backend.keep(step + 1);
        }
    }

    fn update(&mut self, iteration: &Iteration) -> Result<Update, LostWorker> {
        let mut report = Report::default();
        self.estimate_advantages();
        self.normalize_advantages(iteration.weight, &mut report)?;
        self.optimize(iteration, &mut report)?;
        if let Some(average) = &mut self.average {
            average.add(&self.backend.actor_layers());
        }
        let limit = LOST_ITERATIONS * self.config.epochs * self.config.minibatches;
        let skipped = self.skipped_in_a_row;
        Ok(Update {
            scalars: self.scalars(&report),
            diverged: (skipped as usize >= limit).then_some(skipped),
        })
    }

    /// Observations [num_envs, observation_dim] and, if costs are bounded, those of the episodes under way \[num_envs\].
    fn carried(&self) -> Vec<f32> {
        let costs = self.lagrangian.iter().flat_map(|l| &l.episode_costs);
        let observations = self.backend.observations().iter();
        observations.chain(costs).copied().collect()
    }

    fn restore_carried(&mut self, carried: &[f32]) {
        let observations = self.backend.observations_mut();
        let (carried, costs) = carried.split_at(observations.len());
        observations.copy_from_slice(carried);
        if let Some(lagrangian) = &mut self.lagrangian {
            lagrangian.episode_costs.copy_from_slice(costs);
        }
    }

    fn state(&self) -> State {
        let (optimizer_steps, mut tensors) = self.backend.state();
        tensors.extend(self.average.iter().flat_map(WeightAverage::tensors));
        State {
            learning_rate: self.learning_rate,
            multiplier: self.lagrangian.as_ref().map(|l| l.multiplier),
            optimizer_steps,
            tensors,
        }
    }

    fn restore(&mut self, state: &State) {
        self.backend.restore(state);
        self.learning_rate = state.learning_rate;
        if let Some(average) = &mut self.average {
            average.restore(state, self.backend.actor_layers());
        }
        if let (Some(lagrangian), Some(multiplier)) = (&mut self.lagrangian, state.multiplier) {
            lagrangian.multiplier = multiplier;
        }
    }

    fn adopt(&mut self, old: &State, inputs: &KnownInputs) -> Result<(), String> {
        self.backend.adopt(old, inputs)?;
        let layers = || self.backend.actor_layers();
        self.average = WeightAverage::new(self.config.averaged_iterations, layers);
        Ok(())
    }

    fn actor_layers(&self) -> Vec<Linear> {
        let average = self.average.as_ref().map(WeightAverage::layers);
        average.unwrap_or_else(|| self.backend.actor_layers())
    }

    fn mean_actions(&self, observations: &[f32]) -> Vec<f32> {
        self.backend.mean_actions(observations)
    }
}

impl<B: Backend> Ppo<B> {
    /// Values, then advantages and returns, of rewards and of costs.
    fn estimate_advantages(&mut self) {
        let Self {
            rollout,
            backend,
            config,
            ..
        } = self;
        for reward in &mut rollout.rewards.rewards {
            *reward *= config.reward_scale;
        }
        let signals = once(&mut rollout.rewards).chain(&mut rollout.costs);
        let lambdas = [config.lambda, config.lagrangian.cost_lambda];
        for ((critic, signal), lambda) in signals.enumerate().zip(lambdas) {
            backend.values(critic, &mut signal.values);
            let values = backend.values_of(critic, &rollout.timeout_observations);
            let timeouts: Vec<_> = rollout.timeouts.iter().copied().zip(values).collect();
            signal.estimate(
                &rollout.done,
                &timeouts,
                rollout.num_envs,
                config.gamma,
                lambda,
            );
        }
    }

    /// Bounds the costs, then normalizes the advantages over all workers.
    fn normalize_advantages(&mut self, weight: f32, report: &mut Report) -> Result<(), LostWorker> {
        let (backend, rewards) = (&self.backend, &mut self.rollout.rewards);
        let mut reward = [weight * mean(&rewards.rewards, f64::from)];
        backend.mean_over_workers(&mut reward)?;
        // The advantage is also what the values leave unexplained of the returns.
        let [mut advantage, (_, of_returns)] =
            moments(backend, weight, [&rewards.advantages, &rewards.returns])?;
        report.reward = reward[0] / self.config.reward_scale;
        report.explained_variance = 1.0 - advantage.1 / of_returns.max(f32::MIN_POSITIVE);
        if let (Some(lagrangian), Some(costs)) = (&mut self.lagrangian, &self.rollout.costs) {
            report.episode_cost = lagrangian.update(|ended| backend.mean_over_workers(ended))?;
            let scale = self.config.reward_scale;
            lagrangian.combine(scale, &mut rewards.advantages, &costs.advantages);
            [advantage] = moments(backend, weight, [&rewards.advantages])?;
        }
        let (mean, variance) = advantage;
        let inverse_std = 1.0 / (variance.sqrt() + 1e-8);
        for advantage in &mut rewards.advantages {
            *advantage = (*advantage - mean) * inverse_std;
        }
        Ok(())
    }

    /// Passes over the rollout, one optimizer step per minibatch.
    fn optimize(&mut self, iteration: &Iteration, report: &mut Report) -> Result<(), LostWorker> {
        let (rows, minibatches) = (self.rollout.done.len(), self.config.minibatches);
        let random = &mut iteration.random(Purpose::Minibatches);
        let bound = self.config.std_bound.at(iteration.policy_steps_after);
        let log_std = self.config.min_std.ln()..bound.map_or(f32::INFINITY, f32::ln);
        let max_norms = [
            self.config.actor_gradient_norm,
            self.config.critic_gradient_norm,
            self.config.critic_gradient_norm,
        ];
        self.rollout.order.clear();
        self.rollout.order.extend(0..rows as i64);
        for _ in 0..self.config.epochs {
            self.rollout.order.shuffle(random);
            for minibatch in 0..minibatches {
                let rows = rows * minibatch / minibatches..rows * (minibatch + 1) / minibatches;
                if rows.is_empty() {
                    continue;
                }
                let (statistics, norms) = self.differentiate(rows, iteration.weight)?;
                if !statistics.iter().chain(&norms).all(|x| x.is_finite()) {
                    report.skipped += 1;
                    self.skipped_in_a_row += 1;
                    continue;
                }
                self.skipped_in_a_row = 0;
                let [_, kl, ..] = statistics;
                self.learning_rate = adapted_rate(&self.config, self.learning_rate, kl);
                self.backend
                    .step(self.learning_rate, max_norms, log_std.clone());
                report.add(&statistics, &norms);
            }
        }
        Ok(())
    }

    /// Gradients of all losses over the minibatch `order[rows]`, averaged over all workers.
    fn differentiate(
        &mut self,
        rows: Range<usize>,
        weight: f32,
    ) -> Result<(Statistics, Norms), LostWorker> {
        let Self {
            rollout,
            config,
            backend,
            ..
        } = self;
        let rows = &rollout.order[rows];
        let share = 1.0 / rows.len() as f32;
        let clip = config.value_clip.then_some(config.clip);
        let mut statistics = Statistics::default();
        backend.clear_gradients();
        for rows in rows.chunks(backend.block_rows()) {
            backend.begin_block(rows);
            let policy =
                backend.differentiate_actor(|means, log_std, means_gradient, std_gradient| {
                    let gradients = (means_gradient, std_gradient);
                    rollout.policy_loss((rows, share), config, (means, log_std), gradients)
                });
            let (of_policy, of_values) = statistics.split_at_mut(policy.len());
            for (sum, part) in of_policy.iter_mut().zip(policy) {
                *sum += part;
            }
            let signals = once(&rollout.rewards).chain(&rollout.costs);
            for ((critic, signal), sum) in signals.enumerate().zip(of_values) {
                *sum += backend.differentiate_critic(critic, |values, gradient| {
                    signal.value_loss((rows, share), clip, values, gradient)
                });
            }
        }
        let norms = self.backend.average(weight, &mut statistics)?;
        Ok((statistics, norms))
    }
}

/// The learning rate after a minibatch whose divergence was `kl`: a third less when more than twice the desired one, half more when less than half.
fn adapted_rate(config: &PpoConfig, rate: f32, kl: f32) -> f32 {
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

/// Mean and variance of each of `series` over all workers; `weight` is that of this one.
fn moments<const N: usize>(
    backend: &impl Backend,
    weight: f32,
    series: [&[f32]; N],
) -> Result<[(f32, f32); N], LostWorker> {
    let mut means = series.map(|values| weight * mean(values, f64::from));
    backend.mean_over_workers(&mut means)?;
    let mut variances: [_; N] = std::array::from_fn(|i| {
        weight * mean(series[i], |value| f64::from(value - means[i]).powi(2))
    });
    backend.mean_over_workers(&mut variances)?;
    Ok(std::array::from_fn(|i| (means[i], variances[i])))
}

fn mean(values: &[f32], of: impl Fn(f32) -> f64) -> f32 {
    (values.iter().map(|&value| of(value)).sum::<f64>() / values.len() as f64) as f32
}

/// What an update measures.
#[derive(Default)]
struct Report {
    /// Mean per policy step, unscaled.
    reward: f32,
    /// Fraction of the variance of the returns that the values explain.
    explained_variance: f32,
    /// Mean over the episodes that ended, if costs are bounded and any did.
    episode_cost: Option<f32>,
    /// Sums over the minibatches that were not skipped.
    statistics: Statistics,
    norms: Norms,
    minibatches: u32,
    skipped: u32,
}

impl Report {
    fn add(&mut self, statistics: &Statistics, norms: &Norms) {
        self.minibatches += 1;
        let sums = self.statistics.iter_mut().chain(&mut self.norms);
        for (sum, value) in sums.zip(statistics.iter().chain(norms)) {
            *sum += value;
        }
    }
}

impl<B: Backend> Ppo<B> {
    /// Named numbers of an update, in the order in which they are shown.
    fn scalars(&self, report: &Report) -> Vec<(&'static str, f64)> {
        let inverse = 1.0 / report.minibatches.max(1) as f32;
        let [
            surrogate_loss,
            kl,
            clip_fraction,
            value_loss,
            cost_value_loss,
        ] = report.statistics.map(|sum| sum * inverse);
        let [actor_norm, critic_norm, _] = report.norms.map(|sum| sum * inverse);
        let log_std = self.backend.log_std();
        let entropy_of_unit = 0.5 * (1.0 + (2.0 * std::f32::consts::PI).ln());
        let mut scalars = vec![
            ("reward", report.reward),
            ("learning_rate", self.learning_rate),
            ("kl", kl),
            (
                "std",
                log_std.iter().map(|l| l.exp()).sum::<f32>() / log_std.len() as f32,
            ),
            ("entropy", log_std.iter().map(|l| l + entropy_of_unit).sum()),
            ("surrogate_loss", surrogate_loss),
            ("value_loss", value_loss),
            ("explained_variance", report.explained_variance),
            ("clip_fraction", clip_fraction),
            ("actor_gradient_norm", actor_norm),
            ("critic_gradient_norm", critic_norm),
            ("skipped_minibatches", report.skipped as f32),
        ];
        if let Some(lagrangian) = &self.lagrangian {
            scalars.push(("multiplier", lagrangian.multiplier));
            scalars.push(("cost_value_loss", cost_value_loss));
            scalars.extend(report.episode_cost.map(|cost| ("cost", cost)));
        }
        let scalars = scalars.into_iter();
        scalars.map(|(name, value)| (name, value.into())).collect()
    }
}
