//! Contact forces from rapier's contact pairs.

use rapier3d::prelude::*;

use super::{convert, model};
use crate::engine::contact_forces::{ContactForces, ContactTag};

/// Reads the forces of the physics step just taken.
pub fn measure(
    forces: &mut ContactForces,
    narrow_phase: &NarrowPhase,
    colliders: &ColliderSet,
    step_s: f32,
) {
    forces.begin_physics_step();
    for pair in narrow_phase.contact_pairs() {
        let Some((robot_is_first, tag)) = robot_side(colliders, pair) else {
            continue;
        };
        let impulse_on_first = total_impulse(pair);
        if impulse_on_first == Vector::ZERO {
            continue;
        }
        let sign = if robot_is_first { 1.0 } else { -1.0 };
        forces.add(tag, convert::to_vector(impulse_on_first * (sign / step_s)));
    }
    forces.end_physics_step();
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
            // A bounce takes back a part of the normal impulse after friction was bounded by it.
            let friction = data
                .warmstart_tangent_world
                .clamp_length_max(manifold.data.friction * data.impulse);
            impulse += friction - manifold.data.normal * data.impulse;
        }
    }
    impulse
}

/// Whether the robot's collider is the first of a pair, and what it counts as.
fn robot_side(colliders: &ColliderSet, pair: &ContactPair) -> Option<(bool, ContactTag)> {
    let tag = |handle| {
        let collider: Option<&Collider> = colliders.get(handle);
        collider.and_then(|collider| model::tag(collider.user_data))
    };
    tag(pair.collider1)
        .map(|tag| (true, tag))
        .or_else(|| tag(pair.collider2).map(|tag| (false, tag)))
}
