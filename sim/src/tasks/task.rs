//! What a task is: how its episodes begin, what they pay and when they end. Everything else is the environment's.

use std::{fmt::Debug, sync::Arc};

use nalgebra::{UnitQuaternion, Vector3};
use policies::{
    GoalYaw, Twist, TwistRange,
    observation::{ObservationInput, ObservationTerm},
    rays::{RayScan, RaySpec},
    training::Done,
};
use robots::{JointVec, Robot, RobotState};
use serde::{Serialize, de::DeserializeOwned};

use super::{ConfigError, rewards::StepContext};
use crate::{
    eval::RecoveryTestConfig,
    random::Stream,
    scene::{CollisionMargin, Obstacle},
};

/// A task, for one robot. `abs train NAME` and all that follows from it read it from the table of tasks.
pub trait Task: Send + Sized + 'static {
    /// Its section of the configuration.
    type Config: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send;
    /// What one episode remembers.
    type Episode: Clone + Serialize + DeserializeOwned + Send;

    /// One line for `--help`.
    const SUMMARY: &'static str;
    /// Settings that it is trained with by default, TOML.
    const RECIPE: &'static str;
    /// Settings of `--preset paper`, TOML over the defaults; `None` for a task that is not in the paper.
    const PAPER: Option<&'static str> = None;
    /// Role in a bundle of the network that it trains.
    const ROLE: &'static str;
    /// The test of that network.
    const TEST: Test;
    /// Keys of its section that penalize collisions; 0 by default for an algorithm that bounds them as costs.
    const COLLISION_PENALTIES: &'static [&'static str] = &[
        "rewards.base_contact",
        "regularizers.thigh_contact",
        "regularizers.calf_contact",
        "regularizers.foot_horizontal_contact",
    ];

    /// What the policy observes, in order.
    fn observations(rays: &RaySpec) -> Vec<ObservationTerm>;
    /// What a privileged critic observes besides, without noise; rays are 28 all around.
    fn privileged_observations() -> Vec<ObservationTerm>;
    /// The twists that it commands, where it commands any.
    fn twist_range(_config: &Self::Config) -> Option<TwistRange> {
        None
    }
    /// Names of the reward terms, in the order of [`Self::step`].
    fn reward_names() -> Vec<&'static str>;
    /// Checks all settings.
    ///
    /// # Errors
    /// The key that is wrong, and what would be right.
    fn validate(config: &Self::Config) -> Result<(), ConfigError>;
    /// The task with these settings.
    ///
    /// # Errors
    /// When a file that they name cannot be read any more.
    fn new(config: &Self::Config, robot: &Arc<Robot>) -> Result<Self, ConfigError>;

    /// By how much obstacles are thicker than the rays see.
    fn collision_margin(&self) -> CollisionMargin {
        CollisionMargin::default()
    }
    /// Draws an episode of a curriculum level.
    fn plan(&self, level: usize, stream: &mut Stream) -> EpisodePlan<Self::Episode>;
    /// After a policy step: writes the reward terms, per second, and says whether the episode ended.
    fn step(
        &self,
        episode: &mut Self::Episode,
        step: &StepContext,
        terms: &mut [f32],
    ) -> StepOutcome;
    /// The task's part of the observation, `time_s` after the start of the episode.
    fn input(&self, episode: &Self::Episode, state: &RobotState, time_s: f32) -> TaskInput;
}

/// How a policy is tested.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// It runs to goals among obstacles.
    Goal,
    /// It follows a grid of twists: these, by default.
    Twist(fn() -> RecoveryTestConfig),
}

/// A drawn episode, still to be placed on the terrain.
pub struct EpisodePlan<E> {
    /// The task's own part.
    pub episode: E,
    /// Obstacles.
    pub obstacles: Vec<Obstacle>,
    /// Start position, world frame, m; the height follows from the joints.
    pub start_xy_m: [f32; 2],
    /// Rotation from the base to the world frame.
    pub orientation: UnitQuaternion<f32>,
    /// Velocity of the base, world frame, m/s.
    pub linear_velocity_world: Vector3<f32>,
    /// Angular velocity, world frame, rad/s.
    pub angular_velocity_world: Vector3<f32>,
    /// Joint positions, rad.
    pub joint_position_rad: JointVec,
    /// Joint velocities, rad/s.
    pub joint_velocity_radps: JointVec,
}

/// What a policy step came to.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    /// The episode goes on.
    Running,
    /// Ended by the task: the value after it is zero.
    Terminated(EpisodeEnd),
    /// Ended by a clock that the policy does not observe: the value after it is bootstrapped.
    Timeout(EpisodeEnd),
}

impl StepOutcome {
    /// The end of the episode, if it is one.
    pub fn end(&self) -> Option<&EpisodeEnd> {
        match self {
            Self::Running => None,
            Self::Terminated(end) | Self::Timeout(end) => Some(end),
        }
    }

    /// As the learner is told.
    pub fn done(&self) -> Done {
        match self {
            Self::Running => Done::No,
            Self::Terminated(_) => Done::Terminated,
            Self::Timeout(_) => Done::Timeout,
        }
    }
}

/// What is known of an episode that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeEnd {
    /// Where the curriculum goes.
    pub level: LevelChange,
    /// Logged as `episode/<name>`.
    pub scalars: Vec<(&'static str, f32)>,
}

/// Movement on the curriculum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelChange {
    /// One level harder.
    Up,
    /// The same level again.
    Stay,
    /// One level easier.
    Down,
}

/// The task's part of the observation.
#[derive(Default)]
pub struct TaskInput {
    /// Goal relative to the robot, if there is one; the illusion replaces rays that end behind it.
    pub goal: Option<GoalYaw>,
    /// Twist command.
    pub twist: Twist,
    /// Time to the end of the episode, s.
    pub time_left_s: f32,
}

impl TaskInput {
    /// With what every task observes.
    pub(super) fn observed<'a>(
        &self,
        state: &'a RobotState,
        foot_contact: &'a [bool],
        previous_action: &'a [f32],
        scan: &'a RayScan,
        previous_scan: &'a RayScan,
        reality: &'a [f32],
    ) -> ObservationInput<'a> {
        ObservationInput {
            state,
            foot_contact,
            goal: self.goal.unwrap_or_default(),
            time_left_s: self.time_left_s,
            twist: self.twist,
            previous_action,
            ray_distance_m: &scan.distance_m,
            previous_ray_distance_m: &previous_scan.distance_m,
            reality,
        }
    }
}
