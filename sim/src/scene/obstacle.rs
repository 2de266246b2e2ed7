//! Obstacles of a scene.

use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};
use serde::{Deserialize, Serialize};

/// A body that the robot must not touch. It follows its velocity, whatever touches it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Ball.
    Ball {
        /// Radius, m.
        radius_m: f32,
    },
    /// Cone along the y axis, its tip up.
    Cone {
        /// Radius of the base, m.
        radius_m: f32,
        /// Height, m.
        height_m: f32,
    },
}

/// By how much obstacles of the training are thicker than the rays see, so that policies learn to keep that distance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CollisionMargin {
    /// Of all obstacles, m.
    pub all_m: f32,
    /// What those that move have in addition, m.
    pub moving_m: f32,
}

impl CollisionMargin {
    /// That of one obstacle, m.
    pub(crate) fn of(&self, obstacle: &Obstacle) -> f32 {
        self.all_m + if obstacle.moves() { self.moving_m } else { 0.0 }
    }
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

    /// A cylinder or a box that reaches farther by its margin to all sides, but no higher; other shapes stay as they are.
    #[must_use]
    pub(crate) fn thicker(mut self, margin: CollisionMargin) -> Self {
        let margin_m = margin.of(&self);
        match &mut self.shape {
            ObstacleShape::Cylinder { radius_m, .. } => *radius_m += margin_m,
            ObstacleShape::Box { half_extents_m } => {
                half_extents_m.x += margin_m;
                half_extents_m.y += margin_m;
            }
            ObstacleShape::Ball { .. } | ObstacleShape::Cone { .. } => {}
        }
        self
    }

    /// Whether it is not always in the same place.
    pub fn moves(&self) -> bool {
        self.velocity_world != Vector3::zeros()
    }

    /// Where the shape's origin is `time_s` after the start of the episode.
    pub fn position_at(&self, time_s: f32) -> Point3<f32> {
        self.position_world + time_s * self.velocity_world
    }

    /// [`footprint_distance_m`](Self::footprint_distance_m) when it is least, from the start of the episode on.
    pub(crate) fn nearest_footprint_distance_m(&self, point: &Point2<f32>) -> f32 {
        let velocity = self.velocity_world.xy();
        let offset = point - self.position_world.xy();
        // When its centre is nearest.
        let time_s = offset.dot(&velocity) / velocity.norm_squared().max(1e-6);
        self.footprint_distance_m(&(point - time_s.max(0.0) * velocity))
    }

    /// Lowest and highest corner of the upright box around it at the start of the episode, world frame.
    pub fn bounds(&self) -> [Point3<f32>; 2] {
        let half = self.local_half_extents_m();
        let turn = match self.shape {
            ObstacleShape::Cylinder { .. } => UnitQuaternion::identity(),
            _ => self.orientation,
        };
        let centre = self.position_world;
        let half = turn.to_rotation_matrix().matrix().abs() * half;
        [centre - half, centre + half]
    }

    /// Half side lengths of the box around the shape, in its own frame.
    pub(crate) fn local_half_extents_m(&self) -> Vector3<f32> {
        match self.shape {
            ObstacleShape::Cylinder { radius_m, height_m } => {
                Vector3::new(radius_m, radius_m, 0.5 * height_m)
            }
            ObstacleShape::Box { half_extents_m } => half_extents_m,
            ObstacleShape::Ball { radius_m } => Vector3::repeat(radius_m),
            ObstacleShape::Cone { radius_m, height_m } => {
                Vector3::new(radius_m, 0.5 * height_m, radius_m)
            }
        }
    }

    /// Distance of a point of the plane from the obstacle's outline seen from above, at the start of the episode, m;
    /// zero or negative within it. Boxes count as upright, cones as the sphere around them.
    pub fn footprint_distance_m(&self, point: &Point2<f32>) -> f32 {
        let offset = point - self.position_world.xy();
        match &self.shape {
            ObstacleShape::Cylinder { radius_m, .. } => offset.norm() - radius_m,
            ObstacleShape::Box { half_extents_m } => {
                let offset = self
                    .orientation
                    .inverse_transform_vector(&Vector3::new(offset.x, offset.y, 0.0));
                let beyond = offset.xy().abs() - half_extents_m.xy();
                beyond.map(|side| side.max(0.0)).norm() + beyond.max().min(0.0)
            }
            ObstacleShape::Ball { radius_m } => offset.norm() - radius_m,
            ObstacleShape::Cone { radius_m, height_m } => {
                let half_m = 0.5 * height_m;
                offset.norm() - (radius_m * radius_m + half_m * half_m).sqrt()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footprints_have_distances_inside_and_out() {
        let cylinder = Obstacle::cylinder(1.0, 2.0, 0.4, 1.0);
        let distance =
            |obstacle: &Obstacle, x, y| obstacle.footprint_distance_m(&Point2::new(x, y));
        assert!((distance(&cylinder, 1.0, 3.0) - 0.6).abs() < 1e-6);
        assert!((distance(&cylinder, 1.0, 2.1) + 0.3).abs() < 1e-6);
        // A wall of 2 m by 0.2 m, turned by 90 degrees.
        let wall = Obstacle {
            shape: ObstacleShape::Box {
                half_extents_m: Vector3::new(1.0, 0.1, 0.5),
            },
            orientation: UnitQuaternion::from_euler_angles(0.0, 0.0, std::f32::consts::FRAC_PI_2),
            ..cylinder.clone()
        };
        assert!((distance(&wall, 1.3, 2.5) - 0.2).abs() < 1e-6);
        assert!((distance(&wall, 1.4, 3.4) - 0.5).abs() < 1e-6);
        assert!((distance(&wall, 1.05, 2.0) + 0.05).abs() < 1e-6);
        let ball = Obstacle {
            shape: ObstacleShape::Ball { radius_m: 0.3 },
            ..cylinder
        };
        assert!((distance(&ball, 2.0, 2.0) - 0.7).abs() < 1e-6);
    }

    #[test]
    fn a_moving_obstacle_is_nearest_on_its_way_but_not_before() {
        let mut cylinder = Obstacle::cylinder(0.0, -2.0, 0.4, 1.0);
        cylinder.velocity_world.y = 0.5;
        let nearest = |x, y| cylinder.nearest_footprint_distance_m(&Point2::new(x, y));
        assert!((nearest(1.0, 3.0) - 0.6).abs() < 1e-6);
        // It goes away from here.
        assert!((nearest(0.0, -3.0) - 0.6).abs() < 1e-6);
    }
}
