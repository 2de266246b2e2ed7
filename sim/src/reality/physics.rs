//! The part of reality that is physics.

use nalgebra::Vector3;
use robots::{JointVec, Robot};

use super::RealityConfig;
use crate::{
    engine::{Dynamics, Variation},
    random::{stream, uniform},
};

/// Streams of an episode's seed.
const DYNAMICS_STREAM: u64 = 2;
const VARIATION_STREAM: u64 = 3;

impl RealityConfig {
    /// Changes the physics of the episode with this seed.
    pub fn change_dynamics(
        &self,
        robot: &Robot,
        dynamics: &mut Dynamics,
        physics_step_s: f32,
        seed: u64,
    ) {
        let mut draws = stream(seed, DYNAMICS_STREAM);
        let stream = &mut draws;
        let steps = |delay_ms: f32| 1e-3 * delay_ms / physics_step_s;
        let delay_steps = steps(uniform(self.target_delay_ms, stream));
        dynamics.actuation_delay_steps += delay_steps.round() as usize;
        dynamics.delay_jitter_steps = steps(self.target_jitter_ms);
        dynamics.friction *= uniform(self.friction_factor, stream);
        dynamics.added_base_mass_kg += uniform(self.added_base_mass_kg, stream);
        dynamics.restitution = uniform(self.restitution, stream);
        dynamics.contact_softness_s = 1e-3 * uniform(self.contact_softness_ms, stream);
        dynamics.variation = self.draw_variation(robot, seed).map(Box::new);
    }

    /// In what the robot of the episode with this seed differs from its description.
    fn draw_variation(&self, robot: &Robot, seed: u64) -> Option<Variation> {
        let mut draws = stream(seed, VARIATION_STREAM);
        let stream = &mut draws;
        let none = Variation::none(robot);
        let mut joints = |range: [f32; 2]| -> JointVec {
            let each = (0..robot.num_joints()).map(|_| uniform(range, stream));
            each.collect()
        };
        let variation = Variation {
            strength: joints(self.motor_strength),
            stiffness: joints(self.stiffness_factor),
            damping: joints(self.damping_factor),
            armature: joints(self.armature_factor),
            added_friction_nm: joints(self.joint_friction_nm),
            added_damping_nms: joints(self.joint_damping_nms),
            link_mass: joints(self.link_mass_factor),
            base_com_offset_m: Vector3::from_fn(|_, _| uniform(self.com_offset_m, stream)),
            added_mass_offset_m: Vector3::new(
                uniform(self.payload_xy_m, stream),
                uniform(self.payload_xy_m, stream),
                uniform(self.payload_z_m, stream),
            ),
            full_effort_until: uniform(self.full_effort_until, stream),
        };
        (variation != none).then_some(variation)
    }
}
