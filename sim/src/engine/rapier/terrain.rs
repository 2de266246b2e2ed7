//! Terrain as rapier colliders.

use std::{f32::consts::TAU, sync::Arc};

use rapier3d::{
    glamx::Quat,
    parry::{shape::HeightFieldFlags, utils::Array2},
    prelude::*,
};

use super::model::WORLD_GROUPS;
use crate::scene::{HeightField, Terrain};

/// The height fields in use, built once for all robots that stand on them.
#[derive(Default)]
pub struct TerrainShapes {
    shapes: Vec<(Arc<Terrain>, SharedShape)>,
}

impl TerrainShapes {
    /// The collider of a terrain.
    pub fn collider(&mut self, terrain: &Arc<Terrain>, friction: f32) -> ColliderBuilder {
        let (shape, pose) = match terrain.as_ref() {
            Terrain::Flat => (SharedShape::halfspace(Vector::Z), Pose::IDENTITY),
            Terrain::HeightField(field) => (self.height_field(terrain, field), field_pose(field)),
        };
        ColliderBuilder::new(shape)
            .position(pose)
            .friction(friction)
            .collision_groups(WORLD_GROUPS)
    }

    /// Flat ground around a height field, as high as its first grid point.
    pub fn surroundings(terrain: &Terrain, friction: f32) -> impl Iterator<Item = ColliderBuilder> {
        let field = match terrain {
            Terrain::Flat => None,
            Terrain::HeightField(field) => Some(field),
        };
        field.into_iter().flat_map(move |field| {
            slabs_around(field).map(|(half_extents, centre)| {
                ColliderBuilder::cuboid(half_extents.x, half_extents.y, half_extents.z)
                    .position(Pose::from_translation(centre))
                    .friction(friction)
                    .collision_groups(WORLD_GROUPS)
            })
        })
    }

    fn height_field(&mut self, terrain: &Arc<Terrain>, field: &HeightField) -> SharedShape {
        if let Some((_, shape)) = self
            .shapes
            .iter()
            .find(|(known, _)| Arc::ptr_eq(known, terrain))
        {
            return shape.clone();
        }
        // Terrains that nobody else holds cannot come back.
        self.shapes
            .retain(|(known, _)| Arc::strong_count(known) > 1);
        let shape = height_field_shape(field);
        self.shapes.push((Arc::clone(terrain), shape.clone()));
        shape
    }
}

/// rapier's height field has its rows along z, its columns along x and its heights along y. With z turned into x and x
/// into y its cells are cut along the same diagonal as those of [`HeightField::height_m`].
fn height_field_shape(field: &HeightField) -> SharedShape {
    let (rows, columns) = (field.points_x, field.points_y);
    let mut by_column = Vec::with_capacity(rows * columns);
    for iy in 0..columns {
        by_column.extend((0..rows).map(|ix| field.heights_m[ix * columns + iy]));
    }
    let scale = Vector::new(
        (columns - 1) as f32 * field.cell_m,
        1.0,
        (rows - 1) as f32 * field.cell_m,
    );
    SharedShape::heightfield_with_flags(
        Array2::new(rows, columns, by_column),
        scale,
        HeightFieldFlags::FIX_INTERNAL_EDGES,
    )
}

/// Half side lengths and centres of four boxes around a height field, wider than a robot gets in an episode.
fn slabs_around(field: &HeightField) -> [(Vector, Vector); 4] {
    const HALF_WIDTH_M: f32 = 50.0;
    let half = half_size(field);
    let centre = field_pose(field).translation + Vector::Z * (field.heights_m[0] - HALF_WIDTH_M);
    let beside_x = Vector::X * (half.x + HALF_WIDTH_M);
    let beside_y = Vector::Y * (half.y + HALF_WIDTH_M);
    let along_x = Vector::new(HALF_WIDTH_M, half.y, HALF_WIDTH_M);
    let along_y = Vector::new(half.x + 2.0 * HALF_WIDTH_M, HALF_WIDTH_M, HALF_WIDTH_M);
    [
        (along_x, centre - beside_x),
        (along_x, centre + beside_x),
        (along_y, centre - beside_y),
        (along_y, centre + beside_y),
    ]
}

fn half_size(field: &HeightField) -> Vector {
    let half_m = |points: usize| 0.5 * (points - 1) as f32 * field.cell_m;
    Vector::new(half_m(field.points_x), half_m(field.points_y), 0.0)
}

/// Pose of rapier's height field, whose origin is the middle of the grid.
fn field_pose(field: &HeightField) -> Pose {
    let centre = Vector::new(field.origin_m[0], field.origin_m[1], 0.0) + half_size(field);
    let turn = Quat::from_axis_angle(Vector::ONE.normalize(), TAU / 3.0);
    Pose::from_parts(centre, turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rapier_sees_the_height_that_the_terrain_states() {
        let (points_x, points_y) = (6, 4);
        // No two heights alike, so that a swapped axis or diagonal shows.
        let heights_m = (0..points_x * points_y)
            .map(|i| 0.05 * ((i * i * 7 + 3 * i) % 11) as f32)
            .collect();
        let field = HeightField {
            origin_m: [-0.7, 0.3],
            cell_m: 0.2,
            points_x,
            points_y,
            heights_m,
        };
        let shape = height_field_shape(&field);
        let pose = field_pose(&field);
        // Steps that meet no edge, along which rapier's rays may slip through.
        for i in 1..47 {
            for j in 1..31 {
                let (x, y) = (-0.7 + i as f32 / 47.0, 0.3 + 0.6 * j as f32 / 31.0);
                let ray = Ray::new(Vector::new(x, y, 2.0), -Vector::Z);
                let distance = shape.cast_ray(&pose, &ray, 10.0, false).expect("hit");
                let expected = field.height_m(x, y);
                assert!(
                    (2.0 - distance - expected).abs() < 1e-4,
                    "({x}, {y}): rapier {}, terrain {expected}",
                    2.0 - distance
                );
            }
        }
    }
}
