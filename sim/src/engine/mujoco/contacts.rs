//! Contact forces from MuJoCo's contact points.

use nalgebra::Vector3;

use super::model::{Data, GeomTags};
use crate::engine::contact_forces::ContactForces;

/// Reads the forces of the physics step just taken.
pub fn measure(forces: &mut ContactForces, data: &Data, tags: &GeomTags) {
    forces.begin_physics_step();
    // The points of a pair of shapes follow each other; what counts is the force of the pair.
    let mut pair_force = Vector3::zeros();
    let contacts = data.contact();
    for (index, contact) in contacts.iter().enumerate() {
        let force = data.contact_force(index);
        for (row, along) in contact.frame.chunks_exact(3).zip(force) {
            pair_force += along * Vector3::from_column_slice(row);
        }
        let next = contacts.get(index + 1);
        if next.is_some_and(|next| next.geom == contact.geom) || pair_force == Vector3::zeros() {
            continue;
        }
        // The frame's first axis points from the first shape to the second, on which the force acts.
        let [first, second] = contact.geom;
        if let Some(tag) = tags.get(second) {
            forces.add(tag, pair_force.cast());
        } else if let Some(tag) = tags.get(first) {
            forces.add(tag, -pair_force.cast());
        }
        pair_force = Vector3::zeros();
    }
    forces.end_physics_step();
}
