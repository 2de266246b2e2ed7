//! Obstacles of a training episode of the agile task, at rest and moving.

use std::f32::consts::PI;

use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{
    random::{Stream, uniform},
    scene::{CLEARANCE_M, CollisionMargin, Obstacle, ObstacleShape, goal_clearance_m},
    tasks::ConfigError,
};

/// Obstacles of a training episode: upright cylinders, of which some may move, and boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObstacleConfig {
    /// Most obstacles in an episode.
    pub count: usize,
    /// Probability that each is present at level 0.
    pub presence_base: f32,
    /// What each level adds to that probability.
    pub presence_per_level: f32,
    /// Radius of a cylinder that rays see, m.
    pub radius_m: f32,
    /// By how much obstacles are thicker than the rays see, m: a near miss then counts as a collision. Near misses are far more
    /// frequent than collisions, so there is more to learn from.
    pub margin_m: f32,
    /// Further margin of obstacles that move, m: scans are late, and where a pedestrian goes next is not known.
    pub moving_margin_m: f32,
    /// Height, m.
    pub height_m: f32,
    /// Centre x, m.
    pub x_m: [f32; 2],
    /// Centre y, m.
    pub y_m: [f32; 2],
    /// Least distance of a cylinder's centre from the start, m; boxes leave as much free.
    pub start_clearance_m: f32,
    /// Probability that a cylinder that is present moves in a straight line, through everything, at a constant speed.
    pub moving_fraction: f32,
    /// Speed of moving obstacles, m/s.
    pub speed_mps: [f32; 2],
    /// Speed of a robot that leaves the start and meets the moving obstacle where that was drawn, m/s.
    pub pace_mps: [f32; 2],
    /// Probability that one that is present is a box with a random yaw instead of a cylinder.
    pub box_fraction: f32,
    /// Length of a box that rays see, m.
    pub box_length_m: [f32; 2],
    /// Width of a box that rays see, m.
    pub box_width_m: [f32; 2],
}

impl Default for ObstacleConfig {
    fn default() -> Self {
        Self {
            count: 8,
            presence_base: 0.1,
            presence_per_level: 0.1,
            radius_m: 0.4,
            margin_m: 0.0,
            moving_margin_m: 0.0,
            height_m: 1.0,
            x_m: [-3.0, 8.0],
            y_m: [-2.5, 2.5],
            start_clearance_m: 1.1,
            moving_fraction: 0.0,
            speed_mps: [0.5, 2.0],
            pace_mps: [1.0, 3.5],
            box_fraction: 0.0,
            box_length_m: [0.4, 2.4],
            box_width_m: [0.1, 0.6],
        }
    }
}

/// Draws for the path of a moving obstacle.
const PATH_DRAWS: usize = 20;
/// Draws for the place of a box.
const PLACE_DRAWS: usize = 100;

impl ObstacleConfig {
    /// By how much obstacles are thicker than the rays see.
    pub(crate) fn collision_margin(&self) -> CollisionMargin {
        CollisionMargin {
            all_m: self.margin_m,
            moving_m: self.moving_margin_m,
        }
    }

    /// Checks all settings; the robot starts within `start_xy_m` of the origin.
    pub(super) fn validate(&self, start_xy_m: f32) -> Result<(), ConfigError> {
        let at_least = ConfigError::unless_at_least;
        at_least("radius_m", self.radius_m, 0.01)?;
        at_least("margin_m", self.margin_m, 0.0)?;
        at_least("moving_margin_m", self.moving_margin_m, 0.0)?;
        ConfigError::unless_ranges(&[
            ("x_m", self.x_m),
            ("y_m", self.y_m),
            ("speed_mps", self.speed_mps),
            ("pace_mps", self.pace_mps),
            ("box_length_m", self.box_length_m),
            ("box_width_m", self.box_width_m),
        ])?;
        ConfigError::unless_fractions(&[
            ("moving_fraction", self.moving_fraction),
            ("box_fraction", self.box_fraction),
        ])?;
        at_least("speed_mps", self.speed_mps[0], 0.0)?;
        at_least("pace_mps", self.pace_mps[0], 0.1)?;
        at_least("box_length_m", self.box_length_m[0], 0.05)?;
        at_least("box_width_m", self.box_width_m[0], 0.05)?;
        let farthest = |[low, high]: [f32; 2]| low.abs().max(high.abs()) - start_xy_m;
        let farthest_m = farthest(self.x_m).hypot(farthest(self.y_m));
        if self.count > 0 && farthest_m <= self.start_clearance_m {
            let reason = "leaves no place for an obstacle in obstacles.x_m, y_m; make it smaller";
            return Err(ConfigError::new("start_clearance_m", reason));
        }
        Ok(())
    }

    /// Draws the obstacles of an episode at a level of the curriculum.
    pub(super) fn draw(
        &self,
        level: usize,
        start: Point2<f32>,
        stream: &mut Stream,
    ) -> Vec<Obstacle> {
        let presence = self.presence_base + self.presence_per_level * level as f32;
        let mut obstacles = Vec::new();
        for _ in 0..self.count {
            if stream.random::<f32>() >= presence {
                continue;
            }
            if self.box_fraction > 0.0 && stream.random::<f32>() < self.box_fraction {
                obstacles.extend(self.draw_box(start, stream));
                continue;
            }
            let centre = loop {
                let centre = self.draw_centre(stream);
                if (centre - start).norm() >= self.start_clearance_m {
                    break centre;
                }
            };
            let mut cylinder = Obstacle::cylinder(centre.x, centre.y, self.radius_m, self.height_m);
            if self.moving_fraction > 0.0 && stream.random::<f32>() < self.moving_fraction {
                self.set_in_motion(&mut cylinder, start, stream);
            }
            obstacles.push(cylinder.thicker(self.collision_margin()));
        }
        obstacles
    }

    fn draw_centre(&self, stream: &mut Stream) -> Point2<f32> {
        Point2::new(uniform(self.x_m, stream), uniform(self.y_m, stream))
    }

    /// A box clear of the start; none if there is no place for it.
    fn draw_box(&self, start: Point2<f32>, stream: &mut Stream) -> Option<Obstacle> {
        let length_m = uniform(self.box_length_m, stream);
        let width_m = uniform(self.box_width_m, stream);
        let half_extents_m = 0.5 * Vector3::new(length_m, width_m, self.height_m);
        let clearance_m = self.start_clearance_m - self.radius_m;
        (0..PLACE_DRAWS).find_map(|_| {
            let centre = self.draw_centre(stream);
            let yaw_rad = uniform([-PI, PI], stream);
            let upright = Obstacle {
                shape: ObstacleShape::Box { half_extents_m },
                position_world: Point3::new(centre.x, centre.y, half_extents_m.z),
                orientation: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad),
                velocity_world: Vector3::zeros(),
            }
            .thicker(self.collision_margin());
            (upright.footprint_distance_m(&start) >= clearance_m).then_some(upright)
        })
    }

    /// Whether a goal may be here: a robot has room beside the obstacle, and if it moves, its path is clear of the goal.
    pub(super) fn leaves_free(&self, obstacle: &Obstacle, goal: &Point2<f32>) -> bool {
        let margin_m = goal_clearance_m(self.radius_m);
        let is_beside = match obstacle.shape {
            ObstacleShape::Cylinder { .. } => {
                (obstacle.position_world.xy() - goal).norm() > self.radius_m + margin_m
            }
            _ => obstacle.footprint_distance_m(goal) > margin_m,
        };
        is_beside
            && (!obstacle.moves() || obstacle.nearest_footprint_distance_m(goal) > CLEARANCE_M)
    }

    /// Gives a cylinder a straight path through where it was drawn, if one is found that is clear of the start.
    fn set_in_motion(&self, cylinder: &mut Obstacle, start: Point2<f32>, stream: &mut Stream) {
        let distance_m = (cylinder.position_world.xy() - start).norm();
        for _ in 0..PATH_DRAWS {
            let heading_rad = uniform([-PI, PI], stream);
            let speed_mps = uniform(self.speed_mps, stream);
            let at_s = distance_m / uniform(self.pace_mps, stream);
            let velocity_world =
                speed_mps * Vector3::new(heading_rad.cos(), heading_rad.sin(), 0.0);
            let moving = Obstacle {
                position_world: cylinder.position_world - at_s * velocity_world,
                velocity_world,
                ..cylinder.clone()
            };
            if moving.nearest_footprint_distance_m(&start) >= CLEARANCE_M {
                *cylinder = moving;
                return;
            }
        }
    }
}
