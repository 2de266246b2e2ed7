//! Motors as springs and dampers.

use super::model::RobotJoint;
use crate::engine::{MotorConfig, MotorTarget};

/// A motor in rapier's terms. Its spring and damper are part of the mass matrix, so the law of [`MotorConfig`] is solved
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
        joint: &RobotJoint,
        motor: &MotorConfig,
        step_s: f32,
        target: &MotorTarget,
        position_rad: f32,
        velocity_radps: f32,
    ) -> Self {
        let (lowest_nm, highest_nm) = motor.torque_bounds_nm(
            joint.effort_limit_nm,
            joint.velocity_limit_radps,
            velocity_radps,
        );
        let MotorTarget {
            stiffness, damping, ..
        } = *target;
        let added_nm = target.torque_nm + damping * target.velocity_radps;
        let torque_nm =
            stiffness * (target.position_rad - position_rad) - damping * velocity_radps + added_nm;
        let constant = |torque_nm: f32, damping: f32| Self {
            spring_stiffness: CONSTANT_TORQUE_STIFFNESS,
            spring_rest_rad: position_rad
                + step_s * velocity_radps
                + torque_nm / CONSTANT_TORQUE_STIFFNESS,
            damping,
        };
        if !(lowest_nm..=highest_nm).contains(&torque_nm) {
            return constant(torque_nm.clamp(lowest_nm, highest_nm), 0.0);
        }
        if stiffness > 0.0 {
            Self {
                spring_stiffness: stiffness,
                spring_rest_rad: target.position_rad + added_nm / stiffness,
                damping,
            }
        } else {
            constant(added_nm, damping)
        }
    }
}
