//! What acts in a joint besides the dynamics: motor, damping, dry friction, stops.
//!
//! Motor and damping act implicitly: with the torque `t - a v_new` the step solves `(M + a dt) dv = dt (t - a v)`.
//! Dry friction brakes by at most its torque, and by a part of the momentum of the joint at low speed. A stop is a
//! one-sided damper, ten times as heavy as the joint, towards the fastest velocity that the stop allows.

use super::{block::Block, lanes::Lanes, model::Model, varied::JointParameters};
use crate::engine::torque_noise;

/// Fraction of a joint's momentum that dry friction takes per step at low speed.
const FRICTION_FRACTION: f32 = 0.25;
/// Weight of a stop relative to the inertia at the joint.
const STOP_WEIGHT: f32 = 10.0;
/// Fraction of the angle beyond a stop that is removed per step.
const STOP_ERROR_REDUCTION: f32 = 0.2;
/// Fastest return from beyond a stop, rad/s.
const STOP_PUSH_OUT_RADPS: f32 = 2.0;

/// Torques of a joint in one step.
pub(super) struct Drive<L> {
    /// Armature and implicit terms, for the diagonal of the mass matrix.
    pub extra_inertia: L,
    /// Impulse on the joint.
    pub impulse: L,
    pub applied: Applied<L>,
}

/// The motor torque as a function of the new velocity.
#[derive(Clone, Copy)]
pub(super) struct Applied<L> {
    constant: L,
    per_velocity: L,
}

impl<L: Lanes> Applied<L> {
    pub fn zero() -> Self {
        Self {
            constant: L::zero(),
            per_velocity: L::zero(),
        }
    }

    /// Motor torque of a step that ends with this velocity.
    #[inline(always)]
    pub fn torque(&self, new_velocity: L) -> L {
        self.constant - self.per_velocity * new_velocity
    }
}

/// Joint `i` of leg `l` in the `step`-th physics step of the policy step; `inertia` is that of all links behind it.
#[inline(always)]
pub(super) fn drive<L: Lanes, const N: usize>(
    model: &Model<N>,
    block: &Block<L, N>,
    l: usize,
    i: usize,
    step: usize,
    inertia: L,
) -> Drive<L> {
    let joint = &model.legs[l][i];
    let (zero, dt) = (L::zero(), L::splat(model.step_s));
    let (position, velocity) = (
        block.state.joint_position[l][i],
        block.state.joint_velocity[l][i],
    );
    let parameters = match &block.varied {
        None => JointParameters::of(joint, &model.motor),
        Some(varied) => varied.get(l, i),
    };
    let (lowest, highest) = parameters.torque_bounds(velocity);
    let JointParameters {
        stiffness,
        motor_damping: damping,
        armature,
        friction,
        damping: viscous,
        ..
    } = parameters;
    let inertia = inertia + armature;

    // The motor, on the state before the step; implicit within its bounds, constant on them.
    let mut law = stiffness * (target(model, block, l, i, step) - position) - damping * velocity;
    law = law + block.state.torque_offset[l][i];
    if block.has_noise {
        law = law + noise(block, l * N + i) * block.state.torque_noise[l][i];
    }
    let bounded = law.clamp(lowest, highest);
    let is_free = (law - bounded).abs().lt(L::splat(f32::MIN_POSITIVE));
    let per_velocity = L::select(is_free, damping + stiffness * dt, zero);
    let constant = L::select(is_free, law + damping * velocity, bounded);

    let implicit = per_velocity + viscous;
    let mut extra_inertia = armature + implicit * dt;
    let mut impulse = dt * (constant - implicit * velocity);

    let friction = friction * dt;
    impulse =
        impulse - (inertia * velocity * L::splat(FRICTION_FRACTION)).clamp(-friction, friction);

    let inverse_step = L::splat(1.0 / model.step_s);
    let expected = velocity + dt * bounded * inertia.recip();
    let highest = stop_velocity(L::splat(joint.upper_rad) - position, inverse_step);
    let lowest = -stop_velocity(position - L::splat(joint.lower_rad), inverse_step);
    let allowed = expected.clamp(lowest, highest);
    let is_stopped = zero.lt((expected - allowed).abs());
    let weight = L::select(is_stopped, inertia * L::splat(STOP_WEIGHT), zero);
    extra_inertia = extra_inertia + weight;
    impulse = impulse + weight * (allowed - velocity);
    Drive {
        extra_inertia,
        impulse,
        applied: Applied {
            constant,
            per_velocity,
        },
    }
}

/// Fastest velocity towards a stop at an angle of `gap`.
#[inline(always)]
fn stop_velocity<L: Lanes>(gap: L, inverse_step: L) -> L {
    let closing = gap * inverse_step;
    let returning = (closing * L::splat(STOP_ERROR_REDUCTION)).max(L::splat(-STOP_PUSH_OUT_RADPS));
    L::select(L::zero().lt(gap), closing, returning)
}

/// The joint target in force, which may be one of earlier policy steps.
#[inline(always)]
fn target<L: Lanes, const N: usize>(
    model: &Model<N>,
    block: &Block<L, N>,
    l: usize,
    i: usize,
    step: usize,
) -> L {
    let mut target = block.targets[0][l][i];
    for back in 1..block.targets.len() {
        let since = L::splat(((back - 1) * model.decimation + step) as f32);
        target = L::select(
            since.lt(block.target_delay_steps),
            block.targets[back][l][i],
            target,
        );
    }
    target
}

#[inline(always)]
fn noise<L: Lanes, const N: usize>(block: &Block<L, N>, joint: usize) -> L {
    let mut out = L::zero();
    let seeds = &block.noise_seeds[..L::LANES];
    let steps = &block.state.physics_steps.as_slice()[..L::LANES];
    let lanes = &mut out.as_mut_slice()[..L::LANES];
    for lane in 0..L::LANES {
        // Lane step numbers are whole and below 2^24.
        lanes[lane] = torque_noise(seeds[lane], steps[lane] as u32, joint as u32);
    }
    out
}
