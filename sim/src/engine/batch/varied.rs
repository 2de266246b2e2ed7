//! Joints that differ from robot to robot. Blocks in which none does use the constants of the model.

use robots::MAX_FEET;

use super::{
    block::PerJoint,
    lanes::Lanes,
    model::{JointModel, Model},
};
use crate::engine::Variation;

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
    full_effort_until: L,
}

/// Constants of a joint.
pub(super) struct JointParameters<L> {
    pub stiffness: L,
    pub motor_damping: L,
    pub effort_limit: L,
    pub armature: L,
    pub friction: L,
    pub damping: L,
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
            full_effort_until: L::zero(),
        };
        for lane in 0..L::LANES {
            joints.set(model, lane, None);
        }
        joints
    }

    /// The robot of one lane.
    pub fn set(&mut self, model: &Model<N>, lane: usize, variation: Option<&Variation>) {
        let put = |to: &mut L, value: f32| to.as_mut_slice()[lane] = value;
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
            }
        }
        let full_until = variation.map_or(1.0, |v| v.full_effort_until);
        let full_until = full_until.min(model.motor.full_effort_until);
        put(&mut self.full_effort_until, full_until);
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
        }
    }

    /// [`crate::engine::MotorConfig::torque_bounds_nm`] in lanes.
    #[inline(always)]
    pub fn torque_bounds(&self, joint: &JointModel, effort: L, velocity: L) -> (L, L) {
        let (zero, one) = (L::zero(), L::splat(1.0));
        let has_curve = self.full_effort_until.lt(one);
        if !L::any(has_curve) {
            return (-effort, effort);
        }
        let limit = L::splat(joint.velocity_limit_radps);
        let falling = L::select(has_curve, one - self.full_effort_until, one);
        let inverse_range = (falling * limit).recip();
        let forward = ((limit - velocity) * inverse_range).clamp(zero, one);
        let backward = ((limit + velocity) * inverse_range).clamp(zero, one);
        (
            -(effort * L::select(has_curve, backward, one)),
            effort * L::select(has_curve, forward, one),
        )
    }
}

impl<L: Lanes> JointParameters<L> {
    /// Those of all robots as described.
    #[inline(always)]
    pub fn of(joint: &JointModel) -> Self {
        Self {
            stiffness: L::splat(joint.stiffness),
            motor_damping: L::splat(joint.motor_damping),
            effort_limit: L::splat(joint.effort_limit_nm),
            armature: L::splat(joint.armature_kgm2),
            friction: L::splat(joint.friction_nm),
            damping: L::splat(joint.damping_nms),
        }
    }
}
