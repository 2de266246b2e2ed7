//! The scenes of the test. Those of the paper: cylinders between a start and a goal, with a passage left open
//! (docs/concepts/evaluation.md; paper, section VI-A). A scene file changes them, and adds other obstacles, ground and payload.

mod group;
mod shipped;

use std::{f32::consts::PI, fmt::Display, sync::Arc};

use nalgebra::{Point2, Point3, UnitQuaternion, Vector2, Vector3};
use policies::Goal;
use rand::Rng;
use robots::Robot;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Dynamics, EpisodeStart},
    random::{Stream, stream, uniform},
    scene::{HeightField, Obstacle, Terrain, goal_clearance_m},
};

pub use group::{ObstacleGroup, Part};
pub use shipped::SceneError;

/// Ranges from which test scenes are drawn; `[low, high]` in the world frame. The defaults are the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestbedConfig {
    /// What the scene is called in results.
    pub name: String,
    /// The cylinders.
    pub obstacles: CylinderConfig,
    /// Where the goal is drawn, m.
    pub goal_x_m: [f32; 2],
    /// Where the goal is drawn, m.
    pub goal_y_m: [f32; 2],
    /// The start is drawn from plus or minus this, in x and y, m.
    pub start_xy_m: f32,
    /// The heading at the start is drawn from plus or minus this, rad.
    pub start_yaw_rad: f32,
    /// Least distance in y between a cylinder's centre and the passage, m; 0 leaves the cylinders where they fall.
    pub passage_m: f32,
    /// Slope dy/dx of the passage at both of its ends is drawn from plus or minus this.
    pub passage_slope: f32,
    /// Friction coefficient between the robot and the world.
    pub friction: [f32; 2],
    /// Mass on the trunk, kg.
    pub payload_kg: [f32; 2],
    /// Highest point of rough ground, m; 0 for a plane.
    pub rough_m: [f32; 2],
    /// Obstacles beside the cylinders.
    pub groups: Vec<ObstacleGroup>,
}

/// Upright cylinders of one size. Ranges are [low, high] in the world frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table; the number of cylinders is `obstacles.count`"
)]
pub struct CylinderConfig {
    /// Number of cylinders.
    pub count: usize,
    /// Radius, m.
    pub radius_m: f32,
    /// Height, m.
    pub height_m: f32,
    /// Centre x, m.
    pub x_m: [f32; 2],
    /// Centre y, m. The passage may push one out by `passage_m`.
    pub y_m: [f32; 2],
}

impl Default for CylinderConfig {
    fn default() -> Self {
        Self {
            count: 8,
            radius_m: 0.4,
            height_m: 1.0,
            x_m: [1.5, 7.0],
            y_m: [-2.0, 2.0],
        }
    }
}

/// Name of the paper's test.
pub const CYLINDERS: &str = "cylinders";

impl Default for TestbedConfig {
    fn default() -> Self {
        Self {
            name: CYLINDERS.to_owned(),
            obstacles: CylinderConfig::default(),
            goal_x_m: [6.0, 7.5],
            goal_y_m: [-1.5, 1.5],
            start_xy_m: 0.1,
            start_yaw_rad: PI,
            passage_m: 0.75,
            passage_slope: 1.0,
            friction: [0.4, 1.1],
            payload_kg: [0.0; 2],
            rough_m: [0.0; 2],
            groups: Vec::new(),
        }
    }
}

/// A scene that cannot be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TestbedError {
    /// A range is reversed or not finite.
    #[error("`{key}` is {value}, must be {expected}")]
    Range {
        /// Key of the configuration.
        key: String,
        /// What it holds.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// More obstacles than a scene may have.
    #[error(
        "{0} obstacles in all, must be at most {MOST_OBSTACLES}: take a smaller `obstacles.count`, or `count` or `parts` of groups"
    )]
    TooMany(usize),
    /// Obstacles cover the goals.
    #[error(
        "no free goal in {0} draws: take a smaller `obstacles.count` or `obstacles.radius_m`, or goals elsewhere"
    )]
    NoFreeGoal(usize),
    /// A group covers the start, the goal or the passage.
    #[error(
        "`{group}` leaves no free start, goal and passage in {draws} draws: draw it from larger ranges or elsewhere"
    )]
    NoPlace {
        /// Which one.
        group: String,
        /// How often it was tried.
        draws: usize,
    },
}

/// One episode of the test: everything that differs between episodes.
#[derive(Clone, Debug)]
pub struct TestScene {
    /// Number of the episode.
    pub index: u64,
    /// Obstacles in the world frame.
    pub obstacles: Vec<Obstacle>,
    /// Position of the base over the ground at the start, world frame, m.
    pub start_world: Point2<f32>,
    /// Heading of the base at the start, rad.
    pub start_yaw_rad: f32,
    /// Where the robot has to be at the end; its heading is the bearing from the start.
    pub goal: Goal,
    /// The open way from start to goal.
    pub passage: Passage,
    /// Ground.
    pub terrain: Arc<Terrain>,
    /// Friction coefficient between the robot and the world.
    pub friction: f32,
    /// Mass on the trunk, kg.
    pub payload_kg: f32,
    /// Seed of what is random within the episode.
    pub noise_seed: u64,
}

/// A cubic curve y(x) from start to goal that no obstacle comes near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passage {
    start: Point2<f32>,
    end: Point2<f32>,
    start_slope: f32,
    end_slope: f32,
}

const GOAL_DRAWS: usize = 1000;
/// No number of a scene is larger, in m, rad, m/s, s or kg: what a robot meets in an episode is nearer.
const LARGEST: f32 = 100.0;
/// Obstacles of a scene, and parts of their groups, are no more.
const MOST_OBSTACLES: usize = 500;
/// An object has up to so many parts.
const OBJECT_PARTS: usize = 16;

impl TestbedConfig {
    /// Checks all ranges.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub fn validate(&self) -> Result<(), TestbedError> {
        let obstacles = &self.obstacles;
        for (key, value) in [
            ("obstacles.radius_m", obstacles.radius_m),
            ("obstacles.height_m", obstacles.height_m),
        ] {
            check_positive(key, value)?;
        }
        for (key, value) in [
            ("start_xy_m", self.start_xy_m),
            ("start_yaw_rad", self.start_yaw_rad),
            ("passage_m", self.passage_m),
            ("passage_slope", self.passage_slope),
        ] {
            if !(0.0..=LARGEST).contains(&value) {
                return range_error(key, value, "from 0 to 100");
            }
        }
        for (key, range) in [
            ("obstacles.x_m", obstacles.x_m),
            ("obstacles.y_m", obstacles.y_m),
            ("goal_x_m", self.goal_x_m),
            ("goal_y_m", self.goal_y_m),
            ("friction", self.friction),
            ("payload_kg", self.payload_kg),
            ("rough_m", self.rough_m),
        ] {
            check_range(key, range)?;
        }
        for (key, range) in [
            ("friction", self.friction),
            ("payload_kg", self.payload_kg),
            ("rough_m", self.rough_m),
        ] {
            if range[0] < 0.0 {
                return range_error(key, format!("{range:?}"), "zero or more");
            }
        }
        if self.goal_x_m[0] <= self.start_xy_m {
            return range_error(
                "goal_x_m",
                format!("{:?}", self.goal_x_m),
                "ahead of every start, whose x is up to `start_xy_m`",
            );
        }
        let mut obstacles = self.obstacles.count;
        for (index, group) in self.groups.iter().enumerate() {
            group.validate(&group_name(index))?;
            let parts = match group.objects.is_empty() {
                true => group.parts.len(),
                false => OBJECT_PARTS,
            };
            obstacles = obstacles.saturating_add(group.count.saturating_mul(parts));
        }
        match obstacles <= MOST_OBSTACLES {
            true => Ok(()),
            false => Err(TestbedError::TooMany(obstacles)),
        }
    }

    /// Ground of one episode: flat where the robot starts.
    pub(crate) fn draw_terrain(&self, stream: &mut Stream) -> Terrain {
        if self.rough_m[1] == 0.0 {
            return Terrain::Flat;
        }
        let height_m = uniform(self.rough_m, stream);
        let reach_m = self.goal_x_m[1] + 2.0;
        let flat_start_m = 1.5 * self.start_xy_m + 0.85;
        Terrain::HeightField(HeightField::rough(height_m, reach_m, flat_start_m, stream))
    }
}

/// What a group is called in errors.
fn group_name(index: usize) -> String {
    format!("groups[{index}]")
}

fn range_error(
    key: impl Into<String>,
    value: impl Display,
    expected: &'static str,
) -> Result<(), TestbedError> {
    Err(TestbedError::Range {
        key: key.into(),
        value: value.to_string(),
        expected,
    })
}

fn check_range(key: &str, [low, high]: [f32; 2]) -> Result<(), TestbedError> {
    if -LARGEST <= low && low <= high && high <= LARGEST {
        return Ok(());
    }
    let expected = match low <= high {
        true => "within -100 and 100",
        false => "[low, high]",
    };
    range_error(key, format!("[{low}, {high}]"), expected)
}

fn check_positive(key: &str, value: f32) -> Result<(), TestbedError> {
    if value > 0.0 && value <= LARGEST {
        return Ok(());
    }
    let expected = match value > 0.0 {
        true => "at most 100",
        false => "positive",
    };
    range_error(key, value, expected)
}

impl TestScene {
    /// Draws episode `index` of the test with this seed; it depends on nothing else, so that different methods are
    /// compared on the same episodes.
    ///
    /// # Errors
    /// An impossible range, or no free goal.
    pub fn new(seed: u64, index: u64, config: &TestbedConfig) -> Result<Self, TestbedError> {
        config.validate()?;
        let mut stream = stream(seed, index);
        let stream = &mut stream;
        let around_zero = |half: f32, stream: &mut Stream| uniform([-half, half], stream);
        let start_world = Point2::new(
            around_zero(config.start_xy_m, stream),
            around_zero(config.start_xy_m, stream),
        );
        let start_yaw_rad = around_zero(config.start_yaw_rad, stream);
        let friction = uniform(config.friction, stream);
        let noise_seed = stream.next_u64();
        let cylinders = &config.obstacles;
        let centres: Vec<_> = (0..cylinders.count)
            .map(|_| {
                Point2::new(
                    uniform(cylinders.x_m, stream),
                    uniform(cylinders.y_m, stream),
                )
            })
            .collect();
        for _ in 0..GOAL_DRAWS {
            let goal = Point2::new(
                uniform(config.goal_x_m, stream),
                uniform(config.goal_y_m, stream),
            );
            let passage = Passage {
                start: start_world,
                end: goal,
                start_slope: around_zero(config.passage_slope, stream),
                end_slope: around_zero(config.passage_slope, stream),
            };
            let centres = centres.iter().map(|c| passage.clear(*c, config.passage_m));
            let centres: Vec<_> = centres.collect();
            let blocked_m = cylinders.radius_m + goal_clearance_m(cylinders.radius_m);
            if centres.iter().any(|c| (c - goal).norm() < blocked_m) {
                continue;
            }
            let to_goal: Vector2<f32> = goal - start_world;
            let mut obstacles: Vec<_> = (centres.iter())
                .map(|c| Obstacle::cylinder(c.x, c.y, cylinders.radius_m, cylinders.height_m))
                .collect();
            // What is drawn from here on is not in the paper's test, whose episodes stay as they are.
            for (index, group) in config.groups.iter().enumerate() {
                group.draw(&group_name(index), &passage, stream, &mut obstacles)?;
            }
            return Ok(Self {
                index,
                obstacles,
                start_world,
                start_yaw_rad,
                goal: Goal {
                    position_world: goal,
                    heading_rad: to_goal.y.atan2(to_goal.x),
                },
                passage,
                terrain: Arc::new(config.draw_terrain(stream)),
                friction,
                payload_kg: uniform(config.payload_kg, stream),
                noise_seed,
            });
        }
        Err(TestbedError::NoFreeGoal(GOAL_DRAWS))
    }

    /// The robot at rest in the standing pose at the start, feet on the ground.
    pub fn start(&self, robot: &Robot) -> EpisodeStart {
        let standing = &robot.control.standing_position_rad;
        let height_m = robot.height_over_feet_m(standing);
        EpisodeStart {
            terrain: Arc::clone(&self.terrain),
            obstacles: self.obstacles.clone(),
            position_world: Point3::new(self.start_world.x, self.start_world.y, height_m),
            orientation: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), self.start_yaw_rad),
            dynamics: Dynamics {
                friction: self.friction,
                added_base_mass_kg: self.payload_kg,
                ..Dynamics::nominal(robot)
            },
            ..EpisodeStart::standing(robot)
        }
    }
}

impl Passage {
    /// y of the passage at x, m; beyond its ends it goes on straight along x.
    pub fn y_m(&self, x_m: f32) -> f32 {
        let length_m = self.end.x - self.start.x;
        let t = ((x_m - self.start.x) / length_m).clamp(0.0, 1.0);
        let s = 1.0 - t;
        // Cubic Hermite polynomial.
        s * s * (1.0 + 2.0 * t) * self.start.y
            + t * t * (1.0 + 2.0 * s) * self.end.y
            + s * s * t * length_m * self.start_slope
            - s * t * t * length_m * self.end_slope
    }

    /// Moves an obstacle in y, away from the passage, until it is at least `least_m` off it.
    fn clear(&self, centre: Point2<f32>, least_m: f32) -> Point2<f32> {
        let off_m = centre.y - self.y_m(centre.x);
        if off_m.abs() >= least_m {
            return centre;
        }
        Point2::new(centre.x, centre.y - off_m + least_m.copysign(off_m))
    }
}

#[cfg(test)]
mod tests;
