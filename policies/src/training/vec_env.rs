//! The contract between the learner and a simulator, owned by the learner.

use serde::{Deserialize, Serialize};

use super::Times;

/// Why an episode ended at this step, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Done {
    /// The episode continues.
    #[default]
    No,
    /// Ended by the task: the value after it is zero.
    Terminated,
    /// Ended by the clock, which the policy does not see: the value after it is bootstrapped.
    Timeout,
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
    /// Last observations of the old episode [num_envs, observation_dim], written only in rows that are `Timeout`.
    pub terminal_observations: &'a mut [f32],
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
    /// Statistics since the last call.
    fn take_log(&mut self) -> Vec<Scalar>;
    /// Where the time of `step` went since the last call: all of it, by parts that the environment names. Without it, it counts as inference.
    fn take_times(&mut self) -> Times {
        Times::default()
    }
    /// Everything needed to resume exactly: physics, episodes, curriculum, random streams.
    fn save(&self) -> Vec<u8>;
    /// Restores what `save` returned, perhaps of an environment with other settings: so a stage keeps the episodes under way.
    ///
    /// # Errors
    /// One line when the bytes are not of an environment of this configuration.
    fn load(&mut self, bytes: &[u8]) -> Result<(), String>;
}
