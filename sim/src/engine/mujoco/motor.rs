//! Motors in a step that is implicit in them.

use super::model::RobotJoint;
use crate::engine::{MotorConfig, MotorTarget};

/// The torque of the shared law as a function of the velocity after the step: `constant - per_velocity * velocity`.
///
/// MuJoCo's own implicit integrators solve contacts as if motors were explicit. Here the slope times the step counts
/// as inertia of the joint, which is the implicit step itself and holds for contacts too.
#[derive(Clone, Copy)]
pub struct Motor {
    /// N·m.
    pub constant_nm: f64,
    /// N·m·s/rad.
    pub per_velocity: f64,
}

impl Motor {
    pub fn new(
        joint: &RobotJoint,
        motor: &MotorConfig,
        step_s: f32,
        target: &MotorTarget,
        position_rad: f64,
        velocity_radps: f64,
    ) -> Self {
        let (stiffness, damping) = (f64::from(target.stiffness), f64::from(target.damping));
        let added_nm = f64::from(target.torque_nm) + damping * f64::from(target.velocity_radps);
        let spring_nm = stiffness * (f64::from(target.position_rad) - position_rad) + added_nm;
        let torque_nm = spring_nm - damping * velocity_radps;
        let (lowest_nm, highest_nm) = motor.torque_bounds_nm(
            joint.effort_limit_nm,
            joint.velocity_limit_radps,
            velocity_radps as f32,
        );
        let bounded_nm = torque_nm.clamp(f64::from(lowest_nm), f64::from(highest_nm));
        if bounded_nm == torque_nm {
            Self {
                constant_nm: spring_nm,
                per_velocity: damping + stiffness * f64::from(step_s),
            }
        } else {
            Self {
                constant_nm: bounded_nm,
                per_velocity: 0.0,
            }
        }
    }

    /// Torque of a step that ends with this velocity, N·m.
    pub fn torque_nm(&self, velocity_radps: f64) -> f64 {
        self.constant_nm - self.per_velocity * velocity_radps
    }
}
