//! What the tests that cross crates share.

use std::sync::Arc;

use learning::Runner;
use policies::training::{PpoConfig, Precision, VecEnv};
use robots::Robot;
use sim::{
    engine::EngineKind,
    env::{EnvConfig, agile_shards},
};

/// A learner of the agile task, small enough for a test: 8 environments, one worker, float32.
///
/// # Panics
/// When the shipped robot or the default configuration is refused.
pub fn small_agile_learner(robot: &Arc<Robot>, engine: EngineKind) -> Runner {
    let env = EnvConfig {
        num_envs: 8,
        engine,
        ..EnvConfig::default()
    };
    let shards = agile_shards(robot, &env, 1, 1).expect("the default environment");
    let shards = shards
        .into_iter()
        .map(|shard| Box::new(shard) as Box<dyn VecEnv>)
        .collect();
    let algorithm = PpoConfig {
        hidden: vec![32, 16],
        precision: Precision::F32,
        ..PpoConfig::fast()
    };
    Runner::new(algorithm, shards, 1).expect("the default algorithm")
}
