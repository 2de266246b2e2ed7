//! What a worker's environments went through in one iteration, and what follows from it.

use crate::vec_env::Done;

/// Inputs of generalized advantage estimation, time-major: element `t * num_envs + env`.
pub struct Trajectories<'a> {
    /// Number of environments.
    pub num_envs: usize,
    /// Scaled rewards [steps * num_envs].
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
