//! The agile task (docs/concepts/agile-policy.md): reach a goal pose among obstacles before the time is up.

mod obstacles;
mod scenes;

use std::{f32::consts::PI, sync::Arc};

use nalgebra::{Point2, UnitQuaternion, Vector3};
use policies::{
    Goal, GoalYaw,
    observation::{ObservationTerm, Quantity, terms},
    rays::RaySpec,
    spec::role,
};
use robots::{Robot, RobotState};
use serde::{Deserialize, Serialize};

use self::scenes::{Place, Scenes};
pub use self::{obstacles::ObstacleConfig, scenes::SceneShare};

use super::{
    ConfigError,
    rewards::{Regularizers, StepContext, reward_terms},
    task::{EpisodeEnd, EpisodePlan, LevelChange, StepOutcome, Task, TaskInput, Test},
};
use crate::{
    random::{Stream, uniform},
    scene::{CollisionMargin, Obstacle},
};

/// Settings of the agile task. Ranges are [low, high].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgileConfig {
    /// Episode time, s.
    pub episode_s: [f32; 2],
    /// Goal x, m.
    pub goal_x_m: [f32; 2],
    /// Goal y, m.
    pub goal_y_m: [f32; 2],
    /// Goal heading relative to the bearing of the goal, rad.
    pub goal_heading_rad: [f32; 2],
    /// Start x and y, each drawn from +/- this, m.
    pub start_xy_m: f32,
    /// Start yaw, drawn from +/- this, rad.
    pub start_yaw_rad: f32,
    /// Each component of the initial linear and angular velocity, drawn from +/- this, m/s and rad/s.
    pub start_twist: f32,
    /// Factor on the default joint positions at the start.
    pub start_joint_factor: [f32; 2],
    /// Obstacles of an episode.
    pub obstacles: ObstacleConfig,
    /// Scenes in which a part of the episodes takes place instead.
    pub scenes: Vec<SceneShare>,
    /// Final distance below which an episode counts as reached in the log, m.
    pub reach_m: f32,
    /// Final distance below which the level rises, m.
    pub level_up_m: f32,
    /// Final distance above which the level falls, m.
    pub level_down_m: f32,
    /// End the episode at the first collision, not only when the base touches something (the paper: false).
    pub end_on_collision: bool,
    /// Speed to which `rewards.agile` and `rewards.approach` are normalized, m/s.
    pub top_speed_mps: f32,
    /// Weights of the task rewards.
    pub rewards: AgileRewards,
    /// Weights of the regularizers.
    pub regularizers: Regularizers,
}

impl Default for AgileConfig {
    fn default() -> Self {
        Self {
            episode_s: [7.0, 9.0],
            goal_x_m: [1.5, 7.5],
            goal_y_m: [-2.0, 2.0],
            goal_heading_rad: [-0.3, 0.3],
            start_xy_m: 0.5,
            start_yaw_rad: PI,
            start_twist: 0.5,
            start_joint_factor: [0.5, 1.5],
            obstacles: ObstacleConfig::default(),
            scenes: Vec::new(),
            reach_m: 0.65,
            level_up_m: 0.5,
            level_down_m: 2.0,
            end_on_collision: false,
            top_speed_mps: 4.5,
            rewards: AgileRewards::default(),
            regularizers: Regularizers::default(),
        }
    }
}

reward_terms! {
    /// Rewards of the agile task; the -a and -c variants of the paper double and halve `agile`.
    AgileRewards(AgileContext<'_>) {
        /// 1/(1+(d/2)^2) over the last 2 s.
        soft_position = 60.0,
        /// 1/(1+(d/0.5)^2) in the last second.
        tight_position = 60.0,
        /// 1/(1+yaw error^2) over the last 2 s, within 2 m of the goal.
        heading = 30.0,
        /// Forward speed / `top_speed_mps` when facing the goal; 1 at the goal.
        agile = 10.0,
        /// Speed toward the goal / `top_speed_mps`; 1 at the goal. Not in the paper, whose terms do not tell an arc from a line.
        approach = 0.0,
        /// Standing still far from the goal, facing away.
        stall = -20.0,
        /// L1 distance to the standing pose in the last second at the goal.
        stand = -10.0,
        /// The base touches something; five times that in the last second at the goal.
        base_contact = -100.0,
    }
}

/// Distance within which the robot counts as being at the goal, m.
const AT_GOAL_M: f32 = 0.5;

/// What the agile rewards look at.
pub struct AgileContext<'a> {
    step: &'a StepContext<'a>,
    goal_distance_m: f32,
    heading_error_rad: f32,
    /// Cosine of the angle between the base's forward direction and the bearing of the goal.
    facing_goal: f32,
    /// Speed at which the distance to the goal falls, m/s.
    approach_speed_mps: f32,
    top_speed_mps: f32,
    time_left_s: f32,
}

/// Horizontal velocity of the base along the line to the goal; 0 at the goal.
fn approach_speed_mps(state: &RobotState, goal: &Goal) -> f32 {
    let velocity_world = (state.orientation * state.linear_velocity_base).xy();
    let to_goal = goal.position_world - state.position_world.xy();
    let bearing = to_goal.try_normalize(1e-6);
    bearing.map_or(0.0, |bearing| velocity_world.dot(&bearing))
}

/// Weight of a reward that is given only in the last `window_s` seconds, normalized to them.
fn last_seconds(context: &AgileContext, window_s: f32) -> f32 {
    if context.time_left_s < window_s {
        1.0 / window_s
    } else {
        0.0
    }
}

fn soft_position(context: &AgileContext) -> f32 {
    last_seconds(context, 2.0) / (1.0 + (context.goal_distance_m / 2.0).powi(2))
}

fn tight_position(context: &AgileContext) -> f32 {
    last_seconds(context, 1.0) / (1.0 + (context.goal_distance_m / 0.5).powi(2))
}

fn heading(context: &AgileContext) -> f32 {
    if context.goal_distance_m < 2.0 {
        last_seconds(context, 2.0) / (1.0 + context.heading_error_rad.powi(2))
    } else {
        0.0
    }
}

fn agile(context: &AgileContext) -> f32 {
    if context.goal_distance_m < AT_GOAL_M {
        1.0
    } else if context.facing_goal > -0.25 {
        context.step.state.linear_velocity_base.x.max(0.0) / context.top_speed_mps
    } else {
        0.0
    }
}

fn approach(context: &AgileContext) -> f32 {
    if context.goal_distance_m < AT_GOAL_M {
        1.0
    } else {
        context.approach_speed_mps / context.top_speed_mps
    }
}

fn stall(context: &AgileContext) -> f32 {
    let state = context.step.state;
    let still =
        state.linear_velocity_base.norm() < 0.1 && state.angular_velocity_base.z.abs() < 0.1;
    f32::from(still && context.goal_distance_m > 2.0 && context.facing_goal < -0.25)
}

fn stand(context: &AgileContext) -> f32 {
    if context.goal_distance_m < AT_GOAL_M {
        last_seconds(context, 1.0) * context.step.distance_to_standing_rad()
    } else {
        0.0
    }
}

fn base_contact(context: &AgileContext) -> f32 {
    let at_the_end = context.time_left_s < 1.0 && context.goal_distance_m < AT_GOAL_M;
    match context.step.physics.base_touches() {
        true if at_the_end => 5.0,
        true => 1.0,
        false => 0.0,
    }
}

/// The agile task.
pub struct AgileTask {
    config: AgileConfig,
    robot: Arc<Robot>,
    scenes: Scenes,
}

/// One episode of the agile task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgileEpisode {
    /// Goal pose in the world frame.
    pub goal: Goal,
    /// Length of the episode, s.
    pub duration_s: f32,
    collided: bool,
    /// Its end says nothing about the level, which scenes do not have.
    in_scene: bool,
}

impl AgileTask {
    /// Obstacles of a level around a start and a goal.
    fn draw_place(&self, level: usize, stream: &mut Stream) -> Place {
        let c = &self.config;
        let mut symmetric = |half: f32| uniform([-half, half], stream);
        let start_world = Point2::new(symmetric(c.start_xy_m), symmetric(c.start_xy_m));
        let obstacles = c.obstacles.draw(level, start_world, stream);
        Place {
            start_world,
            start_yaw_rad: None,
            goal: self.draw_goal(start_world, &obstacles, stream),
            obstacles,
        }
    }

    fn draw_goal(&self, start: Point2<f32>, obstacles: &[Obstacle], stream: &mut Stream) -> Goal {
        let c = &self.config;
        let mut position = Point2::origin();
        for _ in 0..100 {
            position.x = uniform(c.goal_x_m, stream);
            position.y = uniform(c.goal_y_m, stream);
            let free = |obstacle: &Obstacle| c.obstacles.leaves_free(obstacle, &position);
            if obstacles.iter().all(free) {
                break;
            }
        }
        let bearing = (position.y - start.y).atan2(position.x - start.x);
        let heading_rad = bearing + uniform(c.goal_heading_rad, stream);
        Goal {
            position_world: position,
            heading_rad,
        }
    }
}

impl Task for AgileTask {
    type Config = AgileConfig;
    type Episode = AgileEpisode;

    const SUMMARY: &'static str = "The policy that runs to a goal among obstacles";
    const RECIPE: &'static str = include_str!("recipe.toml");
    const PAPER: Option<&'static str> = Some("");
    const ROLE: &'static str = role::AGILE;
    const TEST: Test = Test::Goal;

    fn observations(rays: &RaySpec) -> Vec<ObservationTerm> {
        terms::agile(rays)
    }

    fn privileged_observations() -> Vec<ObservationTerm> {
        [Quantity::LinearVelocityBase, Quantity::LogRays]
            .map(Into::into)
            .to_vec()
    }

    fn reward_names() -> Vec<&'static str> {
        [AgileRewards::NAMES, Regularizers::NAMES].concat()
    }

    fn validate(config: &AgileConfig) -> Result<(), ConfigError> {
        ConfigError::unless_at_least("episode_s", config.episode_s[0], 0.1)?;
        ConfigError::unless_at_least("top_speed_mps", config.top_speed_mps, 0.1)?;
        ConfigError::unless_ranges(&[
            ("episode_s", config.episode_s),
            ("goal_x_m", config.goal_x_m),
            ("goal_y_m", config.goal_y_m),
            ("goal_heading_rad", config.goal_heading_rad),
            ("start_joint_factor", config.start_joint_factor),
        ])?;
        let obstacles = config.obstacles.validate(config.start_xy_m);
        obstacles.map_err(|error| error.within("obstacles"))?;
        Scenes::load(&config.scenes).map(|_| ())
    }

    fn new(config: &AgileConfig, robot: &Arc<Robot>) -> Result<Self, ConfigError> {
        Ok(Self {
            config: config.clone(),
            robot: Arc::clone(robot),
            scenes: Scenes::load(&config.scenes)?,
        })
    }

    fn collision_margin(&self) -> CollisionMargin {
        self.config.obstacles.collision_margin()
    }

    fn plan(&self, level: usize, stream: &mut Stream) -> EpisodePlan<AgileEpisode> {
        let c = &self.config;
        let duration_s = uniform(c.episode_s, stream);
        let place = self.scenes.draw(self.collision_margin(), stream);
        let in_scene = place.is_some();
        let Place {
            start_world,
            start_yaw_rad,
            goal,
            obstacles,
        } = place.unwrap_or_else(|| self.draw_place(level, stream));
        let mut twist =
            || Vector3::from_fn(|_, _| uniform([-c.start_twist, c.start_twist], stream));
        let (linear, angular) = (twist(), twist());
        let any_yaw_rad = [-c.start_yaw_rad, c.start_yaw_rad];
        let yaw_rad = start_yaw_rad.unwrap_or_else(|| uniform(any_yaw_rad, stream));
        let joints = self.robot.control.default_position_rad.iter();
        let joints = joints
            .map(|q| q * uniform(c.start_joint_factor, stream))
            .collect();
        EpisodePlan {
            episode: AgileEpisode {
                goal,
                duration_s,
                collided: false,
                in_scene,
            },
            obstacles,
            start_xy_m: start_world.coords.into(),
            orientation: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw_rad),
            linear_velocity_world: linear,
            angular_velocity_world: angular,
            joint_position_rad: joints,
            joint_velocity_radps: std::iter::repeat_n(0.0, self.robot.num_joints()).collect(),
        }
    }

    fn step(
        &self,
        episode: &mut AgileEpisode,
        step: &StepContext,
        terms: &mut [f32],
    ) -> StepOutcome {
        let goal = GoalYaw::new(step.state, &episode.goal);
        let goal_distance_m = goal.distance_m();
        let context = AgileContext {
            step,
            goal_distance_m,
            heading_error_rad: goal.heading_error_rad,
            facing_goal: goal.x_m / goal_distance_m.max(1e-6),
            approach_speed_mps: approach_speed_mps(step.state, &episode.goal),
            top_speed_mps: self.config.top_speed_mps,
            time_left_s: episode.duration_s - step.time_s,
        };
        let (task_terms, regularizers) = terms.split_at_mut(AgileRewards::NAMES.len());
        self.config.rewards.evaluate(&context, task_terms);
        self.config.regularizers.evaluate(step, regularizers);

        episode.collided |= step.physics.collision().is_some();
        let falls = step.physics.base_touches();
        let ends = falls || (self.config.end_on_collision && episode.collided);
        if !ends && !step.is_last(episode.duration_s) {
            return StepOutcome::Running;
        }
        let level = match goal_distance_m {
            _ if episode.in_scene => LevelChange::Stay,
            d if d < self.config.level_up_m => LevelChange::Up,
            d if d > self.config.level_down_m => LevelChange::Down,
            _ => LevelChange::Stay,
        };
        let reached = !episode.collided && goal_distance_m < self.config.reach_m;
        // The time left is observed, so that its end is a termination like any other (docs/concepts/agile-policy.md).
        StepOutcome::Terminated(EpisodeEnd {
            level,
            scalars: vec![
                ("reach_rate", f32::from(reached)),
                ("collision_rate", f32::from(episode.collided)),
                ("fall_rate", f32::from(falls)),
                ("final_distance_m", goal_distance_m),
            ],
        })
    }

    fn input(&self, episode: &AgileEpisode, state: &RobotState, time_s: f32) -> TaskInput {
        TaskInput {
            goal: Some(GoalYaw::new(state, &episode.goal)),
            time_left_s: episode.duration_s - time_s,
            ..TaskInput::default()
        }
    }
}

#[cfg(test)]
mod tests;
