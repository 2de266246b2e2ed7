//! How the episodes begin.

use std::sync::Arc;

use nalgebra::{Point2, Point3, UnitQuaternion, Vector3};
use policies::{Bundle, Twist, spec::role};
use rand::RngExt;
use robots::Robot;

use super::RolloutConfig;
use crate::{
    engine::{EpisodeStart, PhysicsState},
    episode::SlotStart,
    random::{Stream, stream, uniform},
    scene::{Obstacle, Terrain, TestScene, TestbedError},
    tasks::{ConfigError, Task, agile::AgileTask},
};

/// Draws for a place among the obstacles before the start of the scene is taken.
const PLACE_DRAWS: usize = 100;
/// An episode that begins anywhere begins at most this far to the side of its scene's axis, m.
const PLACE_Y_M: f32 = 2.5;

/// An episode, and what comes before it.
pub(super) struct RolloutPlan {
    /// Where the robot runs first, and for how many policy steps.
    pub(super) run_up: Option<(SlotStart, usize)>,
    /// The twist that the recovery policy follows in the recorded scene before the agile policy takes over, and for how many
    /// steps.
    pub(super) recovering: Option<(Twist, usize)>,
    pub(super) recorded: SlotStart,
}

/// Draws episodes; each depends on the seed and its number alone.
pub(super) struct Planner<'a> {
    robot: &'a Robot,
    config: &'a RolloutConfig,
    policy_step_s: f32,
    can_recover: bool,
    task: AgileTask,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        robot: &'a Robot,
        bundle: &Bundle,
        config: &'a RolloutConfig,
        policy_step_s: f32,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            can_recover: bundle.has(role::RECOVERY),
            task: AgileTask::new(&config.agile, &Arc::new(robot.clone()))?,
            robot,
            config,
            policy_step_s,
        })
    }

    pub(super) fn plan(&self, seed: u64, episode: u64) -> Result<RolloutPlan, TestbedError> {
        let c = self.config;
        let mut stream = stream(seed, episode);
        let stream = &mut stream;
        let mut recorded = if stream.random::<f32>() < c.testbed_fraction {
            self.as_in_test(stream)?
        } else {
            self.as_in_training(stream)
        };
        if stream.random::<f32>() < c.anywhere_fraction {
            self.move_anywhere(&mut recorded, stream);
        }
        let motion = stream.random::<f32>();
        let mut run_up = None;
        if motion < c.running_fraction + c.random_velocity_fraction {
            self.face_the_goal(&mut recorded, stream);
        }
        if motion < c.running_fraction {
            let run_up_s = uniform(c.run_up_s, stream);
            let steps = (run_up_s / self.policy_step_s).round() as usize;
            let mut before = self.as_in_training(stream);
            // The physics does not change between the scenes.
            before.physics.dynamics = recorded.physics.dynamics.clone();
            recorded.duration_s -= run_up_s;
            run_up = Some((before, steps));
        } else if motion < c.running_fraction + c.random_velocity_fraction {
            self.draw_velocity(&mut recorded, stream);
        }
        let mut recovering = None;
        if self.can_recover && stream.random::<f32>() < c.recovering_fraction {
            let steps = (uniform(c.recovering_s, stream) / self.policy_step_s).round();
            let mut symmetric = |half: f32| uniform([-half, half], stream);
            let twist = Twist {
                vx_mps: symmetric(c.recovering_twist.vx_mps),
                vy_mps: symmetric(c.recovering_twist.vy_mps),
                yaw_rate_radps: symmetric(c.recovering_twist.yaw_rate_radps),
            };
            recovering = Some((twist, steps as usize));
        }
        Ok(RolloutPlan {
            run_up,
            recovering,
            recorded,
        })
    }

    /// A scene of the test, with time as in training; the robot stands.
    fn as_in_test(&self, stream: &mut Stream) -> Result<SlotStart, TestbedError> {
        let scene = TestScene::new(stream.random(), 0, &self.config.testbed)?;
        let margin = self.config.agile.obstacles.collision_margin();
        let mut physics = scene.start(self.robot);
        physics.obstacles = (physics.obstacles.into_iter())
            .map(|obstacle| obstacle.thicker(margin))
            .collect();
        Ok(SlotStart {
            physics,
            goal: scene.goal,
            duration_s: uniform(self.config.agile.episode_s, stream),
            noise_seed: scene.noise_seed,
            scanned_before: true,
        })
    }

    /// A scene of the training, at its highest level but on flat ground.
    fn as_in_training(&self, stream: &mut Stream) -> SlotStart {
        let plan = self.task.plan(0, stream);
        let [x, y] = plan.start_xy_m;
        let height_m = self.robot.height_over_feet_m(&plan.joint_position_rad);
        SlotStart {
            physics: EpisodeStart {
                terrain: Arc::new(Terrain::Flat),
                obstacles: plan.obstacles,
                position_world: Point3::new(x, y, height_m),
                orientation: plan.orientation,
                linear_velocity_world: plan.linear_velocity_world,
                angular_velocity_world: plan.angular_velocity_world,
                joint_position_rad: plan.joint_position_rad,
                joint_velocity_radps: plan.joint_velocity_radps,
                dynamics: self.config.randomization.draw(self.robot, 1, stream),
            },
            goal: plan.episode.goal,
            duration_s: plan.episode.duration_s,
            noise_seed: stream.random(),
            scanned_before: true,
        }
    }

    /// Moves the start to a free place between where the scene begins and its goal.
    fn move_anywhere(&self, start: &mut SlotStart, stream: &mut Stream) {
        let far_x = start
            .goal
            .position_world
            .x
            .max(start.physics.position_world.x);
        for _ in 0..PLACE_DRAWS {
            let place = Point2::new(
                uniform([-1.0, far_x], stream),
                uniform([-PLACE_Y_M, PLACE_Y_M], stream),
            );
            let clear = |o: &Obstacle| o.footprint_distance_m(&place) >= self.config.clearance_m;
            if start.physics.obstacles.iter().all(clear) {
                start.physics.position_world.x = place.x;
                start.physics.position_world.y = place.y;
                let heading_rad = uniform(self.config.agile.goal_heading_rad, stream);
                start.goal.heading_rad = bearing_rad(start) + heading_rad;
                return;
            }
        }
    }

    fn face_the_goal(&self, start: &mut SlotStart, stream: &mut Stream) {
        let half_rad = self.config.moving_heading_rad;
        let yaw_rad = bearing_rad(start) + uniform([-half_rad, half_rad], stream);
        start.physics.orientation = about_z(yaw_rad);
    }

    /// Lets the robot start in the standing pose, with a random velocity.
    fn draw_velocity(&self, start: &mut SlotStart, stream: &mut Stream) {
        let c = self.config;
        let symmetric = |half: f32, stream: &mut Stream| uniform([-half, half], stream);
        let velocity_base = Vector3::new(
            uniform(c.random_vx_mps, stream),
            symmetric(c.random_vy_mps, stream),
            0.0,
        );
        let yaw_rate_radps = symmetric(c.random_yaw_rate_radps, stream);
        let standing = EpisodeStart::standing(self.robot);
        let physics = &mut start.physics;
        *physics = EpisodeStart {
            linear_velocity_world: physics.orientation * velocity_base,
            angular_velocity_world: Vector3::new(0.0, 0.0, yaw_rate_radps),
            position_world: Point3::new(
                physics.position_world.x,
                physics.position_world.y,
                standing.position_world.z,
            ),
            joint_position_rad: standing.joint_position_rad,
            joint_velocity_radps: standing.joint_velocity_radps,
            ..physics.clone()
        };
    }
}

/// The start, but with the pose and motion of a running robot, turned into the heading of the start.
pub(super) fn running(start: &EpisodeStart, running: &PhysicsState) -> EpisodeStart {
    let yaw_rad = running.orientation.euler_angles().2;
    let turn = start.orientation * about_z(-yaw_rad);
    EpisodeStart {
        position_world: Point3::new(
            start.position_world.x,
            start.position_world.y,
            running.position_world.z,
        ),
        orientation: turn * running.orientation,
        linear_velocity_world: turn * running.linear_velocity_world,
        angular_velocity_world: turn * running.angular_velocity_world,
        joint_position_rad: running.joint_position_rad.clone(),
        joint_velocity_radps: running.joint_velocity_radps.clone(),
        ..start.clone()
    }
}

fn about_z(yaw_rad: f32) -> UnitQuaternion<f32> {
    UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad)
}

/// Direction from the start to the goal, rad.
fn bearing_rad(start: &SlotStart) -> f32 {
    let to_goal = start.goal.position_world - start.physics.position_world.xy();
    to_goal.y.atan2(to_goal.x)
}
