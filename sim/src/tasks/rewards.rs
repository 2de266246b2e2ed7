//! Rewards: each term is one function with its weight in the config, and each is logged.
//!
//! `reward_terms!` turns a list of `name = default weight` into the config struct, the list of names and the
//! evaluation; the functions of the same names stand beside it. All totals are multiplied by the policy step.

use nalgebra::Vector3;
use robots::{JointVec, Robot, RobotState};

use crate::{
    engine::{CONTACT_FORCE_N, PhysicsState},
    scene::Terrain,
};

/// Height from which on the speed of a foot costs nothing, m.
const LOW_FOOT_M: f32 = 0.03;

/// Declares a struct of reward weights whose terms are the functions of the same names in the calling module.
macro_rules! reward_terms {
    ($(#[$meta:meta])* $name:ident($context:ty) { $($(#[$doc:meta])* $term:ident = $weight:expr,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$doc])* pub $term: f32,)* }

        impl Default for $name {
            fn default() -> Self { Self { $($term: $weight,)* } }
        }

        impl $name {
            /// Names of the terms, in the order of [`Self::evaluate`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($term),)*];

            /// Writes weight * value of every term.
            pub fn evaluate(&self, context: &$context, terms: &mut [f32]) {
                let mut terms = terms.iter_mut();
                $(if let Some(term) = terms.next() {
                    *term = if self.$term == 0.0 { 0.0 } else { self.$term * $term(context) };
                })*
            }
        }
    };
}
pub(crate) use reward_terms;

/// What every reward term may look at after a policy step.
pub struct StepContext<'a> {
    /// The robot.
    pub robot: &'a Robot,
    /// Ground under it.
    pub terrain: &'a Terrain,
    /// Limits of the joints.
    pub limits: &'a SoftLimits,
    /// Length of the policy step, s.
    pub step_s: f32,
    /// Time since the start of the episode, s.
    pub time_s: f32,
    /// True physical state, with contacts.
    pub physics: &'a PhysicsState,
    /// True state in the base frame.
    pub state: &'a RobotState,
    /// Action of this step.
    pub action: &'a [f32],
    /// Action of the step before.
    pub previous_action: &'a [f32],
    /// Joint velocities one policy step ago, rad/s.
    pub previous_joint_velocity_radps: &'a JointVec,
}

impl StepContext<'_> {
    /// Whether an episode of this length ends with this step. Half a step of tolerance: the times are rounded.
    pub fn is_last(&self, episode_s: f32) -> bool {
        episode_s - self.time_s < 0.5 * self.step_s
    }

    /// L1 distance of the joints to the standing pose, rad.
    pub fn distance_to_standing_rad(&self) -> f32 {
        let joints = self.physics.joint_position_rad.iter();
        joints
            .zip(&self.robot.control.standing_position_rad)
            .map(|(q, standing)| (q - standing).abs())
            .sum()
    }

    fn gravity_base(&self) -> Vector3<f32> {
        self.state.projected_gravity_base()
    }
}

/// Joint limits scaled down to where the penalties begin.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftLimits {
    lower_rad: Vec<f32>,
    upper_rad: Vec<f32>,
    velocity_radps: Vec<f32>,
    torque_nm: Vec<f32>,
}

impl SoftLimits {
    /// 0.95 of the position range, 0.9 of the velocity limit, 0.85 of the effort limit.
    pub fn new(robot: &Robot) -> Self {
        let shrink = |joint: &robots::Joint, side: f32| {
            let middle = 0.5 * (joint.lower_rad + joint.upper_rad);
            middle + side * 0.5 * 0.95 * (joint.upper_rad - joint.lower_rad)
        };
        Self {
            lower_rad: robot.joints().map(|joint| shrink(joint, -1.0)).collect(),
            upper_rad: robot.joints().map(|joint| shrink(joint, 1.0)).collect(),
            velocity_radps: robot
                .joints()
                .map(|joint| 0.9 * joint.velocity_limit_radps)
                .collect(),
            torque_nm: robot
                .joints()
                .map(|joint| 0.85 * joint.effort_limit_nm)
                .collect(),
        }
    }
}

reward_terms! {
    /// Penalties shared by the tasks (docs/concepts/agile-policy.md).
    Regularizers(StepContext<'_>) {
        /// Number of thighs in contact.
        thigh_contact = -100.0,
        /// Number of calves in contact.
        calf_contact = -100.0,
        /// Any foot whose horizontal force exceeds twice the vertical force by 10 N.
        foot_horizontal_contact = -100.0,
        /// Square of the vertical speed.
        vertical_speed = -2.0,
        /// Square of the roll and pitch rates.
        roll_pitch_rate = -0.05,
        /// Square of the horizontal part of the projected gravity.
        tilt = -20.0,
        /// Sum of squared torques.
        torque = -0.0005,
        /// Mechanical power that the motors give, W; braking counts as none. Not in the paper.
        motor_power = 0.0,
        /// Sum of squared joint speeds.
        joint_speed = -0.0005,
        /// Sum of squared joint accelerations.
        joint_acceleration = -2e-7,
        /// Sum of squared differences to the previous action.
        action_rate = -0.01,
        /// Excess over the soft position limits.
        joint_position_limit = -20.0,
        /// Excess over the soft velocity limits.
        joint_velocity_limit = -20.0,
        /// Excess over the soft effort limits.
        torque_limit = -20.0,
        /// No foot in contact, after the first half second.
        fly = -20.0,
        /// Squared distance of the first joint of each leg (the hip) to the standing pose: wide steps touch obstacles
        /// that the rays no longer see. Not in the paper.
        abduction = 0.0,
        /// Squared speed of the lowest point of each foot that touches the ground or comes down to it, in full on the ground
        /// and less up to 3 cm above it: slip and hard touchdowns. Not in the paper.
        landing_speed = 0.0,
    }
}

fn thigh_contact(context: &StepContext) -> f32 {
    touching(&context.physics.thigh_force_n)
}

fn calf_contact(context: &StepContext) -> f32 {
    touching(&context.physics.calf_force_n)
}

fn touching(forces_n: &[f32]) -> f32 {
    forces_n
        .iter()
        .filter(|&&force| force > CONTACT_FORCE_N)
        .count() as f32
}

fn foot_horizontal_contact(context: &StepContext) -> f32 {
    f32::from(context.physics.foot_is_pushed())
}

fn vertical_speed(context: &StepContext) -> f32 {
    context.state.linear_velocity_base.z.powi(2)
}

fn roll_pitch_rate(context: &StepContext) -> f32 {
    context.state.angular_velocity_base.xy().norm_squared()
}

fn tilt(context: &StepContext) -> f32 {
    context.gravity_base().xy().norm_squared()
}

fn torque(context: &StepContext) -> f32 {
    context
        .physics
        .joint_torque_nm
        .iter()
        .map(|torque| torque * torque)
        .sum()
}

fn motor_power(context: &StepContext) -> f32 {
    let torques_nm = context.physics.joint_torque_nm.iter();
    torques_nm
        .zip(&context.physics.joint_velocity_radps)
        .map(|(torque_nm, velocity_radps)| (torque_nm * velocity_radps).max(0.0))
        .sum()
}

fn joint_speed(context: &StepContext) -> f32 {
    context
        .physics
        .joint_velocity_radps
        .iter()
        .map(|speed| speed * speed)
        .sum()
}

fn joint_acceleration(context: &StepContext) -> f32 {
    let now = context.physics.joint_velocity_radps.iter();
    now.zip(context.previous_joint_velocity_radps)
        .map(|(now, before)| ((now - before) / context.step_s).powi(2))
        .sum()
}

fn action_rate(context: &StepContext) -> f32 {
    context
        .action
        .iter()
        .zip(context.previous_action)
        .map(|(now, before)| (now - before).powi(2))
        .sum()
}

fn joint_position_limit(context: &StepContext) -> f32 {
    let limits = context
        .limits
        .lower_rad
        .iter()
        .zip(&context.limits.upper_rad);
    let joints = context.physics.joint_position_rad.iter().zip(limits);
    joints
        .map(|(q, (lower, upper))| (lower - q).max(0.0) + (q - upper).max(0.0))
        .sum()
}

fn joint_velocity_limit(context: &StepContext) -> f32 {
    excess(
        &context.physics.joint_velocity_radps,
        &context.limits.velocity_radps,
    )
}

fn torque_limit(context: &StepContext) -> f32 {
    excess(&context.physics.joint_torque_nm, &context.limits.torque_nm)
}

fn excess(values: &[f32], limits: &[f32]) -> f32 {
    values
        .iter()
        .zip(limits)
        .map(|(value, limit)| (value.abs() - limit).max(0.0))
        .sum()
}

fn abduction(context: &StepContext) -> f32 {
    let standing_rad = &context.robot.control.standing_position_rad;
    let hips = context.robot.legs_with_joint_range();
    hips.map(|(_, range)| {
        let hip = range.start;
        (context.physics.joint_position_rad[hip] - standing_rad[hip]).powi(2)
    })
    .sum()
}

fn landing_speed(context: &StepContext) -> f32 {
    let legs = context.robot.legs_with_joint_range();
    let feet = legs.zip(&context.physics.foot_force_world);
    feet.map(|((leg, range), force)| {
        let (sole, velocity_mps) = context.physics.foot_sole_world(leg, range);
        if velocity_mps.z >= 0.0 && force.norm() <= CONTACT_FORCE_N {
            return 0.0;
        }
        let height_m = sole.z - context.terrain.height_m(sole.x, sole.y);
        let nearness = (1.0 - height_m / LOW_FOOT_M).clamp(0.0, 1.0);
        nearness * velocity_mps.norm_squared()
    })
    .sum()
}

fn fly(context: &StepContext) -> f32 {
    f32::from(context.time_s > 0.5 && !context.physics.any_foot_touches())
}

#[cfg(test)]
mod tests;
