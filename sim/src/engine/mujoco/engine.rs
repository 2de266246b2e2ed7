//! The engine: one world per robot.

use std::{ops::Range, sync::Once};

use mujoco_rs::prelude::{MjLogMessage, MjtLogLevel, set_log_handler};
use nalgebra::Vector3;
use robots::Robot;

use super::{model::RobotModel, snapshot, world::World};
use crate::engine::{
    Engine, EngineError, EpisodeStart, MotorEngine, MotorTarget, PhysicsConfig, PhysicsState,
};

/// Robots simulated by MuJoCo.
pub struct MujocoEngine {
    config: PhysicsConfig,
    model: RobotModel,
    worlds: Vec<World>,
}

impl MujocoEngine {
    /// `num_robots` worlds, in each of which the robot stands at the origin of a flat, empty scene.
    ///
    /// # Errors
    /// When the robot has no joint, or MuJoCo refuses its model.
    pub fn new(
        robot: &Robot,
        config: &PhysicsConfig,
        num_robots: usize,
    ) -> Result<Self, EngineError> {
        static LOG: Once = Once::new();
        LOG.call_once(|| {
            // SAFETY: nobody uses MuJoCo before its first engine has been built, and others wait here.
            unsafe { set_log_handler(log) };
        });
        let model = RobotModel::new(robot, config)?;
        let start = EpisodeStart::standing(robot);
        let worlds = (0..num_robots)
            .map(|_| World::new(&model, config, &start))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            config: config.clone(),
            model,
            worlds,
        })
    }

    /// These physics steps of a policy step.
    fn advance(&mut self, joint_target_rad: &[f32], steps: Range<usize>) {
        let num_joints = self.model.num_joints();
        debug_assert_eq!(joint_target_rad.len(), self.worlds.len() * num_joints);
        let targets = joint_target_rad.chunks_exact(num_joints);
        for (world, target_rad) in self.worlds.iter_mut().zip(targets) {
            for step in steps.clone() {
                world.step(&self.config, target_rad, step);
            }
        }
    }
}

/// MuJoCo would write a file into the working folder. Its warnings show in the state, which is then not finite; after an
/// error it ends the process.
fn log(message: &MjLogMessage) {
    if message.level() == MjtLogLevel::mjLOG_ERROR {
        eprintln!("error: MuJoCo: {}", message.subject());
    }
}

impl MotorEngine for MujocoEngine {
    fn step_motors(&mut self, index: usize, targets: &[MotorTarget]) {
        debug_assert_eq!(targets.len(), self.model.num_joints());
        self.worlds[index].step_motors(&self.config, targets);
    }
}

impl Engine for MujocoEngine {
    fn num_robots(&self) -> usize {
        self.worlds.len()
    }

    fn reset(&mut self, index: usize, start: &EpisodeStart) -> Result<(), EngineError> {
        self.worlds[index] = World::new(&self.model, &self.config, start)?;
        Ok(())
    }

    fn step(&mut self, joint_target_rad: &[f32]) {
        self.advance(joint_target_rad, 0..self.config.decimation);
    }

    fn physics_step(&mut self, joint_target_rad: &[f32], index: usize) {
        self.advance(joint_target_rad, index..index + 1);
    }

    fn push(&mut self, index: usize, velocity_change_world: Vector3<f32>) {
        self.worlds[index].push(&velocity_change_world);
    }

    fn read(&self, index: usize, state: &mut PhysicsState) {
        self.worlds[index].read(state);
    }

    fn save(&self) -> Vec<u8> {
        snapshot::save(&self.worlds)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        self.worlds = snapshot::load(bytes, self.worlds.len(), &self.model, &self.config)?;
        Ok(())
    }
}
