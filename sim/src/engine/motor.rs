//! The motor model: an effort-limited PD law whose torque may fall with speed.
//!
//! Once per physics step the law `stiffness * (target - position) - damping * velocity + offset + noise` is evaluated
//! on the current state. Within the bounds of [`MotorConfig::torque_bounds_nm`] the law acts as it is, implicitly in
//! position and velocity, so that it is stable for any gains; beyond them the bound acts as a constant torque. A joint that
//! an impact turns within the step may so exceed the bound for that step, as a real motor does by its back-EMF.

use serde::{Deserialize, Serialize};

/// Motor settings shared by all joints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MotorConfig {
    /// Fraction of the velocity limit up to which the whole effort limit is available; from there it falls linearly to
    /// zero at the velocity limit. 1 switches the torque-speed curve off (the paper's setting).
    pub full_effort_until: f32,
}

impl Default for MotorConfig {
    fn default() -> Self {
        Self {
            full_effort_until: 1.0,
        }
    }
}

impl MotorConfig {
    /// Least and greatest torque that a motor has at `velocity_radps`, N·m. Speed costs torque only in the direction of
    /// motion: a motor brakes with its whole effort.
    #[inline(always)]
    pub(crate) fn torque_bounds_nm(
        &self,
        effort_limit_nm: f32,
        velocity_limit_radps: f32,
        velocity_radps: f32,
    ) -> (f32, f32) {
        if self.full_effort_until >= 1.0 {
            return (-effort_limit_nm, effort_limit_nm);
        }
        let falling_range_radps = (1.0 - self.full_effort_until) * velocity_limit_radps;
        let fraction = |speed_radps: f32| {
            ((velocity_limit_radps - speed_radps) / falling_range_radps).clamp(0.0, 1.0)
        };
        (
            -effort_limit_nm * fraction(-velocity_radps),
            effort_limit_nm * fraction(velocity_radps),
        )
    }
}

/// What a motor is told to do: the law of [`MotorConfig`] with gains, target velocity and torque of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MotorTarget {
    /// rad.
    pub position_rad: f32,
    /// rad/s.
    pub velocity_radps: f32,
    /// N·m, added to what the law gives.
    pub torque_nm: f32,
    /// N·m/rad.
    pub stiffness: f32,
    /// N·m·s/rad.
    pub damping: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torque_falls_with_speed_in_the_direction_of_motion_only() {
        let motor = MotorConfig {
            full_effort_until: 0.5,
        };
        let bounds = |velocity| motor.torque_bounds_nm(20.0, 10.0, velocity);
        assert_eq!(bounds(0.0), (-20.0, 20.0));
        assert_eq!(bounds(5.0), (-20.0, 20.0));
        assert_eq!(bounds(7.5), (-20.0, 10.0));
        assert_eq!(bounds(12.0), (-20.0, 0.0));
        assert_eq!(bounds(-7.5), (-10.0, 20.0));
    }

    #[test]
    fn without_curve_the_effort_limit_holds_at_any_speed() {
        let motor = MotorConfig::default();
        assert_eq!(motor.torque_bounds_nm(20.0, 10.0, 50.0), (-20.0, 20.0));
    }
}
