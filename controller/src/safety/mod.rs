//! Bounds of every joint target.

mod bounds;

use robots::{JointTarget, JointVec, Robot, RobotState};
use serde::{Deserialize, Serialize};

pub use self::bounds::SettingError;
pub(crate) use self::bounds::check_ranges;

/// A change of target that a policy makes is spread over at least so many control cycles.
const CYCLES_PER_CHANGE: f32 = 2.0;

/// Limits of every joint target, in simulation and on a robot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SafetyConfig {
    /// From one policy step to the next a target may change by this many times what the joint moves at its velocity limit.
    /// On a robot the change takes at least two control cycles.
    pub velocity_factor: f32,
    /// On a robot a target may ask for at most this many times the joint's effort limit. Motors saturate at 1.
    pub effort_factor: f32,
    /// On a robot the targets may ask for at most this mechanical power of all joints together, W.
    pub power_w: f32,
    /// Damping of all joints while the robot is damped, N·m·s/rad.
    pub damping_nms: f32,
}

impl Default for SafetyConfig {
    fn default() -> Self {
        Self {
            velocity_factor: 4.0,
            effort_factor: 1.25,
            power_w: 3000.0,
            damping_nms: 2.0,
        }
    }
}

impl SafetyConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), SettingError> {
        check_ranges(&[
            (
                "controller.safety.velocity_factor",
                self.velocity_factor,
                0.1,
                100.0,
            ),
            (
                "controller.safety.effort_factor",
                self.effort_factor,
                1.0,
                10.0,
            ),
            ("controller.safety.power_w", self.power_w, 100.0, 20_000.0),
            // Less would let the robot drop.
            ("controller.safety.damping_nms", self.damping_nms, 0.5, 20.0),
        ])
    }

    /// Limits of the targets of each joint that come every `interval_s`.
    pub fn joint_limits(
        &self,
        robot: &Robot,
        interval_s: f32,
    ) -> impl Iterator<Item = JointLimits> {
        let joints = robot.joints().zip(&robot.control.stiffness);
        joints.map(move |(joint, stiffness)| {
            // A target beyond the stop by this still has all the effort at the stop; farther adds nothing.
            let margin_rad = joint.effort_limit_nm / stiffness;
            JointLimits {
                lower_rad: joint.lower_rad - margin_rad,
                upper_rad: joint.upper_rad + margin_rad,
                change_rad: self.velocity_factor * joint.velocity_limit_radps * interval_s,
                effort_nm: joint.effort_limit_nm,
            }
        })
    }
}

/// Which limits were reached in a cycle, by any joint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limited {
    /// A target moved too fast.
    pub velocity: bool,
    /// A target asked for too much effort.
    pub effort: bool,
    /// The targets asked for too much power.
    pub power: bool,
    /// A target lay too far outside the position limits.
    pub position: bool,
    /// There was no usable target: the fallback was commanded.
    pub fallback: bool,
}

impl Limited {
    /// Whether the command is another than the one asked for.
    pub fn any(self) -> bool {
        self.velocity || self.effort || self.power || self.position || self.fallback
    }
}

/// Bounds every joint target by the robot's limits. Deterministic; never allocates after construction.
#[derive(Clone, Debug)]
pub struct SafetyLimiter {
    joints: Vec<JointLimits>,
    power_w: f32,
    damping_nms: f32,
    default_position_rad: JointVec,
    /// Last target sent, empty before the first.
    previous_rad: JointVec,
}

/// Limits of the targets of one joint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointLimits {
    /// Lowest target, rad.
    pub lower_rad: f32,
    /// Highest target, rad.
    pub upper_rad: f32,
    /// Largest change from one target to the next, rad.
    pub change_rad: f32,
    /// Largest effort that a target may ask for, N·m.
    pub effort_nm: f32,
}

impl SafetyLimiter {
    /// For targets that are held over a policy step of `policy_step_s`. They are not bounded by effort: the motors
    /// saturate anyway, and a bound would cut what they do once the joint has moved.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn per_policy_step(
        robot: &Robot,
        config: &SafetyConfig,
        policy_step_s: f32,
    ) -> Result<Self, SettingError> {
        Self::new(robot, config, policy_step_s, [f32::INFINITY; 2])
    }

    /// For the commands of every control cycle.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn per_control_cycle(
        robot: &Robot,
        config: &SafetyConfig,
        policy_step_s: f32,
    ) -> Result<Self, SettingError> {
        let interval_s = policy_step_s / CYCLES_PER_CHANGE;
        let limits = [config.effort_factor, config.power_w];
        Self::new(robot, config, interval_s, limits)
    }

    fn new(
        robot: &Robot,
        config: &SafetyConfig,
        interval_s: f32,
        [effort_factor, power_w]: [f32; 2],
    ) -> Result<Self, SettingError> {
        config.validate()?;
        let joints = config.joint_limits(robot, interval_s);
        let joints = joints.map(|limits| JointLimits {
            effort_nm: effort_factor * limits.effort_nm,
            ..limits
        });
        Ok(Self {
            joints: joints.collect(),
            power_w,
            damping_nms: config.damping_nms,
            default_position_rad: robot.control.default_position_rad.iter().copied().collect(),
            previous_rad: JointVec::new(),
        })
    }

    /// Forgets the last target: the next is compared to the measured joint positions.
    pub fn reset(&mut self) {
        self.previous_rad.clear();
    }

    /// Limits `target` in place: its effort, then the power of all joints, its position, and last its change, which holds
    /// whatever the input. A target that is not finite, or has not one number per joint, gives the
    /// [fallback](Self::fall_back).
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
        let mut limited = Limited {
            effort: self.limit_effort(state, target),
            power: self.limit_power(state, target),
            ..Limited::default()
        };
        for (index, joint) in self.joints.iter().enumerate() {
            let target_rad = &mut target.position_rad[index];
            limited.position |= clamp(target_rad, joint.lower_rad, joint.upper_rad);
            let previous_rad = self.previous_rad[index];
            let (low_rad, high_rad) = (
                previous_rad - joint.change_rad,
                previous_rad + joint.change_rad,
            );
            limited.velocity |= clamp(target_rad, low_rad, high_rad);
        }
        self.previous_rad.clone_from(&target.position_rad);
        limited
    }

    /// Bounds `effort = stiffness * (target - position) - damping * velocity` of each joint.
    fn limit_effort(&self, state: &RobotState, target: &mut JointTarget) -> bool {
        let mut limited = false;
        for (index, joint) in self.joints.iter().enumerate() {
            let stiffness = target.stiffness[index];
            if stiffness <= 0.0 {
                continue;
            }
            let damping_nm = target.damping[index] * state.joint_velocity_radps[index];
            let position_rad = state.joint_position_rad[index];
            let low_rad = position_rad + (damping_nm - joint.effort_nm) / stiffness;
            let high_rad = position_rad + (damping_nm + joint.effort_nm) / stiffness;
            // The range always contains the measured position, so that no velocity moves a target past it.
            let (low_rad, high_rad) = (low_rad.min(position_rad), high_rad.max(position_rad));
            limited |= clamp(&mut target.position_rad[index], low_rad, high_rad);
        }
        limited
    }

    /// Moves the targets of the joints that drive towards their measured positions, all by the same fraction, until they
    /// ask for no more power than allowed. Joints that brake are left alone.
    fn limit_power(&self, state: &RobotState, target: &mut JointTarget) -> bool {
        let effort_nm = |index: usize, target_rad: f32| {
            let offset_rad = target_rad - state.joint_position_rad[index];
            target.stiffness[index] * offset_rad
                - target.damping[index] * state.joint_velocity_radps[index]
        };
        let driving_w = |index: usize, target_rad: f32| {
            (effort_nm(index, target_rad) * state.joint_velocity_radps[index]).max(0.0)
        };
        let power_w: f32 = (0..self.joints.len())
            .map(|index| driving_w(index, target.position_rad[index]))
            .sum();
        if power_w <= self.power_w {
            return false;
        }
        let fraction = self.power_w / power_w;
        let mut moved = target.position_rad.clone();
        for (index, target_rad) in moved.iter_mut().enumerate() {
            if driving_w(index, *target_rad) > 0.0 {
                let position_rad = state.joint_position_rad[index];
                *target_rad = position_rad + fraction * (*target_rad - position_rad);
            }
        }
        target.position_rad = moved;
        true
    }

    /// Writes the fallback command: no stiffness, only damping, with the measured positions as targets (the default
    /// position for joints whose position is not finite), so that the robot sinks down. The last target is forgotten.
    pub fn fall_back(&mut self, state: &RobotState, target: &mut JointTarget) {
        self.reset();
        let count = self.joints.len();
        for (values, value) in [
            (&mut target.stiffness, 0.0),
            (&mut target.damping, self.damping_nms),
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
        }) && [&target.stiffness, &target.damping]
            .into_iter()
            .all(|gains| gains.iter().all(|&gain| gain >= 0.0))
    }
}

/// Whether `value` had to be changed to lie in a range. Not `f32::clamp`, which panics on an empty range.
fn clamp(value: &mut f32, low: f32, high: f32) -> bool {
    let clamped = value.max(low).min(high);
    let changed = clamped != *value;
    *value = clamped;
    changed
}

#[cfg(test)]
mod tests;
