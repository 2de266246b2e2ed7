//! Splitting the environments over worker threads.

use std::{ops::Range, sync::Arc};

use policies::observation::TermError;
use robots::Robot;

use super::{ConfigError, Env};
use crate::{
    engine::{EngineError, PhysicsConfig},
    scene::TerrainLibrary,
    tasks::{EnvConfig, HasSection, task::Task},
};

/// Which of the shards that the environments are split into, one per worker, are built here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Workers over all processes.
    pub workers: usize,
    /// Those of this process.
    pub own: Range<usize>,
}

impl From<usize> for Share {
    /// All of them.
    fn from(workers: usize) -> Self {
        let own = 0..workers;
        Self { workers, own }
    }
}

/// Builds the environments of a task, split into one [`Env`] per worker thread.
///
/// # Errors
/// One line for a setting out of range or a robot that the engine cannot hold.
pub fn shards<T: Task>(
    robot: &Arc<Robot>,
    physics: &PhysicsConfig,
    config: &EnvConfig,
    seed: u64,
    share: impl Into<Share>,
) -> Result<Vec<Env<T>>, EnvError>
where
    EnvConfig: HasSection<T>,
{
    physics.validate()?;
    config.validate()?;
    let Share { workers, own } = share.into();
    if workers == 0 || workers > config.num_envs {
        return Err(EnvError::Workers {
            workers,
            num_envs: config.num_envs,
        });
    }
    let terrains = Arc::new(TerrainLibrary::new(
        &config.terrain,
        config.curriculum.levels,
        seed,
    ));
    let bound = |worker: usize| worker * config.num_envs / workers;
    own.map(|worker| {
        let range = bound(worker)..bound(worker + 1);
        let task = T::new(config.section(), robot)?;
        Env::new(robot, physics, config, seed, range, &terrains, task)
    })
    .collect()
}

/// Why environments could not be built.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something cannot be observed.
    #[error(transparent)]
    Observation(#[from] TermError),
    /// The physics are impossible, or the engine refused the robot.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// More threads than environments, or none.
    #[error("{workers} workers cannot share {num_envs} environments; use 1 to {num_envs}")]
    Workers {
        /// Threads asked for.
        workers: usize,
        /// Environments there are.
        num_envs: usize,
    },
}
