//! Obstacles of a scene.

use nalgebra::{Point3, UnitQuaternion, Vector3};
use rapier3d::prelude::SharedShape;
use serde::{Deserialize, Serialize};

/// A body that the robot must not touch. It follows its velocity and feels no force.
#[derive(Clone, Serialize, Deserialize)]
pub struct Obstacle {
    /// Geometry.
    pub shape: ObstacleShape,
    /// Position of the shape's origin (the centre of cylinders and boxes) at the start of the episode, m.
    pub position_world: Point3<f32>,
    /// Orientation; ignored by cylinders, which stand upright.
    pub orientation: UnitQuaternion<f32>,
    /// Velocity, m/s. Zero for a static obstacle.
    pub velocity_world: Vector3<f32>,
}

/// Geometry of an obstacle.
#[derive(Clone, Serialize, Deserialize)]
pub enum ObstacleShape {
    /// Upright cylinder.
    Cylinder {
        /// Radius, m.
        radius_m: f32,
        /// Height, m.
        height_m: f32,
    },
    /// Box.
    Box {
        /// Half side lengths, m.
        half_extents_m: Vector3<f32>,
    },
    /// Any other shape that rapier knows.
    Rapier(SharedShape),
}

impl Obstacle {
    /// A static cylinder that stands on the plane z = 0.
    pub fn cylinder(x_m: f32, y_m: f32, radius_m: f32, height_m: f32) -> Self {
        Self {
            shape: ObstacleShape::Cylinder { radius_m, height_m },
            position_world: Point3::new(x_m, y_m, 0.5 * height_m),
            orientation: UnitQuaternion::identity(),
            velocity_world: Vector3::zeros(),
        }
    }
}

impl std::fmt::Debug for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = match &self.shape {
            ObstacleShape::Cylinder { radius_m, .. } => format!("cylinder r={radius_m}"),
            ObstacleShape::Box { half_extents_m } => format!("box {:?}", half_extents_m.as_slice()),
            ObstacleShape::Rapier(shape) => format!("{:?}", shape.shape_type()),
        };
        write!(f, "{shape} at {:?}", self.position_world.coords.as_slice())
    }
}
