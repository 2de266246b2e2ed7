//! The engine boundary: all that an environment needs from physics. Observations, rewards, randomization,
//! curriculum and evaluation stand above it and are written once.

mod actuation;
mod batch;
mod contact_forces;
mod motor;
mod motor_robot;
mod mujoco;
mod rapier;
mod start;
mod state;
mod torque_noise;
mod variation;

use std::{fmt, path::PathBuf, str::FromStr};

use nalgebra::Vector3;
use robots::Robot;
use serde::{Deserialize, Serialize};

pub use batch::{BatchEngine, Instructions};
pub use motor::{MotorConfig, MotorTarget};
pub use motor_robot::MotorRobot;
pub use mujoco::robot_mjcf;
pub use rapier::RapierEngine;
pub(crate) use rapier::cast_ray;
pub use start::{Dynamics, EpisodeStart};
pub use state::PhysicsState;
pub(crate) use state::{CONTACT_FORCE_N, is_pushed_sideways};
use torque_noise::delay_jitter;
pub use torque_noise::torque_noise;
pub use variation::Variation;

/// Physics of a fixed number of independent robots, stepped together on the calling thread.
pub trait Engine: Send {
    /// Number of robots.
    fn num_robots(&self) -> usize;
    /// Robots that one vector instruction works on.
    fn lanes(&self) -> usize {
        1
    }
    /// Builds the scene of robot `index` anew and places the robot in it. The result depends on `start` alone,
    /// not on what was simulated before.
    ///
    /// # Errors
    /// One line when the engine does not know an obstacle's shape.
    fn reset(&mut self, index: usize, start: &EpisodeStart) -> Result<(), EngineError>;
    /// Advances every robot by one policy step, `decimation` physics steps, holding the joint targets
    /// [num_robots, num_joints] (rad).
    fn step(&mut self, joint_target_rad: &[f32]);
    /// Advances every robot by physics step `index` of a policy step, for observers of the state between them: all of them
    /// in their order are one `step`, bit for bit. The targets are taken with the first, `index` 0.
    fn physics_step(&mut self, joint_target_rad: &[f32], index: usize);
    /// Changes the velocity of the base of robot `index`, world frame, m/s: a blow.
    fn push(&mut self, index: usize, velocity_change_world: Vector3<f32>);
    /// Copies the state of robot `index` after the last `step`, `physics_step` or `reset`.
    fn read(&self, index: usize, state: &mut PhysicsState);
    /// Complete state of all robots: an engine restored from it goes on bit for bit.
    fn save(&self) -> Vec<u8>;
    /// Restores what `save` returned on an engine of the same configuration.
    ///
    /// # Errors
    /// One line when the bytes do not fit.
    fn load(&mut self, bytes: &[u8]) -> Result<(), EngineError>;
}

/// An engine whose motors can be told more than a position.
trait MotorEngine: Engine {
    /// Advances robot `index` by one physics step with one target per joint, as a motor controller takes them.
    fn step_motors(&mut self, index: usize, targets: &[MotorTarget]);
    /// Lets the stops of all joints give way, by this angle under the effort limit, rad. Those of MuJoCo give way as they are.
    ///
    /// # Errors
    /// When the robot has no joint.
    fn soften_stops(&mut self, _gives_rad: f32) -> Result<(), EngineError> {
        Ok(())
    }
}

/// A soft contact carries this many times what a critically damped one does: MuJoCo's usual impedance of 0.9.
const CONTACT_WEIGHT: f32 = 9.0;

/// How a stand holds the trunk: so viscous that it yields by less than a micrometre a second, N·s/m and N·m·s/rad.
const STAND_DAMPING: f32 = 1e9;

/// Builds an engine for so many robots, with so many lanes where an engine has any.
type Build = fn(&Robot, &PhysicsConfig, usize, usize) -> Result<Box<dyn Engine>, EngineError>;

/// A row of the table of engines.
struct EngineEntry {
    name: &'static str,
    build: Build,
    robots_together: usize,
}

macro_rules! engines {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $kind:ident: $name:literal, $build:path, $robots:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $enum {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl $enum {
            /// All engines.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            const fn entry(self) -> EngineEntry {
                match self {
                    $(Self::$kind => EngineEntry { name: $name, build: $build, robots_together: $robots },)*
                }
            }
        }
    };
}

// Name, function that builds it, and how many robots it steps together where there are many episodes.
engines! {
    /// Physics engines.
    EngineKind {
        /// rapier3d multibodies: the reference, in which every result is evaluated.
        Rapier: "rapier", rapier::build, 1;
        /// The batched engine: for training.
        Batch: "batch", batch::build, 64;
        /// MuJoCo: a second opinion on contacts.
        Mujoco: "mujoco", mujoco::build, 1;
    }
}

impl EngineKind {
    /// Name on the command line and in configurations.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// How many robots an engine steps together with profit, where no robot waits for another.
    pub(crate) fn robots_together(self) -> usize {
        self.entry().robots_together
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, EngineError> {
        let mut kinds = Self::ALL.iter().copied();
        kinds.find(|kind| kind.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            EngineError::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            }
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

/// The same with chosen lanes of the batch engine; 0 for the most that the CPU has.
///
/// # Errors
/// One line when the robot does not fit the engine, or the CPU has no such lanes.
pub fn build_with_lanes(
    kind: EngineKind,
    robot: &Robot,
    config: &PhysicsConfig,
    num_robots: usize,
    lanes: usize,
) -> Result<Box<dyn Engine>, EngineError> {
    if let Some(file) = &config.mjcf
        && kind != EngineKind::Mujoco
    {
        return Err(EngineError::Setting {
            key: "mjcf",
            value: file.display().to_string(),
            expected: "absent but for `--engine mujoco`",
        });
    }
    (kind.entry().build)(robot, config, num_robots, lanes)
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
    /// A model in MuJoCo's format that does not fit the robot.
    #[error("MJCF {file}: {reason}")]
    Mjcf {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The program was built without the engine.
    #[error("{0}")]
    Absent(&'static str),
    /// No engine of that name.
    #[error("there is no engine `{name}`; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The batch engine has no such lanes.
    #[error("{lanes} lanes; this CPU has {known}, and 0 stands for the most")]
    Lanes {
        /// What was asked for.
        lanes: usize,
        /// What there is.
        known: String,
    },
    /// A setting is out of range.
    #[error("`physics.{key}` is {value}, must be {expected}")]
    Setting {
        /// Key in the configuration.
        key: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
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
    /// For the engine mujoco: the robot as this MJCF describes it, whose joints have the names of ours. Motors, gains, limits
    /// and passive damping stay those of the robot's folder.
    pub mjcf: Option<PathBuf>,
}

impl Default for PhysicsConfig {
    fn default() -> Self {
        Self {
            step_s: 0.005,
            decimation: 4,
            gravity_mps2: Vector3::new(0.0, 0.0, -9.81),
            motor: MotorConfig::default(),
            mjcf: None,
        }
    }
}

impl PhysicsConfig {
    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), EngineError> {
        let error = |key, value: &dyn fmt::Display, expected| {
            let value = value.to_string();
            Err(EngineError::Setting {
                key,
                value,
                expected,
            })
        };
        if !(self.step_s >= 1e-4 && self.step_s.is_finite()) {
            return error("step_s", &self.step_s, "at least 0.0001");
        }
        if self.decimation == 0 {
            return error("decimation", &0, "at least 1");
        }
        Ok(())
    }

    /// Length of a policy step, s.
    pub fn policy_step_s(&self) -> f32 {
        self.step_s * self.decimation as f32
    }
}
