//! What computes and differentiates the networks: the trait, and its implementation on libtorch.

mod adam;
mod compute;
mod elementwise;
mod host_tensor;
mod layout;
mod network;
mod torch;

use std::ops::Range;

use policies::Linear;

use crate::distributed::LostWorker;
use crate::learner::{KnownInputs, NamedTensor, State};

pub(crate) use adam::adam_step;
pub use compute::precision_of;
pub(crate) use host_tensor::{elements, elements_mut, zeros};
pub(crate) use layout::{LayerSpan, spans};
pub(crate) use torch::Torch;

/// The networks of one worker and their optimizer: an actor whose outputs are the means of Gaussian actions, and critics of the same observations, the
/// first of rewards, the second, if there is one, of costs. The workers' parameters are the same bit for bit, since every optimizer step takes the mean
/// of their gradients.
///
/// It keeps the observations of a rollout, in whatever format it computes with; row `step * num_envs + env`.
pub(crate) trait Backend: Send {
    /// What the environments show now [num_envs, observation_dim].
    fn observations(&self) -> &[f32];

    /// For the environments to write what they show now [num_envs, observation_dim].
    fn observations_mut(&mut self) -> &mut [f32];

    /// Keeps what the environments show now as policy step `step` of the rollout.
    fn keep(&mut self, step: usize);

    /// Writes the mean actions [num_envs, action_dim] for what was kept of policy step `step`.
    fn act(&mut self, step: usize, means: &mut [f32]);

    /// Writes a critic's values of all that was kept [(steps + 1) * num_envs].
    fn values(&mut self, critic: usize, values: &mut [f32]);

    /// A critic's values \[rows\] of other observations [rows, observation_dim].
    fn values_of(&mut self, critic: usize, observations: &[f32]) -> Vec<f32>;

    /// Logarithm of the actions' standard deviation \[action_dim\].
    fn log_std(&self) -> &[f32];

    /// The most rows of a block.
    fn block_rows(&self) -> usize;

    /// Sets the gradients to zero, before the first block of a minibatch.
    fn clear_gradients(&mut self);

    /// Begins a block of a minibatch: these rows of the rollout.
    fn begin_block(&mut self, rows: &[i64]);

    /// Adds the actor's gradients over the block. `loss` is given the mean actions [rows, action_dim] and log_std; it writes its gradient with respect
    /// to the former, and adds that with respect to the latter.
    fn differentiate_actor<T>(
        &mut self,
        loss: impl FnOnce(&[f32], &[f32], &mut [f32], &mut [f32]) -> T,
    ) -> T;

    /// Adds a critic's gradients over the block. `loss` is given the values \[rows\] and writes its gradient with respect to them.
    fn differentiate_critic<T>(
        &mut self,
        critic: usize,
        loss: impl FnOnce(&[f32], &mut [f32]) -> T,
    ) -> T;

    /// Averages the gradients over all workers, and `statistics` with them. Returns the norms of the gradients of actor, critic, and critic of the
    /// costs, 0 where there is none.
    ///
    /// # Errors
    /// When another worker has stopped.
    fn average(&mut self, weight: f32, statistics: &mut Statistics) -> Result<Norms, LostWorker>;

    /// One step of the optimizer, with gradients no longer than `max_norms`; log_std stays within its bounds.
    fn step(&mut self, learning_rate: f32, max_norms: Norms, log_std: Range<f32>);

    /// Replaces `values` by their mean over all workers.
    ///
    /// # Errors
    /// When another worker has stopped.
    fn mean_over_workers(&self, values: &mut [f32]) -> Result<(), LostWorker>;

    /// Steps of the optimizer so far, and all parameters and moments.
    fn state(&self) -> (u64, Vec<NamedTensor>);

    /// Puts back a state that fits.
    fn restore(&mut self, state: &State);

    /// Takes over the networks of a learner that observed something else.
    ///
    /// # Errors
    /// What does not fit. Nothing is changed then.
    fn adopt(&mut self, old: &State, inputs: &KnownInputs) -> Result<(), String>;

    /// The actor's layers, input to output, with ELU after all but the last.
    fn actor_layers(&self) -> Vec<Linear>;

    /// Mean actions [rows, action_dim] for what the actor sees [rows, actor_dim].
    ///
    /// # Panics
    /// When `observations` is not a whole number of rows.
    fn mean_actions(&self, observations: &[f32]) -> Vec<f32>;
}

/// Of actor with log_std, critic, and critic of the costs.
pub(crate) type Norms = [f32; 3];

/// Means over a minibatch that are averaged with its gradients, so that it needs one all-reduce: surrogate loss, divergence, fraction clipped, loss of
/// the values, and of those of the costs.
pub(crate) type Statistics = [f32; 5];
