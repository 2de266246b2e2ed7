//! What a worker's environments went through in one iteration, and what follows from it.

use tch::{Kind, Tensor};

use super::host_tensor::zeros;
use super::network::Columns;
use policies::training::Done;

/// One worker's memory of an iteration, allocated once. Time-major: row `step * num_envs + env`.
pub(super) struct Rollout {
    /// What the environment wrote last [num_envs, observation_dim], float32.
    pub(super) observed: Tensor,
    /// Last observations of episodes that the clock ended [num_envs, observation_dim].
    pub(super) terminal: Vec<f32>,
    /// [(steps + 1) * num_envs, stride], of the kind that hidden layers compute with.
    pub(super) observations: Tensor,
    /// [steps * num_envs, action_dim], float32.
    pub(super) means: Tensor,
    pub(super) actions: Vec<f32>,
    pub(super) rewards: Signal,
    /// If they are bounded.
    pub(super) costs: Option<Signal>,
    pub(super) done: Vec<Done>,
    pub(super) log_std: Vec<f32>,
    /// Rows with a time-out, and the observations [.., observation_dim] there.
    pub(super) timed_out: Vec<usize>,
    pub(super) timed_out_observations: Vec<f32>,
    /// The order in which minibatches take rows.
    pub(super) order: Tensor,
}

/// What one critic judges, rewards or costs, and its judgement.
pub(super) struct Signal {
    /// What the environments gave [steps * num_envs].
    pub(super) given: Vec<f32>,
    /// [(steps + 1) * num_envs, 1], float32.
    pub(super) values: Tensor,
    pub(super) advantages: Vec<f32>,
    pub(super) returns: Vec<f32>,
}

impl Signal {
    fn new(num_envs: usize, steps: usize) -> Self {
        let rows = steps * num_envs;
        Self {
            given: vec![0.0; rows],
            values: zeros(&[rows + num_envs, 1], Kind::Float),
            advantages: vec![0.0; rows],
            returns: vec![0.0; rows],
        }
    }
}

impl Rollout {
    pub(super) fn new(
        num_envs: usize,
        steps: usize,
        columns: Columns,
        action_dim: usize,
        has_costs: bool,
        kind: Kind,
    ) -> Self {
        let rows = steps * num_envs;
        let observation_dim = columns.observation;
        Self {
            observed: zeros(&[num_envs, observation_dim], Kind::Float),
            terminal: vec![0.0; num_envs * observation_dim],
            observations: zeros(&[rows + num_envs, columns.stride()], kind),
            means: zeros(&[rows, action_dim], Kind::Float),
            actions: vec![0.0; rows * action_dim],
            rewards: Signal::new(num_envs, steps),
            costs: has_costs.then(|| Signal::new(num_envs, steps)),
            done: vec![Done::No; rows],
            log_std: vec![0.0; action_dim],
            timed_out: Vec::new(),
            timed_out_observations: Vec::new(),
            order: zeros(&[rows], Kind::Int64),
        }
    }
}

/// Inputs of generalized advantage estimation, time-major: element `t * num_envs + env`.
pub struct Trajectories<'a> {
    /// Number of environments.
    pub num_envs: usize,
    /// Scaled rewards, or costs [steps * num_envs].
    pub rewards: &'a [f32],
    /// Ends of episodes [steps * num_envs].
    pub done: &'a [Done],
    /// Values of the observations acted on, and of those after the last step [(steps + 1) * num_envs].
    pub values: &'a [f32],
    /// Values of the last observations of timed-out episodes: (element, value), in the order of the elements.
    pub terminal_values: &'a [(usize, f32)],
}

/// Generalized advantage estimation (Schulman et al., 2016). A time-out is bootstrapped with the value of the episode's last observation, a
/// termination with zero; neither lets the next episode's rewards through.
pub fn estimate_advantages(
    trajectories: &Trajectories<'_>,
    gamma: f32,
    lambda: f32,
    advantages: &mut [f32],
) {
    let n = trajectories.num_envs;
    let steps = trajectories.rewards.len() / n;
    let mut terminal = trajectories.terminal_values.iter().rev().peekable();
    for step in (0..steps).rev() {
        for env in (0..n).rev() {
            let i = step * n + env;
            let (next_value, carried) = match trajectories.done[i] {
                Done::No if step + 1 < steps => (trajectories.values[i + n], advantages[i + n]),
                Done::No => (trajectories.values[i + n], 0.0),
                Done::Terminated => (0.0, 0.0),
                Done::TimedOut => {
                    let value = terminal
                        .next_if(|(at, _)| *at == i)
                        .map_or(0.0, |(_, value)| *value);
                    (value, 0.0)
                }
            };
            let delta = trajectories.rewards[i] + gamma * next_value - trajectories.values[i];
            advantages[i] = delta + gamma * lambda * carried;
        }
    }
}
