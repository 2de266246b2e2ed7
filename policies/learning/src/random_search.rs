//! Augmented random search (Mania et al., 2018): a linear policy, moved along random directions by how much better they did than their opposites.

use std::sync::Arc;

use policies::Linear;
use policies::training::{Done, PpoConfig, StepOut, VecEnv};
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

use crate::distributed::{Communicator, LostWorker, ThreadCommunicator};
use crate::learner::{Iteration, KnownInputs, Learner, NamedTensor, State, Update};

/// Two environments in turn walk along one direction, forwards and backwards. The length of a direction is the configured standard deviation, the
/// step that of the learning rate.
pub(crate) struct RandomSearch {
    config: PpoConfig,
    communicator: Arc<ThreadCommunicator>,
    /// Weights [action_dim, actor_dim].
    weight: Vec<f32>,
    /// Directions [num_envs / 2, action_dim, actor_dim].
    directions: Vec<f32>,
    /// Sum of the rewards of the rollout \[num_envs\].
    returns: Vec<f32>,
    observations: Vec<f32>,
    actor_dim: usize,
    updates: u64,
}

impl RandomSearch {
    pub(crate) fn new(
        config: &PpoConfig,
        env: &mut dyn VecEnv,
        communicator: Arc<ThreadCommunicator>,
    ) -> Self {
        let (n, actor_dim, action_dim) = (env.num_envs(), env.actor_dim(), env.action_dim());
        let mut observations = vec![0.0; n * env.observation_dim()];
        env.observe(&mut observations);
        let weights = action_dim * actor_dim;
        Self {
            config: config.clone(),
            communicator,
            weight: vec![0.0; weights],
            directions: vec![0.0; n / 2 * weights],
            returns: vec![0.0; n],
            observations,
            actor_dim,
            updates: 0,
        }
    }

    /// The actions of environment `index` for what its actor sees.
    fn act(&self, index: usize, seen: &[f32], actions: &mut [f32]) {
        let mut directions = self.directions.chunks_exact(self.weight.len());
        let direction = directions.nth(index / 2);
        let length = self.config.initial_std * if index % 2 == 0 { 1.0 } else { -1.0 };
        for (row, action) in actions.iter_mut().enumerate() {
            let rows = row * self.actor_dim..(row + 1) * self.actor_dim;
            *action = dot(&self.weight[rows.clone()], seen)
                + direction.map_or(0.0, |direction| length * dot(&direction[rows], seen));
        }
    }
}

impl Learner for RandomSearch {
    fn collect(&mut self, env: &mut dyn VecEnv, random: &mut Pcg64) {
        let (n, action_dim, dim) = (env.num_envs(), env.action_dim(), env.observation_dim());
        for element in &mut self.directions {
            *element = random.sample(StandardNormal);
        }
        self.returns.fill(0.0);
        let mut actions = vec![0.0; n * action_dim];
        let (mut rewards, mut done) = (vec![0.0; n], vec![Done::No; n]);
        let mut terminal = vec![0.0; n * dim];
        for _ in 0..self.config.steps_per_rollout {
            let rows = self.observations.chunks_exact(dim);
            for (index, (row, actions)) in
                rows.zip(actions.chunks_exact_mut(action_dim)).enumerate()
            {
                self.act(index, &row[..self.actor_dim], actions);
            }
            env.step(
                &actions,
                StepOut {
                    observations: &mut self.observations,
                    rewards: &mut rewards,
                    costs: None,
                    done: &mut done,
                    terminal_observations: &mut terminal,
                },
            );
            for (sum, reward) in self.returns.iter_mut().zip(&rewards) {
                *sum += reward;
            }
        }
    }

    fn update(&mut self, _: &Iteration) -> Result<Update, LostWorker> {
        let weights = self.weight.len();
        // The step, and at the end the mean and the mean square of the returns.
        let mut sums = vec![0.0; weights + 2];
        let directions = self.directions.chunks_exact(weights);
        let pairs = directions.len() as f32;
        for (pair, direction) in self.returns.chunks_exact(2).zip(directions) {
            for (sum, element) in sums.iter_mut().zip(direction) {
                *sum += (pair[0] - pair[1]) * element / pairs;
            }
        }
        let n = self.returns.len() as f32;
        for value in &self.returns {
            sums[weights] += value / n;
            sums[weights + 1] += value * value / n;
        }
        self.communicator.all_reduce_mean(&mut sums)?;
        let mean = sums[weights];
        let std = (sums[weights + 1] - mean * mean).max(1e-12).sqrt();
        for (weight, step) in self.weight.iter_mut().zip(&sums) {
            *weight += self.config.learning_rate.start / std * step;
        }
        self.updates += 1;
        let is_finite = self.weight.iter().all(|weight| weight.is_finite());
        let reward = f64::from(mean) / self.config.steps_per_rollout as f64;
        Ok(Update {
            scalars: vec![("reward", reward), ("skipped_minibatches", 0.0)],
            diverged: (!is_finite).then_some(1),
        })
    }

    fn carried(&self) -> Vec<f32> {
        self.observations.clone()
    }

    fn restore_carried(&mut self, carried: &[f32]) {
        self.observations.copy_from_slice(carried);
    }

    fn state(&self) -> State {
        State {
            learning_rate: self.config.learning_rate.start,
            multiplier: None,
            optimizer_steps: self.updates,
            tensors: vec![NamedTensor {
                name: "actor.weight".to_owned(),
                shape: vec![self.weight.len() / self.actor_dim, self.actor_dim],
                values: self.weight.clone(),
            }],
        }
    }

    fn restore(&mut self, state: &State) {
        self.updates = state.optimizer_steps;
        self.weight.clone_from(&state.tensors[0].values);
    }

    fn adopt(&mut self, _: &State, _: &KnownInputs) -> Result<(), String> {
        Err("random search begins from nothing".to_owned())
    }

    fn actor_layers(&self) -> Vec<Linear> {
        vec![Linear {
            weight: self.weight.clone(),
            bias: vec![0.0; self.weight.len() / self.actor_dim],
            inputs: self.actor_dim,
        }]
    }

    fn mean_actions(&self, observations: &[f32]) -> Vec<f32> {
        let rows = observations.chunks_exact(self.actor_dim);
        rows.flat_map(|seen| {
            let weights = self.weight.chunks_exact(self.actor_dim);
            weights.map(|weights| dot(weights, seen))
        })
        .collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
