//! Splitting the environments over worker threads.

use std::{ops::Range, sync::Arc};

use policies::observation::{Layout, TermError, terms};
use robots::Robot;

use super::{ConfigError, Env, EnvConfig, agile::AgileTask, recovery::RecoveryTask, task::Task};
use crate::{engine::EngineError, scene::TerrainLibrary};

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

/// Builds the environments of the agile task, split into one [`Env`] per worker thread.
///
/// # Errors
/// One line for a setting out of range or a robot that the engine cannot hold.
pub fn agile_shards(
    robot: &Arc<Robot>,
    config: &EnvConfig,
    seed: u64,
    share: impl Into<Share>,
) -> Result<Vec<Env<AgileTask>>, EnvError> {
    config.validate()?;
    let layout = Layout::new(
        &terms::agile(&config.rays),
        &robot.as_ref().into(),
        &config.rays,
    )?;
    shards(robot, config, seed, share.into(), || {
        AgileTask::new(config.agile.clone(), layout.clone(), Robot::clone(robot))
    })
}

/// Builds the environments of the recovery task, split into one [`Env`] per worker thread.
///
/// # Errors
/// As [`agile_shards`].
pub fn recovery_shards(
    robot: &Arc<Robot>,
    config: &EnvConfig,
    seed: u64,
    share: impl Into<Share>,
) -> Result<Vec<Env<RecoveryTask>>, EnvError> {
    config.validate()?;
    let layout = Layout::new(&terms::recovery(), &robot.as_ref().into(), &config.rays)?;
    shards(robot, config, seed, share.into(), || {
        RecoveryTask::new(config.recovery.clone(), layout.clone(), Robot::clone(robot))
    })
}

fn shards<T: Task>(
    robot: &Arc<Robot>,
    config: &EnvConfig,
    seed: u64,
    share: Share,
    task: impl Fn() -> T,
) -> Result<Vec<Env<T>>, EnvError> {
    let workers = share.workers;
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
    share
        .own
        .map(|worker| {
            let range = bound(worker)..bound(worker + 1);
            Env::new(robot, config, seed, range, Arc::clone(&terrains), task())
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
    /// The engine refused the robot.
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
