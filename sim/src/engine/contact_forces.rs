//! Contact forces by class of body.

use nalgebra::Vector3;
use rapier3d::prelude::*;
use robots::{ContactClass, FootVec};
use serde::{Deserialize, Serialize};

use super::{convert, model::ContactTag};
use crate::engine::PhysicsState;

/// Contact forces of the last policy step.
#[derive(Clone, Serialize, Deserialize)]
pub struct Contacts {
    foot_force_world: FootVec<Vector3<f32>>,
    foot_horizontal_excess_n: f32,
    base_force_n: f32,
    thigh_force_n: FootVec<f32>,
    calf_force_n: FootVec<f32>,
}

impl Contacts {
    pub fn none(num_legs: usize) -> Self {
        let zeros: FootVec<f32> = std::iter::repeat_n(0.0, num_legs).collect();
        Self {
            foot_force_world: std::iter::repeat_n(Vector3::zeros(), num_legs).collect(),
            foot_horizontal_excess_n: 0.0,
            base_force_n: 0.0,
            thigh_force_n: zeros.clone(),
            calf_force_n: zeros,
        }
    }

    pub fn begin_policy_step(&mut self) {
        self.foot_horizontal_excess_n = f32::NEG_INFINITY;
        self.base_force_n = 0.0;
        self.thigh_force_n.fill(0.0);
        self.calf_force_n.fill(0.0);
    }

    /// Reads the forces of the physics step just taken.
    pub fn measure(&mut self, narrow_phase: &NarrowPhase, colliders: &ColliderSet, step_s: f32) {
        self.foot_force_world.fill(Vector3::zeros());
        for pair in narrow_phase.contact_pairs() {
            let Some((robot_is_first, tag)) = robot_side(colliders, pair) else {
                continue;
            };
            let impulse_on_first = total_impulse(pair);
            if impulse_on_first == Vector::ZERO {
                continue;
            }
            let sign = if robot_is_first { 1.0 } else { -1.0 };
            let force = convert::to_vector(impulse_on_first * (sign / step_s));
            let force_n = force.norm();
            let largest = match tag.class {
                ContactClass::Base => &mut self.base_force_n,
                ContactClass::Thigh => &mut self.thigh_force_n[tag.leg],
                ContactClass::Calf => &mut self.calf_force_n[tag.leg],
                ContactClass::Foot => {
                    self.foot_force_world[tag.leg] += force;
                    continue;
                }
            };
            *largest = largest.max(force_n);
        }
        for force in &self.foot_force_world {
            let excess_n = force.xy().norm() - 2.0 * force.z.abs();
            self.foot_horizontal_excess_n = self.foot_horizontal_excess_n.max(excess_n);
        }
    }

    pub fn read(&self, state: &mut PhysicsState) {
        state.foot_force_world.clone_from(&self.foot_force_world);
        state.foot_horizontal_excess_n = self.foot_horizontal_excess_n;
        state.base_force_n = self.base_force_n;
        state.thigh_force_n.clone_from(&self.thigh_force_n);
        state.calf_force_n.clone_from(&self.calf_force_n);
    }
}

/// Impulse of normal force and friction on the first collider of a pair.
fn total_impulse(pair: &ContactPair) -> Vector {
    let mut impulse = Vector::ZERO;
    for manifold in pair
        .rigid()
        .map_or(&[][..], RigidPairContacts::solver_manifolds)
    {
        // Points that the solver was not given still carry impulses of previous steps.
        for solver_contact in &manifold.data.solver_contacts {
            let [point] = solver_contact.contact_indices();
            let data = &manifold.points[point as usize].data;
            impulse += data.warmstart_tangent_world - manifold.data.normal * data.impulse;
        }
    }
    impulse
}

/// Whether the robot's collider is the first of a pair, and what it counts as.
fn robot_side(colliders: &ColliderSet, pair: &ContactPair) -> Option<(bool, ContactTag)> {
    let tag = |handle| {
        let collider: Option<&Collider> = colliders.get(handle);
        collider.and_then(|collider| ContactTag::unpack(collider.user_data))
    };
    tag(pair.collider1)
        .map(|tag| (true, tag))
        .or_else(|| tag(pair.collider2).map(|tag| (false, tag)))
}
