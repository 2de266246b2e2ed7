//! What is learned in simulation: a table of tasks, and the vectorized environment that all of them share.
//!
//! A task is a folder here (episode, rewards, observations, recipe, tests) and a line of the table below. The command line, the
//! configuration, checkpoints, bundles and evaluation follow from that line; docs/how-to/own-task.md goes through it.

mod env;
pub mod rewards;
mod size;
mod table;
mod task;

use policies::RaySpec;

pub use env::{
    ConfigError, CurriculumConfig, Env, EnvError, NoiseConfig, RandomizationConfig, Share, shards,
};
pub use size::RelativeSize;
pub use table::{HasSection, TaskEntry};
pub use task::{EpisodeEnd, EpisodePlan, LevelChange, StepOutcome, Task, TaskInput, Test};

use crate::{engine::EngineKind, scene::TerrainConfig};

table::tasks! {
    /// Settings of the training environments.
    EnvConfig {
        /// Environments, over all workers.
        num_envs: usize = 1280,
        /// Physics engine.
        engine: EngineKind = EngineKind::Batch,
        /// Lanes of the batch engine, for measurements; 0 for the most that the CPU has.
        #[serde(skip)]
        lanes: usize = 0,
        /// Ray layout.
        rays: RaySpec = RaySpec::default(),
        /// The critic also observes what only a simulation knows (asymmetric actor-critic; the paper: false): the exact velocity of the base,
        /// and in the agile task the distance to the obstacles all around.
        privileged_critic: bool = false,
        /// For so many policy steps, this one included, the policy observes its own motion: angular velocity, joints and actions (the paper: 1).
        /// The past shows delay, friction and load, and the velocity is better known.
        proprioception_steps: usize = 1,
        /// Observation noise and illusion.
        noise: NoiseConfig = NoiseConfig::default(),
        /// Randomized physics.
        randomization: RandomizationConfig = RandomizationConfig::default(),
        /// Ground.
        terrain: TerrainConfig = TerrainConfig::default(),
        /// Curriculum over levels of difficulty.
        curriculum: CurriculumConfig = CurriculumConfig::default(),
        /// In what the robots differ from the simulation, besides `randomization`: those of the whole configuration.
        #[serde(skip)]
        reality: crate::reality::RealityConfig = crate::reality::RealityConfig::default(),
        /// Folder for the last second of environments whose state became NaN; training sets it to one in its run folder.
        #[serde(skip)]
        dump_dir: Option<std::path::PathBuf> = None,
    }
    tasks {
        agile: AgileTask(AgileConfig),
        recovery: RecoveryTask(RecoveryConfig),
        velocity: VelocityTask(VelocityConfig),
    }
}

/// The task of this name.
///
/// # Errors
/// When there is none: the names of those that there are.
pub fn find(name: &str) -> Result<&'static TaskEntry, UnknownTask> {
    TASKS
        .iter()
        .find(|task| task.name == name)
        .ok_or_else(|| UnknownTask(name.to_owned()))
}

/// The task that trains the network of this role.
pub fn of_role(role: &str) -> Option<&'static TaskEntry> {
    TASKS.iter().find(|task| task.role == role)
}

/// No task has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no task `{0}`; there are {names}", names = names())]
pub struct UnknownTask(String);

fn names() -> String {
    let names: Vec<_> = TASKS.iter().map(|task| task.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
