//! What stands and walks in a training episode of the agile task.

use std::f32::consts::PI;

use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{
    env::config::uniform,
    random::Stream,
    scene::{CLEARANCE_M, Obstacle, ObstacleShape, goal_clearance_m},
};

/// Obstacles of a training episode: upright cylinders, of which some may walk, and boxes.
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
    /// By how much obstacles are thicker than rays see, m. A near miss is then a collision: collisions are rare, and near misses
    /// tell the learner of them before they happen.
    pub margin_m: f32,
    /// Height, m.
    pub height_m: f32,
    /// Centre x, m.
    pub x_m: [f32; 2],
    /// Centre y, m.
    pub y_m: [f32; 2],
    /// Least distance of a cylinder's centre from the start, m; boxes leave as much free.
    pub start_clearance_m: f32,
    /// Probability that a cylinder that is present walks straight on, through everything, at a constant speed.
    pub walking_share: f32,
    /// Speed of those that walk, m/s.
    pub speed_mps: [f32; 2],
    /// They are where they are drawn when a robot that leaves the start at this speed would be there, m/s.
    pub pace_mps: [f32; 2],
    /// Probability that one that is present is a box, turned at random, instead of a cylinder.
    pub box_share: f32,
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
            height_m: 1.0,
            x_m: [-3.0, 8.0],
            y_m: [-2.5, 2.5],
            start_clearance_m: 1.1,
            walking_share: 0.0,
            speed_mps: [0.5, 2.0],
            pace_mps: [1.0, 3.5],
            box_share: 0.0,
            box_length_m: [0.4, 2.4],
            box_width_m: [0.1, 0.6],
        }
    }
}

/// Draws for a way.
const WAYS: usize = 20;
/// Draws for the place of a box.
const PLACES: usize = 100;

impl ObstacleConfig {
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
            if self.box_share > 0.0 && stream.random::<f32>() < self.box_share {
                obstacles.extend(self.draw_box(start, stream));
                continue;
            }
            let centre = loop {
                let centre = self.draw_centre(stream);
                if (centre - start).norm() >= self.start_clearance_m {
                    break centre;
                }
            };
            let mut cylinder = Obstacle::cylinder(centre.x, centre.y, self.radius_m, self.height_m)
                .thicker(self.margin_m);
            if self.walking_share > 0.0 && stream.random::<f32>() < self.walking_share {
                self.let_walk(&mut cylinder, start, stream);
            }
            obstacles.push(cylinder);
        }
        obstacles
    }

    fn draw_centre(&self, stream: &mut Stream) -> Point2<f32> {
        Point2::new(uniform(self.x_m, stream), uniform(self.y_m, stream))
    }

    /// A box that leaves the start free; none if there is no place for it.
    fn draw_box(&self, start: Point2<f32>, stream: &mut Stream) -> Option<Obstacle> {
        let length_m = uniform(self.box_length_m, stream);
        let width_m = uniform(self.box_width_m, stream);
        let half_extents_m = 0.5 * Vector3::new(length_m, width_m, self.height_m);
        let clearance_m = self.start_clearance_m - self.radius_m;
        (0..PLACES).find_map(|_| {
            let centre = self.draw_centre(stream);
            let yaw_rad = uniform([-PI, PI], stream);
            let upright = Obstacle {
                shape: ObstacleShape::Box { half_extents_m },
                position_world: Point3::new(centre.x, centre.y, half_extents_m.z),
                orientation: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad),
                velocity_world: Vector3::zeros(),
            }
            .thicker(self.margin_m);
            (upright.footprint_distance_m(&start) >= clearance_m).then_some(upright)
        })
    }

    /// Whether a goal may be here: a robot has room beside what stands, and nothing walks over it.
    pub(super) fn leaves_free(&self, obstacle: &Obstacle, goal: &Point2<f32>) -> bool {
        let margin_m = goal_clearance_m(self.radius_m);
        let is_beside = match obstacle.shape {
            ObstacleShape::Cylinder { .. } => {
                (obstacle.position_world.xy() - goal).norm() > self.radius_m + margin_m
            }
            _ => obstacle.footprint_distance_m(goal) > margin_m,
        };
        let walks = obstacle.velocity_world.norm() > 0.0;
        is_beside && (!walks || obstacle.nearest_footprint_distance_m(goal) > CLEARANCE_M)
    }

    /// Gives a cylinder a way past where it stands, if one is found that leaves the start free.
    fn let_walk(&self, cylinder: &mut Obstacle, start: Point2<f32>, stream: &mut Stream) {
        let distance_m = (cylinder.position_world.xy() - start).norm();
        for _ in 0..WAYS {
            let heading_rad = uniform([-PI, PI], stream);
            let speed_mps = uniform(self.speed_mps, stream);
            let at_s = distance_m / uniform(self.pace_mps, stream);
            let velocity_world =
                speed_mps * Vector3::new(heading_rad.cos(), heading_rad.sin(), 0.0);
            let walking = Obstacle {
                position_world: cylinder.position_world - at_s * velocity_world,
                velocity_world,
                ..cylinder.clone()
            };
            if walking.nearest_footprint_distance_m(&start) >= CLEARANCE_M {
                *cylinder = walking;
                return;
            }
        }
    }
}
