//! What the tests that cross crates share.

use std::sync::Arc;

use learning::Runner;
use policies::training::{PpoConfig, Precision};
use robots::Robot;
use sim::{
    engine::{EngineKind, PhysicsConfig},
    tasks::{self, EnvConfig},
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
    let agile = tasks::find("agile").expect("the paper's task");
    let shards = agile
        .shards(robot, &PhysicsConfig::default(), &env, 1, 1)
        .expect("the default environment");
    let algorithm = PpoConfig {
        hidden: vec![32, 16],
        precision: Precision::F32,
        ..PpoConfig::fast()
    };
    Runner::new(algorithm, shards, 1).expect("the default algorithm")
}
