//! Motors as springs and dampers.

use super::model::JointModel;
use crate::engine::PhysicsConfig;

/// A motor in rapier's terms. Its spring and damper are part of the mass matrix, so the law of [`crate::motor`] is solved
/// exactly together with the rest of the robot; rapier's joint motors would be one constraint each, swept once.
pub struct Motor {
    pub spring_stiffness: f32,
    pub spring_rest_rad: f32,
    pub damping: f32,
}

/// A spring so soft that it is nothing but the torque it is stretched to.
const CONSTANT_TORQUE_STIFFNESS: f32 = 0.01;

impl Motor {
    pub fn new(
        joint: &JointModel,
        config: &PhysicsConfig,
        target_rad: f32,
        position_rad: f32,
        velocity_radps: f32,
        added_nm: f32,
    ) -> Self {
        let (lowest_nm, highest_nm) = config.motor.torque_bounds_nm(
            joint.effort_limit_nm,
            joint.velocity_limit_radps,
            velocity_radps,
        );
        let (stiffness, damping) = (joint.motor_stiffness, joint.motor_damping);
        let torque_nm =
            stiffness * (target_rad - position_rad) - damping * velocity_radps + added_nm;
        if stiffness > 0.0 && (lowest_nm..=highest_nm).contains(&torque_nm) {
            return Self {
                spring_stiffness: stiffness,
                spring_rest_rad: target_rad + added_nm / stiffness,
                damping,
            };
        }
        let torque_nm = torque_nm.clamp(lowest_nm, highest_nm);
        Self {
            spring_stiffness: CONSTANT_TORQUE_STIFFNESS,
            spring_rest_rad: position_rad
                + config.step_s * velocity_radps
                + torque_nm / CONSTANT_TORQUE_STIFFNESS,
            damping: 0.0,
        }
    }
}
