//! Contact forces from MuJoCo's contact points.

use mujoco_rs::wrappers::mj_model::MjtGeomBase;
use nalgebra::Vector3;

use super::model::{Data, GeomTags};
use crate::{
    engine::contact_forces::ContactForces,
    scene::{HeightField, Terrain},
};

/// Reads the forces of the physics step just taken.
pub fn measure(forces: &mut ContactForces, data: &Data, tags: &GeomTags, terrain: &Terrain) {
    forces.begin_physics_step();
    // The points of a pair of shapes follow each other; what counts is the force of the pair.
    let mut pair_force = Vector3::zeros();
    let contacts = data.contact();
    for (index, contact) in contacts.iter().enumerate() {
        let force = data.contact_force(index);
        let along: [Vector3<f64>; 3] = std::array::from_fn(|axis| {
            force[axis] * Vector3::from_column_slice(&contact.frame[3 * axis..][..3])
        });
        pair_force += match terrain {
            Terrain::HeightField(field) if is_height_field(data, contact.geom[0]) => {
                on_ground(field, contact.pos, along)
            }
            _ => along.iter().sum(),
        };
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

fn is_height_field(data: &Data, geom: i32) -> bool {
    let geom = usize::try_from(geom).ok();
    let kind = geom.and_then(|geom| data.model().geom_type().get(geom));
    kind == Some(&MjtGeomBase::mjGEOM_HFIELD)
}

/// The force of a contact on a shape that touches a height field, whose parts are along the normal and two tangents. To MuJoCo each
/// triangle is a prism, and a foot that has sunk into the ground touches the sides of prisms within it; the normal
/// force counts along the normal of the ground.
fn on_ground(field: &HeightField, at_world: [f64; 3], along: [Vector3<f64>; 3]) -> Vector3<f64> {
    let [pushes, friction @ ..] = along;
    let up = field.normal(at_world[0] as f32, at_world[1] as f32).cast();
    let friction: Vector3<f64> = friction.iter().sum();
    pushes.norm() * up + friction - friction.dot(&up) * up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_from_the_side_of_a_prism_counts_as_one_from_the_ground() {
        let with_slope = |rise_m: f32| HeightField {
            origin_m: [0.0, 0.0],
            cell_m: 1.0,
            points_x: 2,
            points_y: 2,
            heights_m: vec![0.0, 0.0, rise_m, rise_m],
        };
        let at = [0.3, 0.3, 0.0];
        let pushes = Vector3::new(10.0, 0.0, 0.0);
        let friction = [Vector3::new(0.0, 2.0, 0.0), Vector3::new(0.0, 0.0, 3.0)];
        let along = [pushes, friction[0], friction[1]];
        let force = on_ground(&with_slope(0.0), at, along);
        assert!(
            (force - Vector3::new(0.0, 2.0, 10.0)).norm() < 1e-9,
            "{force}"
        );
        // Up a slope of 45 degrees along x, without friction: 10 N at 45 degrees against it.
        let force = on_ground(
            &with_slope(1.0),
            at,
            [pushes, Vector3::zeros(), Vector3::zeros()],
        );
        let expected: Vector3<f64> = 10.0 * Vector3::new(-1.0, 0.0, 1.0).normalize();
        assert!((force - expected).norm() < 1e-5, "{force}");
    }
}
