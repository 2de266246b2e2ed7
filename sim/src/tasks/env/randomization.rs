//! Domain randomization (docs/concepts/randomization.md).

use rand::RngExt;
use robots::{JointVec, Robot};
use serde::{Deserialize, Serialize};

use crate::{
    engine::Dynamics,
    random::{Stream, uniform},
};

/// Physical parameters drawn for each episode. Ranges are [low, high].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomizationConfig {
    /// Coulomb friction coefficient.
    pub friction: [f32; 2],
    /// Mass added to the base, kg.
    pub added_base_mass_kg: [f32; 2],
    /// Error of each joint encoder, rad: measured = true + bias.
    pub joint_bias_rad: [f32; 2],
    /// ERFI-50 torque noise per curriculum level, N·m.
    pub torque_noise_per_level_nm: f32,
    /// Delay of the joint targets, physics steps.
    pub actuation_delay_steps: [usize; 2],
}

impl Default for RandomizationConfig {
    fn default() -> Self {
        Self {
            friction: [0.4, 1.1],
            added_base_mass_kg: [-1.5, 1.5],
            joint_bias_rad: [-0.08, 0.08],
            torque_noise_per_level_nm: 0.78,
            actuation_delay_steps: [0, 0],
        }
    }
}

impl RandomizationConfig {
    /// Draws the physics of one episode.
    pub fn draw(&self, robot: &Robot, level: usize, stream: &mut Stream) -> Dynamics {
        let mut dynamics = Dynamics {
            friction: uniform(self.friction, stream),
            added_base_mass_kg: uniform(self.added_base_mass_kg, stream),
            noise_seed: stream.random(),
            actuation_delay_steps: stream
                .random_range(self.actuation_delay_steps[0]..=self.actuation_delay_steps[1]),
            ..Dynamics::nominal(robot)
        };
        let amplitude = self.torque_noise_per_level_nm * level as f32;
        for joint in 0..robot.num_joints() {
            // ERFI-50: half of the joints get an offset for the whole episode, the others fresh noise.
            if stream.random::<bool>() {
                dynamics.torque_offset_nm[joint] = uniform([-amplitude, amplitude], stream);
            } else {
                dynamics.torque_noise_nm[joint] = amplitude;
            }
        }
        dynamics
    }

    /// Draws the encoder errors of one episode, rad.
    pub fn draw_joint_bias(&self, robot: &Robot, stream: &mut Stream) -> JointVec {
        (0..robot.num_joints())
            .map(|_| uniform(self.joint_bias_rad, stream))
            .collect()
    }
}
