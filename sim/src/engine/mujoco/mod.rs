//! MuJoCo: a second opinion on contacts. One model per robot, compiled from MJCF at every reset.
//!
//! Links, joints, dry friction and stops are MuJoCo's; motors follow the law that all engines share (`motor`). Contacts
//! are as hard as MuJoCo's default stability check allows at 5 ms steps (`mjcf`).
//!
//! Needs the cargo feature `mujoco` and its library, which `scripts/abs` fetches.

#[cfg(feature = "mujoco")]
mod contacts;
#[cfg(feature = "mujoco")]
mod engine;
#[cfg(feature = "mujoco")]
mod foreign;
mod mjcf;
#[cfg(feature = "mujoco")]
mod model;
#[cfg(feature = "mujoco")]
mod motor;
#[cfg(feature = "mujoco")]
mod snapshot;
mod terrain;
#[cfg(feature = "mujoco")]
mod world;

use robots::Robot;

use crate::{
    engine::{Dynamics, Engine, EngineError, MotorEngine, PhysicsConfig},
    scene::Terrain,
};

/// MJCF of a robot on flat ground, as this engine compiles it; motors act from outside. Needs no MuJoCo. Each geometry of the robot
/// is named by its link and its class: base, thigh, calf or foot.
pub fn robot_mjcf(robot: &Robot, config: &PhysicsConfig) -> String {
    let scene = mjcf::SceneDescription {
        terrain: &Terrain::Flat,
        obstacles: &[],
        dynamics: &Dynamics::nominal(robot),
    };
    mjcf::model(robot, config, &scene)
}

/// As the table of engines builds it; there are no lanes to choose.
pub(super) fn build(
    robot: &Robot,
    config: &PhysicsConfig,
    num_robots: usize,
    _lanes: usize,
) -> Result<Box<dyn Engine>, EngineError> {
    Ok(build_motors(robot, config, num_robots)?)
}

/// The same, for motors that are told more than a position.
#[cfg(feature = "mujoco")]
pub(super) fn build_motors(
    robot: &Robot,
    config: &PhysicsConfig,
    num_robots: usize,
) -> Result<Box<dyn MotorEngine>, EngineError> {
    let engine = engine::MujocoEngine::new(robot, config, num_robots)?;
    Ok(Box::new(engine))
}

/// In a program without MuJoCo.
#[cfg(not(feature = "mujoco"))]
pub(super) fn build_motors(
    _robot: &Robot,
    _config: &PhysicsConfig,
    _num_robots: usize,
) -> Result<Box<dyn MotorEngine>, EngineError> {
    Err(EngineError::Absent(
        "this program was built without MuJoCo; `scripts/abs` with `--engine mujoco` fetches it and builds with it",
    ))
}
