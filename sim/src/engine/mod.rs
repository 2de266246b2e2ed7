//! The engine boundary: all that an environment needs from physics. Observations, rewards, randomization,
//! curriculum and evaluation stand above it and are written once.

mod batch;
mod motor;
mod motor_robot;
mod rapier;
mod torque_noise;

use std::sync::Arc;

use nalgebra::{Point3, UnitQuaternion, Vector3};
use robots::{FootVec, JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

pub use batch::{BatchEngine, Instructions};
pub use motor::MotorConfig;
pub use motor_robot::MotorRobot;
pub(crate) use rapier::cast_ray;
pub use rapier::{MotorTarget, RapierEngine};
pub use torque_noise::torque_noise;

use crate::scene::{Obstacle, Terrain};

/// Physics of a fixed number of independent robots, stepped together on the calling thread.
pub trait Engine: Send {
    /// Number of robots.
    fn num_robots(&self) -> usize;
    /// Builds the scene of robot `index` anew and places the robot in it. The result depends on `start` alone,
    /// not on what was simulated before.
    ///
    /// # Errors
    /// One line when the engine does not know an obstacle's shape.
    fn reset(&mut self, index: usize, start: &EpisodeStart) -> Result<(), EngineError>;
    /// Advances every robot by one policy step, `decimation` physics steps, holding the joint targets
    /// [num_robots, num_joints] (rad).
    fn step(&mut self, joint_target_rad: &[f32]);
    /// Copies the state of robot `index` after the last `step` or `reset`.
    fn read(&self, index: usize, state: &mut PhysicsState);
    /// Complete state of all robots: an engine restored from it goes on bit for bit.
    fn save(&self) -> Vec<u8>;
    /// Restores what `save` returned on an engine of the same configuration.
    ///
    /// # Errors
    /// One line when the bytes do not fit.
    fn load(&mut self, bytes: &[u8]) -> Result<(), EngineError>;
}

/// Physics engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// rapier3d multibodies: the reference, in which every result is evaluated.
    Rapier,
    /// The batched engine: for training.
    Batch,
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rapier => "rapier",
            Self::Batch => "batch",
        })
    }
}

/// Builds an engine for `num_robots` robots.
///
/// # Errors
/// One line when the robot does not fit the engine.
pub fn build(
    kind: EngineKind,
    robot: &Robot,
    config: &PhysicsConfig,
    num_robots: usize,
) -> Result<Box<dyn Engine>, EngineError> {
    build_with_lanes(kind, robot, config, num_robots, 0)
}

/// The same with chosen lanes of the batch engine; 0 for the most that the processor has.
///
/// # Errors
/// One line when the robot does not fit the engine, or the processor has no such lanes.
pub fn build_with_lanes(
    kind: EngineKind,
    robot: &Robot,
    config: &PhysicsConfig,
    num_robots: usize,
    lanes: usize,
) -> Result<Box<dyn Engine>, EngineError> {
    let instructions = Instructions::with_lanes(lanes)?;
    Ok(match kind {
        EngineKind::Rapier => Box::new(RapierEngine::new(robot, config, num_robots)?),
        EngineKind::Batch => {
            let engine = BatchEngine::with_instructions(robot, config, num_robots, instructions)?;
            Box::new(engine)
        }
    })
}

/// What can go wrong in an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The robot does not fit the engine.
    #[error("robot `{robot}`: {reason}; use `--engine rapier`")]
    UnsupportedRobot {
        /// Name of the robot.
        robot: String,
        /// What the engine cannot hold.
        reason: String,
    },
    /// The batch engine has no such lanes.
    #[error("{lanes} lanes; this processor has {known}, and 0 stands for the most")]
    Lanes {
        /// What was asked for.
        lanes: usize,
        /// What there is.
        known: String,
    },
    /// A scene that does not fit the engine.
    #[error("{0}; use `--engine rapier`")]
    UnsupportedObstacle(String),
    /// The saved bytes are of another configuration.
    #[error("engine state does not fit: {0}")]
    State(String),
}

/// Settings shared by all engines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhysicsConfig {
    /// Physics step, s.
    pub step_s: f32,
    /// Physics steps per policy step.
    pub decimation: usize,
    /// Gravity in the world frame, m/s². Tilting it stands for a slope.
    pub gravity_mps2: Vector3<f32>,
    /// Motor model, the same for all robots; randomized parts are in [`Dynamics`].
    pub motor: MotorConfig,
}

impl Default for PhysicsConfig {
    fn default() -> Self {
        Self {
            step_s: 0.005,
            decimation: 4,
            gravity_mps2: Vector3::new(0.0, 0.0, -9.81),
            motor: MotorConfig::default(),
        }
    }
}

impl PhysicsConfig {
    /// Length of a policy step, s.
    pub fn policy_step_s(&self) -> f32 {
        self.step_s * self.decimation as f32
    }
}

/// Everything that defines the physics of one episode.
#[derive(Clone, Debug)]
pub struct EpisodeStart {
    /// Ground.
    pub terrain: Arc<Terrain>,
    /// Obstacles, in the world frame.
    pub obstacles: Vec<Obstacle>,
    /// Base position in the world frame, m.
    pub position_world: Point3<f32>,
    /// Rotation from the base to the world frame.
    pub orientation: UnitQuaternion<f32>,
    /// Velocity of the base frame's origin, world frame, m/s.
    pub linear_velocity_world: Vector3<f32>,
    /// Angular velocity, world frame, rad/s.
    pub angular_velocity_world: Vector3<f32>,
    /// Joint positions, rad.
    pub joint_position_rad: JointVec,
    /// Joint velocities, rad/s.
    pub joint_velocity_radps: JointVec,
    /// Randomized parameters of this episode.
    pub dynamics: Dynamics,
}

impl EpisodeStart {
    /// At rest in the standing pose over the origin of flat, empty ground, heading along x, nothing randomized.
    pub fn standing(robot: &Robot) -> Self {
        let zeros: JointVec = std::iter::repeat_n(0.0, robot.num_joints()).collect();
        Self {
            terrain: Arc::new(Terrain::Flat),
            obstacles: Vec::new(),
            position_world: Point3::new(0.0, 0.0, robot.control.standing_height_m),
            orientation: UnitQuaternion::identity(),
            linear_velocity_world: Vector3::zeros(),
            angular_velocity_world: Vector3::zeros(),
            joint_position_rad: robot
                .control
                .standing_position_rad
                .iter()
                .copied()
                .collect(),
            joint_velocity_radps: zeros,
            dynamics: Dynamics::nominal(robot),
        }
    }
}

/// Randomized physical parameters of one episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Dynamics {
    /// Coulomb friction coefficient between the robot and the world.
    pub friction: f32,
    /// Mass added at the centre of mass of the base link (its inertia scales with the mass), kg.
    pub added_base_mass_kg: f32,
    /// Constant torque added to each joint, N·m.
    pub torque_offset_nm: JointVec,
    /// Half-width of the uniform torque noise drawn afresh for each joint and physics step, N·m.
    pub torque_noise_nm: JointVec,
    /// Seed of the torque noise stream.
    pub noise_seed: u64,
    /// Delay between a joint target and its use, in physics steps.
    pub actuation_delay_steps: usize,
}

impl Dynamics {
    /// No randomization, friction 0.8.
    pub fn nominal(robot: &Robot) -> Self {
        let zeros: JointVec = std::iter::repeat_n(0.0, robot.num_joints()).collect();
        Self {
            friction: 0.8,
            added_base_mass_kg: 0.0,
            torque_offset_nm: zeros.clone(),
            torque_noise_nm: zeros,
            noise_seed: 0,
            actuation_delay_steps: 0,
        }
    }
}

/// State of one robot after a policy step. Contact entries cover the whole policy step, so that a touch between
/// two policy steps is not missed.
#[derive(Clone, Debug, PartialEq)]
pub struct PhysicsState {
    /// Base position in the world frame, m.
    pub position_world: Point3<f32>,
    /// Rotation from the base to the world frame.
    pub orientation: UnitQuaternion<f32>,
    /// Velocity of the base frame's origin, world frame, m/s.
    pub linear_velocity_world: Vector3<f32>,
    /// Angular velocity, world frame, rad/s.
    pub angular_velocity_world: Vector3<f32>,
    /// Joint positions, rad.
    pub joint_position_rad: JointVec,
    /// Joint velocities, rad/s.
    pub joint_velocity_radps: JointVec,
    /// Motor torques of the last physics step, offset and noise included, N·m.
    pub joint_torque_nm: JointVec,
    /// Contact force on each foot in the last physics step, world frame, N.
    pub foot_force_world: FootVec<Vector3<f32>>,
    /// Largest value in this policy step of (horizontal force - 2 * vertical force) over all feet, N.
    pub foot_horizontal_excess_n: f32,
    /// Largest force on a shape of class `Base` in this policy step, N.
    pub base_force_n: f32,
    /// Largest force on the `Thigh` shapes of each leg in this policy step, N.
    pub thigh_force_n: FootVec<f32>,
    /// Largest force on the `Calf` shapes of each leg in this policy step, N.
    pub calf_force_n: FootVec<f32>,
}

impl PhysicsState {
    /// At the origin, at rest, touching nothing.
    pub fn zero(robot: &Robot) -> Self {
        let joints: JointVec = std::iter::repeat_n(0.0, robot.num_joints()).collect();
        let feet: FootVec<f32> = std::iter::repeat_n(0.0, robot.num_feet()).collect();
        Self {
            position_world: Point3::origin(),
            orientation: UnitQuaternion::identity(),
            linear_velocity_world: Vector3::zeros(),
            angular_velocity_world: Vector3::zeros(),
            joint_position_rad: joints.clone(),
            joint_velocity_radps: joints.clone(),
            joint_torque_nm: joints,
            foot_force_world: std::iter::repeat_n(Vector3::zeros(), robot.num_feet()).collect(),
            foot_horizontal_excess_n: 0.0,
            base_force_n: 0.0,
            thigh_force_n: feet.clone(),
            calf_force_n: feet,
        }
    }

    /// Whether positions and velocities are numbers.
    pub fn is_finite(&self) -> bool {
        let parts: [&[f32]; 6] = [
            self.position_world.coords.as_slice(),
            self.orientation.coords.as_slice(),
            self.linear_velocity_world.as_slice(),
            self.angular_velocity_world.as_slice(),
            &self.joint_position_rad,
            &self.joint_velocity_radps,
        ];
        parts
            .iter()
            .all(|part| part.iter().all(|value| value.is_finite()))
    }

    /// Expresses the state as the robot would measure it without error; a foot touches above `contact_force_n`.
    pub fn write_robot_state(&self, contact_force_n: f32, state: &mut RobotState) {
        state.position_world = self.position_world;
        state.orientation = self.orientation;
        state.linear_velocity_base = self
            .orientation
            .inverse_transform_vector(&self.linear_velocity_world);
        state.angular_velocity_base = self
            .orientation
            .inverse_transform_vector(&self.angular_velocity_world);
        state
            .joint_position_rad
            .clone_from(&self.joint_position_rad);
        state
            .joint_velocity_radps
            .clone_from(&self.joint_velocity_radps);
        state.joint_torque_nm.clone_from(&self.joint_torque_nm);
        for (contact, force) in state.foot_contact.iter_mut().zip(&self.foot_force_world) {
            *contact = force.norm() > contact_force_n;
        }
    }
}
