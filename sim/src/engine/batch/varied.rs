//! Joints that differ from robot to robot. Blocks in which none does use the constants of the model.

use robots::MAX_FEET;

use super::{
    block::PerJoint,
    lanes::Lanes,
    model::{JointModel, Model},
};
use crate::engine::{MotorConfig, Variation};

/// What may differ, per joint.
pub(super) struct VariedJoints<L, const N: usize> {
    stiffness: PerJoint<L, N>,
    motor_damping: PerJoint<L, N>,
    effort_limit: PerJoint<L, N>,
    armature: PerJoint<L, N>,
    friction: PerJoint<L, N>,
    damping: PerJoint<L, N>,
    /// Factor on mass and inertia of the link.
    pub link_mass: PerJoint<L, N>,
    effort_curve: [PerJoint<L, N>; 2],
    /// Whether the torque of any robot falls with speed.
    has_effort_curve: bool,
}

/// Constants of a joint.
pub(super) struct JointParameters<L> {
    pub stiffness: L,
    pub motor_damping: L,
    pub effort_limit: L,
    pub armature: L,
    pub friction: L,
    pub damping: L,
    /// As [`effort_curve`] has it; `None` where all of the effort is there at any speed.
    pub effort_curve: Option<[L; 2]>,
}

/// Constants `[a, b]`: at a velocity v towards the torque, clamp(a - b v, 0, 1) of the effort limit is there
/// ([`crate::engine::MotorConfig::torque_bounds_nm`]).
fn effort_curve(full_effort_until: f32, velocity_limit_radps: f32) -> [f32; 2] {
    if full_effort_until >= 1.0 {
        return [1.0, 0.0];
    }
    let falling = 1.0 / (1.0 - full_effort_until);
    [falling, falling / velocity_limit_radps]
}

impl<L: Lanes, const N: usize> VariedJoints<L, N> {
    /// All robots as described.
    pub fn new(model: &Model<N>) -> Self {
        let zero = [[L::zero(); N]; MAX_FEET];
        let mut joints = Self {
            stiffness: zero,
            motor_damping: zero,
            effort_limit: zero,
            armature: zero,
            friction: zero,
            damping: zero,
            link_mass: zero,
            effort_curve: [zero; 2],
            has_effort_curve: false,
        };
        for lane in 0..L::LANES {
            joints.set(model, lane, None);
        }
        joints
    }

    /// The robot of one lane.
    pub fn set(&mut self, model: &Model<N>, lane: usize, variation: Option<&Variation>) {
        let put = |to: &mut L, value: f32| to.as_mut_slice()[lane] = value;
        let full_until = variation.map_or(1.0, |v| v.full_effort_until);
        let full_until = full_until.min(model.motor.full_effort_until);
        self.has_effort_curve |= full_until < 1.0;
        for (l, leg) in model.legs.iter().enumerate() {
            for (i, joint) in leg.iter().enumerate() {
                let at = l * N + i;
                let factor = |of: fn(&Variation) -> &[f32]| variation.map_or(1.0, |v| of(v)[at]);
                let added = |of: fn(&Variation) -> &[f32]| variation.map_or(0.0, |v| of(v)[at]);
                let strength = factor(|v| &v.strength);
                let stiffness = joint.stiffness * (strength * factor(|v| &v.stiffness));
                let motor_damping = joint.motor_damping * (strength * factor(|v| &v.damping));
                let armature = joint.armature_kgm2 * factor(|v| &v.armature);
                let friction = joint.friction_nm + added(|v| &v.added_friction_nm);
                let damping = joint.damping_nms + added(|v| &v.added_damping_nms);
                put(&mut self.stiffness[l][i], stiffness);
                put(&mut self.motor_damping[l][i], motor_damping);
                put(
                    &mut self.effort_limit[l][i],
                    joint.effort_limit_nm * strength,
                );
                put(&mut self.armature[l][i], armature);
                put(&mut self.friction[l][i], friction);
                put(&mut self.damping[l][i], damping);
                put(&mut self.link_mass[l][i], factor(|v| &v.link_mass));
                let curve = effort_curve(full_until, joint.velocity_limit_radps);
                for (to, value) in self.effort_curve.iter_mut().zip(curve) {
                    put(&mut to[l][i], value);
                }
            }
        }
    }

    /// Constants of joint `i` of leg `l`.
    #[inline(always)]
    pub fn get(&self, l: usize, i: usize) -> JointParameters<L> {
        JointParameters {
            stiffness: self.stiffness[l][i],
            motor_damping: self.motor_damping[l][i],
            effort_limit: self.effort_limit[l][i],
            armature: self.armature[l][i],
            friction: self.friction[l][i],
            damping: self.damping[l][i],
            effort_curve: if self.has_effort_curve {
                Some([self.effort_curve[0][l][i], self.effort_curve[1][l][i]])
            } else {
                None
            },
        }
    }
}

impl<L: Lanes> JointParameters<L> {
    /// Those of all robots as described.
    #[inline(always)]
    pub fn of(joint: &JointModel, motor: &MotorConfig) -> Self {
        Self {
            stiffness: L::splat(joint.stiffness),
            motor_damping: L::splat(joint.motor_damping),
            effort_limit: L::splat(joint.effort_limit_nm),
            armature: L::splat(joint.armature_kgm2),
            friction: L::splat(joint.friction_nm),
            damping: L::splat(joint.damping_nms),
            effort_curve: if motor.full_effort_until < 1.0 {
                let [a, b] = effort_curve(motor.full_effort_until, joint.velocity_limit_radps);
                Some([L::splat(a), L::splat(b)])
            } else {
                None
            },
        }
    }

    /// Least and greatest torque at this velocity.
    #[inline(always)]
    pub fn torque_bounds(&self, velocity: L) -> (L, L) {
        let effort = self.effort_limit;
        let Some([at_rest, per_speed]) = self.effort_curve else {
            return (-effort, effort);
        };
        let (zero, one) = (L::zero(), L::splat(1.0));
        let lost = per_speed * velocity;
        let forward = (at_rest - lost).clamp(zero, one);
        let backward = (at_rest + lost).clamp(zero, one);
        (-(effort * backward), effort * forward)
    }
}
