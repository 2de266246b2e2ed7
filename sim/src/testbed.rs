//! The scenes of the paper's test: cylinders between a start and a goal, with a passage left open
//! (method section 10; paper, section VI-A).

use std::f32::consts::PI;

use nalgebra::{Point2, Point3, UnitQuaternion, Vector2, Vector3};
use policies::Goal;
use rand::Rng;
use robots::Robot;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Dynamics, EpisodeStart},
    env::uniform,
    obstacle::Obstacle,
    random::{Stream, stream},
};

/// Ranges from which test scenes are drawn; `[low, high]` in the world frame. The defaults are the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TestbedConfig {
    /// Number of cylinders.
    pub obstacles: usize,
    /// Radius of the cylinders, m.
    pub radius_m: f32,
    /// Height of the cylinders, m.
    pub height_m: f32,
    /// Where the cylinders' centres are drawn, m.
    pub obstacle_x_m: [f32; 2],
    /// Where the cylinders' centres are drawn, m. The passage may push one out by `passage_m`.
    pub obstacle_y_m: [f32; 2],
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
}

impl Default for TestbedConfig {
    fn default() -> Self {
        Self {
            obstacles: 8,
            radius_m: 0.4,
            height_m: 1.0,
            obstacle_x_m: [1.5, 7.0],
            obstacle_y_m: [-2.0, 2.0],
            goal_x_m: [6.0, 7.5],
            goal_y_m: [-1.5, 1.5],
            start_xy_m: 0.1,
            start_yaw_rad: PI,
            passage_m: 0.75,
            passage_slope: 1.0,
            friction: [0.4, 1.1],
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
        key: &'static str,
        /// What it holds.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Obstacles cover the goals.
    #[error(
        "no free goal in {0} draws: take fewer `obstacles`, a smaller `radius_m`, or goals elsewhere"
    )]
    NoFreeGoal(usize),
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
    /// Friction coefficient between the robot and the world.
    pub friction: f32,
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

/// Free space around the goal: 1.1 radii and 0.314 m (method section 4).
pub(crate) fn blocked_radius_m(obstacle_radius_m: f32) -> f32 {
    1.1 * obstacle_radius_m + 0.314
}

const GOAL_DRAWS: usize = 1000;

impl TestbedConfig {
    /// Checks all ranges.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub fn validate(&self) -> Result<(), TestbedError> {
        let error = |key, value, expected| {
            Err(TestbedError::Range {
                key,
                value,
                expected,
            })
        };
        for (key, value) in [("radius_m", self.radius_m), ("height_m", self.height_m)] {
            if !(value > 0.0 && value.is_finite()) {
                return error(key, value.to_string(), "positive");
            }
        }
        for (key, value) in [
            ("start_xy_m", self.start_xy_m),
            ("start_yaw_rad", self.start_yaw_rad),
            ("passage_m", self.passage_m),
            ("passage_slope", self.passage_slope),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return error(key, value.to_string(), "zero or more");
            }
        }
        for (key, [low, high]) in [
            ("obstacle_x_m", self.obstacle_x_m),
            ("obstacle_y_m", self.obstacle_y_m),
            ("goal_x_m", self.goal_x_m),
            ("goal_y_m", self.goal_y_m),
            ("friction", self.friction),
        ] {
            if !(low.is_finite() && high.is_finite() && low <= high) {
                return error(key, format!("[{low}, {high}]"), "[low, high]");
            }
        }
        if self.friction[0] < 0.0 {
            return error("friction", format!("{:?}", self.friction), "zero or more");
        }
        if self.goal_x_m[0] <= self.start_xy_m {
            return error(
                "goal_x_m",
                format!("{:?}", self.goal_x_m),
                "ahead of every start, whose x is up to `start_xy_m`",
            );
        }
        Ok(())
    }
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
        let centres: Vec<_> = (0..config.obstacles)
            .map(|_| {
                Point2::new(
                    uniform(config.obstacle_x_m, stream),
                    uniform(config.obstacle_y_m, stream),
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
            let blocked_m = blocked_radius_m(config.radius_m);
            if centres.iter().any(|c| (c - goal).norm() < blocked_m) {
                continue;
            }
            let to_goal: Vector2<f32> = goal - start_world;
            return Ok(Self {
                index,
                obstacles: centres
                    .iter()
                    .map(|c| Obstacle::cylinder(c.x, c.y, config.radius_m, config.height_m))
                    .collect(),
                start_world,
                start_yaw_rad,
                goal: Goal {
                    position_world: goal,
                    heading_rad: to_goal.y.atan2(to_goal.x),
                },
                passage,
                friction,
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
            obstacles: self.obstacles.clone(),
            position_world: Point3::new(self.start_world.x, self.start_world.y, height_m),
            orientation: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), self.start_yaw_rad),
            dynamics: Dynamics {
                friction: self.friction,
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
mod tests {
    use super::*;

    fn scenes(seed: u64) -> Vec<TestScene> {
        let config = TestbedConfig::default();
        (0..500)
            .map(|index| TestScene::new(seed, index, &config).unwrap())
            .collect()
    }

    #[test]
    fn scenes_keep_to_the_paper() {
        for scene in scenes(1) {
            assert_eq!(scene.obstacles.len(), 8);
            let goal = scene.goal.position_world;
            assert!((6.0..=7.5).contains(&goal.x) && goal.y.abs() <= 1.5);
            assert!(scene.start_world.coords.amax() <= 0.1);
            assert!(scene.start_yaw_rad.abs() <= PI);
            assert!((0.4..=1.1).contains(&scene.friction));
            for obstacle in &scene.obstacles {
                let p = obstacle.position_world;
                assert_eq!(p.z, 0.5, "stands on the ground");
                assert!((1.5..=7.0).contains(&p.x));
                let to_goal = (p.xy() - goal).norm();
                assert!(to_goal >= 0.4 * 1.1 + 0.314, "goal inside an obstacle");
                let off_passage = (p.y - scene.passage.y_m(p.x)).abs();
                assert!(off_passage > 0.7499, "{off_passage}");
            }
        }
    }

    #[test]
    fn the_passage_joins_start_and_goal_and_is_wide_enough_for_a_robot() {
        let mut narrowest_m = f32::INFINITY;
        for scene in scenes(2) {
            let (start, goal) = (scene.start_world, scene.goal.position_world);
            assert!((scene.passage.y_m(start.x) - start.y).abs() < 1e-5);
            assert!((scene.passage.y_m(goal.x) - goal.y).abs() < 1e-5);
            for step in 0..=200 {
                let x = start.x + (goal.x - start.x) * step as f32 / 200.0;
                let on_passage = Point2::new(x, scene.passage.y_m(x));
                for obstacle in &scene.obstacles {
                    let gap = (obstacle.position_world.xy() - on_passage).norm() - 0.4;
                    narrowest_m = narrowest_m.min(gap);
                }
            }
        }
        assert!(
            narrowest_m > 0.05,
            "narrowest half passage: {narrowest_m} m"
        );
    }

    #[test]
    fn obstacles_and_headings_fill_their_ranges() {
        let scenes = scenes(3);
        let obstacles = scenes.iter().flat_map(|s| &s.obstacles);
        let mean_x = obstacles.map(|o| o.position_world.x).sum::<f32>() / 4000.0;
        assert!((mean_x - 4.25).abs() < 0.1, "mean x of obstacles {mean_x}");
        let mean_yaw = scenes.iter().map(|s| s.start_yaw_rad.abs()).sum::<f32>() / 500.0;
        assert!((mean_yaw - PI / 2.0).abs() < 0.2, "mean |yaw| {mean_yaw}");
    }

    #[test]
    fn a_scene_depends_on_seed_and_index_only() {
        let config = TestbedConfig::default();
        let draw = |seed, index| format!("{:?}", TestScene::new(seed, index, &config).unwrap());
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(draw(7, 3), draw(7, 4));
        assert_ne!(draw(7, 3), draw(8, 3));
    }

    #[test]
    fn impossible_testbeds_are_named() {
        let error = |config: TestbedConfig| TestScene::new(0, 0, &config).unwrap_err().to_string();
        let reversed = TestbedConfig {
            goal_y_m: [1.0, -1.0],
            ..Default::default()
        };
        assert!(error(reversed).contains("`goal_y_m` is [1, -1]"));
        let behind = TestbedConfig {
            goal_x_m: [0.0, 1.0],
            ..Default::default()
        };
        assert!(error(behind).contains("goal_x_m"));
        let crowded = TestbedConfig {
            obstacles: 400,
            passage_m: 0.0,
            ..Default::default()
        };
        assert!(error(crowded).contains("no free goal"));
        let flat = TestbedConfig {
            radius_m: 0.0,
            ..Default::default()
        };
        assert!(error(flat).contains("radius_m"));
    }
}
