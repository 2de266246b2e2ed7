//! How the physics of an episode begins.

use std::sync::Arc;

use nalgebra::{Point3, UnitQuaternion, Vector3};
use robots::{JointVec, Robot};
use serde::{Deserialize, Serialize};

use super::variation::Variation;
use crate::scene::{Obstacle, Terrain};

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

    /// The same on a stand, which holds the trunk level and the feet over the ground.
    pub fn on_stand(robot: &Robot) -> Self {
        let mut start = Self::standing(robot);
        // Legs reach no farther when they are straight.
        start.position_world.z *= 2.5;
        start.dynamics.on_stand = true;
        start
    }
}

/// Randomized physical parameters of one episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Each policy step the delay is longer by up to so many physics steps.
    pub delay_jitter_steps: f32,
    /// Fraction of the speed of an impact that returns.
    pub restitution: f32,
    /// Time constant of a contact as MuJoCo defines it, s: the contact of a mass m is a spring of 9 m / T² and a damper of
    /// 18 m / T. 0 stands for the hardest that the engine has.
    pub contact_softness_s: f32,
    /// In what the robot differs from its description, if it does.
    pub variation: Option<Box<Variation>>,
    /// A stand holds the trunk where the episode begins. The batch engine has none.
    pub on_stand: bool,
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
            delay_jitter_steps: 0.0,
            restitution: 0.0,
            contact_softness_s: 0.0,
            variation: None,
            on_stand: false,
        }
    }

    /// The robot of this episode with its added mass, where it differs from its description.
    pub(super) fn varied(&self, robot: &Robot) -> Option<Robot> {
        let variation = self.variation.as_ref()?;
        Some(variation.apply(robot, self.added_base_mass_kg))
    }

    /// The most by which a joint target may be late, in policy steps.
    pub(super) fn latest_target(&self, decimation: usize) -> usize {
        let jitter = self.delay_jitter_steps.round() as usize;
        (self.actuation_delay_steps + jitter).div_ceil(decimation)
    }
}
