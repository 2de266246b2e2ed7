//! The contract between the learner and a simulator, owned by the learner.

use serde::{Deserialize, Serialize};

/// Why an episode ended at this step, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Done {
    /// The episode goes on.
    #[default]
    No,
    /// Ended by the task: the value after it is zero.
    Terminated,
    /// Ended by the clock, which the policy does not see: the value after it is bootstrapped.
    TimedOut,
}

/// What one policy step writes, one row per environment. The learner owns the memory.
pub struct StepOut<'a> {
    /// Next observations [num_envs, observation_dim]; of the new episode where one ended.
    pub observations: &'a mut [f32],
    /// Rewards \[num_envs\].
    pub rewards: &'a mut [f32],
    /// Costs \[num_envs\], 0 or more, for a learner that bounds them.
    pub costs: Option<&'a mut [f32]>,
    /// Ends of episodes \[num_envs\].
    pub done: &'a mut [Done],
    /// Last observations of the old episode [num_envs, observation_dim], written only in rows that are `TimedOut`.
    pub terminal_observations: &'a mut [f32],
}

/// Where the time of `VecEnv::step` went, s. What is left over: observations and resets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTimes {
    /// Motors, dynamics, contacts.
    pub physics_s: f64,
    /// Casting rays.
    pub rays_s: f64,
    /// Reading the state, terminations, rewards.
    pub rewards_s: f64,
}

/// Where the time goes, as shares that add up to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TimeShares {
    /// Motors, dynamics, contacts.
    pub physics: f64,
    /// Casting rays.
    pub rays: f64,
    /// Reading the state, terminations, rewards.
    pub rewards: f64,
    /// Observations, noise, resets.
    pub observations: f64,
    /// Actions from observations.
    pub inference: f64,
    /// Values, gradients, optimizer, waiting for other workers.
    pub update: f64,
}

impl TimeShares {
    /// Of `step_s` in `VecEnv::step`, as far as it is known, and of `inference_s` and `update_s` outside of it.
    #[must_use]
    pub fn new(times: &StepTimes, step_s: f64, inference_s: f64, update_s: f64) -> Self {
        let whole_s = (step_s + inference_s + update_s).max(f64::MIN_POSITIVE);
        let known_s = times.physics_s + times.rays_s + times.rewards_s;
        // Two of the times are samples: together they may come out longer than what they are part of.
        let fit = (step_s / known_s.max(f64::MIN_POSITIVE)).min(1.0);
        let share = |time_s: f64| time_s / whole_s;
        Self {
            physics: share(fit * times.physics_s),
            rays: share(fit * times.rays_s),
            rewards: share(fit * times.rewards_s),
            observations: share(step_s - fit * known_s),
            inference: share(inference_s),
            update: share(update_s),
        }
    }

    /// Names and shares, in the order of a policy step.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("physics", self.physics),
            ("rays", self.rays),
            ("rewards", self.rewards),
            ("observations", self.observations),
            ("inference", self.inference),
            ("update", self.update),
        ]
    }
}

/// A named scalar for the progress line and for TensorBoard, averaged since the last `take_log`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scalar {
    /// E.g. `reward/agile`, `episode/reach_rate`, `curriculum/level`.
    pub name: String,
    /// Mean over `count`.
    pub value: f64,
    /// Weight when shards are merged.
    pub count: u64,
}

/// Many environments stepped together on the calling thread. The learner runs one `VecEnv` per worker thread.
///
/// Actions are unbounded network outputs, [num_envs, action_dim]; the environment clips and scales them.
/// An environment whose episode ends is reset inside the same `step`.
pub trait VecEnv: Send {
    /// Number of environments.
    fn num_envs(&self) -> usize;
    /// Width of an observation row.
    fn observation_dim(&self) -> usize;
    /// How many of a row's elements the actor sees: the first ones. Critics see all of them, so that what is known in simulation
    /// alone may tell them what comes (asymmetric actor-critic, Pinto et al., 2018).
    fn actor_dim(&self) -> usize {
        self.observation_dim()
    }
    /// Width of an action row.
    fn action_dim(&self) -> usize;
    /// Writes the current observations [num_envs, observation_dim], without stepping.
    fn observe(&mut self, observations: &mut [f32]);
    /// Applies one action to every environment.
    fn step(&mut self, actions: &[f32], out: StepOut<'_>);
    /// Called by the learner before each rollout: policy steps per environment since the start of training.
    fn set_progress(&mut self, _policy_steps: u64) {}
    /// Statistics since the last call.
    fn take_log(&mut self) -> Vec<Scalar>;
    /// Where the time of `step` went since the last call.
    fn take_times(&mut self) -> StepTimes {
        StepTimes::default()
    }
    /// Everything needed to go on exactly: physics, episodes, curriculum, random streams.
    fn save(&self) -> Vec<u8>;
    /// Restores what `save` returned.
    ///
    /// # Errors
    /// One line when the bytes are not of an environment of this configuration.
    fn load(&mut self, bytes: &[u8]) -> Result<(), String>;
}
