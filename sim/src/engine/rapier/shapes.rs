//! Obstacles as rapier shapes.

use nalgebra::{Point3, Vector3};
use rapier3d::{
    parry::shape::{Ball, Cone, Cuboid, Cylinder, Shape},
    prelude::*,
};

use super::convert;
use crate::scene::{Obstacle, ObstacleShape};

/// Calls `f` with the shape of an obstacle and its rotation.
fn with_shape<R>(obstacle: &Obstacle, f: impl FnOnce(&dyn Shape, Rotation) -> R) -> R {
    let orientation = convert::rotation(&obstacle.orientation);
    match &obstacle.shape {
        // rapier's cylinders stand along y.
        ObstacleShape::Cylinder { radius_m, height_m } => f(
            &Cylinder::new(0.5 * height_m, *radius_m),
            Rotation::from_rotation_x(std::f32::consts::FRAC_PI_2),
        ),
        ObstacleShape::Box { half_extents_m } => {
            f(&Cuboid::new(convert::vector(half_extents_m)), orientation)
        }
        ObstacleShape::Ball { radius_m } => f(&Ball::new(*radius_m), orientation),
        ObstacleShape::Cone { radius_m, height_m } => {
            f(&Cone::new(0.5 * height_m, *radius_m), orientation)
        }
    }
}

/// The shape of an obstacle, and its pose at the start of the episode.
pub fn shape_and_pose(obstacle: &Obstacle) -> (SharedShape, Pose) {
    let position = convert::point(&obstacle.position_world);
    with_shape(obstacle, |shape, rotation| {
        let shape = SharedShape(shape.clone_dyn().into());
        (shape, Pose::from_parts(position, rotation))
    })
}

/// Distance along a ray of unit direction to an obstacle that has moved to `position_world`, if it is shorter than
/// `max_m`; zero from within.
pub fn cast_ray(
    obstacle: &Obstacle,
    position_world: &Point3<f32>,
    origin_world: &Point3<f32>,
    direction_world: &Vector3<f32>,
    max_m: f32,
) -> Option<f32> {
    let ray = Ray::new(
        convert::point(origin_world),
        convert::vector(direction_world),
    );
    with_shape(obstacle, |shape, rotation| {
        let pose = Pose::from_parts(convert::point(position_world), rotation);
        shape.cast_ray(&pose, &ray, max_m, true)
    })
}
