//! The last thing between a policy and the motors.

use robots::{JointTarget, JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

/// Settings of the [`SafetyLimiter`]. The defaults leave a policy that works alone: they cut what no motor could do
/// and what would break a joint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SafetyConfig {
    /// Time between two targets, s.
    pub cycle_s: f32,
    /// A target may move at most this many times the joint's velocity limit.
    pub velocity_factor: f32,
    /// A target may ask for at most this many times the joint's effort limit from the PD law. Motors saturate at 1;
    /// with 3 they stay saturated over a whole cycle, so that the cut changes nothing that they do.
    pub effort_factor: f32,
    /// Damping of all joints in the fallback, N·m·s/rad.
    pub fallback_damping_nms: f32,
}

impl Default for SafetyConfig {
    fn default() -> Self {
        Self {
            cycle_s: 0.02,
            velocity_factor: 4.0,
            effort_factor: 3.0,
            fallback_damping_nms: 2.0,
        }
    }
}

/// A setting that would not be safe.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("controller.safety.{name} is {value}, must be {expected} and finite")]
pub struct SafetyConfigError {
    name: &'static str,
    value: f32,
    expected: &'static str,
}

impl SafetyConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), SafetyConfigError> {
        let positive = |value: f32| value > 0.0;
        let check = |name, value: f32, expected, ok: bool| {
            if ok && value.is_finite() {
                Ok(())
            } else {
                Err(SafetyConfigError {
                    name,
                    value,
                    expected,
                })
            }
        };
        check("cycle_s", self.cycle_s, "positive", positive(self.cycle_s))?;
        let factor = self.velocity_factor;
        check("velocity_factor", factor, "positive", positive(factor))?;
        check(
            "effort_factor",
            self.effort_factor,
            "at least 1",
            self.effort_factor >= 1.0,
        )?;
        let damping = self.fallback_damping_nms;
        check(
            "fallback_damping_nms",
            damping,
            "not negative",
            damping >= 0.0,
        )
    }
}

/// Which limits were reached in a cycle, by any joint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limited {
    /// A target moved too fast.
    pub velocity: bool,
    /// A target asked for too much effort.
    pub effort: bool,
    /// A target lay too far outside the position limits.
    pub position: bool,
    /// There was no usable target: the fallback was commanded.
    pub fallback: bool,
}

impl Limited {
    /// Whether the command is another than the one asked for.
    pub fn any(self) -> bool {
        self.velocity || self.effort || self.position || self.fallback
    }
}

/// Bounds every joint target by the robot's limits. Deterministic; never allocates after construction.
#[derive(Clone, Debug)]
pub struct SafetyLimiter {
    joints: Vec<JointLimits>,
    fallback_damping_nms: f32,
    default_position_rad: JointVec,
    /// Last target sent, empty before the first.
    previous_rad: JointVec,
}

#[derive(Clone, Copy, Debug)]
struct JointLimits {
    /// Range of targets, rad.
    lower_rad: f32,
    upper_rad: f32,
    /// Largest change of a target from one cycle to the next, rad.
    change_rad: f32,
    /// Largest effort that a target may ask for, N·m.
    effort_nm: f32,
}

impl SafetyLimiter {
    /// Takes the limits from the robot.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(robot: &Robot, config: &SafetyConfig) -> Result<Self, SafetyConfigError> {
        config.validate()?;
        let joints = robot
            .joints()
            .zip(&robot.control.stiffness)
            .map(|(joint, stiffness)| {
                // A target beyond the stop by this still has all the effort at the stop; farther adds nothing.
                let margin_rad = joint.effort_limit_nm / stiffness;
                JointLimits {
                    lower_rad: joint.lower_rad - margin_rad,
                    upper_rad: joint.upper_rad + margin_rad,
                    change_rad: config.velocity_factor
                        * joint.velocity_limit_radps
                        * config.cycle_s,
                    effort_nm: config.effort_factor * joint.effort_limit_nm,
                }
            })
            .collect();
        Ok(Self {
            joints,
            fallback_damping_nms: config.fallback_damping_nms,
            default_position_rad: robot.control.default_position_rad.iter().copied().collect(),
            previous_rad: JointVec::new(),
        })
    }

    /// Forgets the last target: the next is compared to the measured joint positions.
    pub fn reset(&mut self) {
        self.previous_rad.clear();
    }

    /// Limits `target` in place: first its change, then its effort, then its position, so that the last named always
    /// holds. Anything that is not finite, or not one number per joint, gives the [fallback](Self::fall_back).
    pub fn limit(&mut self, state: &RobotState, target: &mut JointTarget) -> Limited {
        if !self.is_sound(state, target) {
            self.fall_back(state, target);
            return Limited {
                fallback: true,
                ..Limited::default()
            };
        }
        if self.previous_rad.is_empty() {
            self.previous_rad.clone_from(&state.joint_position_rad);
        }
        let mut limited = Limited::default();
        for (index, joint) in self.joints.iter().enumerate() {
            let mut bound =
                |flag: fn(&mut Limited) -> &mut bool, value: f32, low: f32, high: f32| {
                    let clamped = value.max(low).min(high);
                    *flag(&mut limited) |= clamped != value;
                    clamped
                };
            let target_rad = &mut target.position_rad[index];
            let previous_rad = self.previous_rad[index];
            *target_rad = bound(
                |limited| &mut limited.velocity,
                *target_rad,
                previous_rad - joint.change_rad,
                previous_rad + joint.change_rad,
            );
            if target.stiffness[index] > 0.0 {
                // effort = stiffness * (target - position) - damping * velocity, solved for the target.
                let stiffness = target.stiffness[index];
                let damping_nm = target.damping[index] * state.joint_velocity_radps[index];
                let position_rad = state.joint_position_rad[index];
                *target_rad = bound(
                    |limited| &mut limited.effort,
                    *target_rad,
                    position_rad + (damping_nm - joint.effort_nm) / stiffness,
                    position_rad + (damping_nm + joint.effort_nm) / stiffness,
                );
            }
            *target_rad = bound(
                |limited| &mut limited.position,
                *target_rad,
                joint.lower_rad,
                joint.upper_rad,
            );
        }
        self.previous_rad.clone_from(&target.position_rad);
        limited
    }

    /// Writes the fallback command: no stiffness, only damping, with the measured positions as targets (the default
    /// posture for joints whose position is not finite), so that the robot sinks down. The last target is forgotten.
    pub fn fall_back(&mut self, state: &RobotState, target: &mut JointTarget) {
        self.reset();
        let count = self.joints.len();
        for (values, value) in [
            (&mut target.stiffness, 0.0),
            (&mut target.damping, self.fallback_damping_nms),
        ] {
            values.clear();
            values.extend(std::iter::repeat_n(value, count));
        }
        target.position_rad.clone_from(&self.default_position_rad);
        for (target, measured) in target
            .position_rad
            .iter_mut()
            .zip(&state.joint_position_rad)
        {
            if measured.is_finite() {
                *target = *measured;
            }
        }
    }

    fn is_sound(&self, state: &RobotState, target: &JointTarget) -> bool {
        [
            &state.joint_position_rad,
            &state.joint_velocity_radps,
            &target.position_rad,
            &target.stiffness,
            &target.damping,
        ]
        .into_iter()
        .all(|values| {
            values.len() == self.joints.len() && values.iter().all(|value| value.is_finite())
        })
    }
}

#[cfg(test)]
mod tests;
