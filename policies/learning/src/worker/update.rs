//! What a worker learns from its rollout, minibatch by minibatch.

use rand::seq::SliceRandom;
use tch::Tensor;

use super::{Plan, Worker, WorkerReport};
use crate::communicator::{Communicator, LostWorker};
use crate::host_tensor::{elements, elements_mut, head};
use crate::loss::{PolicyBatch, ValueBatch, policy_loss, value_loss};
use crate::model::STATISTICS;
use crate::random::{Purpose, random_stream};
use policies::training::PpoConfig;

impl Worker {
    /// Passes over the rollout; means of their statistics.
    pub(super) fn update(
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
