//! What distinguishes one training task from another.

use std::f32::consts::{PI, TAU};

use nalgebra::{UnitQuaternion, Vector3};
use policies::{
    GoalYaw, Twist,
    observation::{Layout, ObservationInput, Quantity},
    rays::{RayScan, RaySpec},
    spec::RobotSpec,
    training::Done,
};
use robots::{JointVec, Robot, RobotState};
use serde::{Serialize, de::DeserializeOwned};

use super::rewards::StepContext;
use crate::{random::Stream, scene::Obstacle};

/// A task: how episodes begin, what they pay and when they end. Everything else is the environment's.
pub trait Task: Send {
    /// What one episode remembers.
    type Episode: Clone + Serialize + DeserializeOwned + Send;

    /// What the policy observes.
    fn layout(&self) -> &Layout;
    /// What a privileged critic sees besides, without noise.
    fn privileged(&self) -> &Privileged;
    /// Names of the reward terms, in the order of `judge`.
    fn term_names(&self) -> Vec<&'static str>;
    /// Draws an episode of a curriculum level.
    fn plan(&self, level: usize, stream: &mut Stream) -> EpisodePlan<Self::Episode>;
    /// Rewards (before the multiplication by the step) and the end of the episode, after a policy step.
    fn judge(
        &self,
        episode: &mut Self::Episode,
        step: &StepContext,
        terms: &mut [f32],
    ) -> Judgement;
    /// The task's part of the observation.
    fn input(&self, episode: &Self::Episode, state: &RobotState, time_s: f32) -> TaskInput;
}

/// What only a simulation knows, for critics.
#[derive(Clone, Debug)]
pub struct Privileged {
    /// The quantities.
    pub layout: Layout,
    /// The rays among them, from the centre of the base.
    pub rays: RaySpec,
}

impl Privileged {
    /// The velocity of the base.
    pub fn velocity(robot: &Robot) -> Self {
        Self::new(robot, &[Quantity::LinearVelocityBase])
    }

    /// The velocity of the base, and rays all around.
    pub fn velocity_and_surroundings(robot: &Robot) -> Self {
        Self::new(robot, &[Quantity::LinearVelocityBase, Quantity::LogRays])
    }

    fn new(robot: &Robot, quantities: &[Quantity]) -> Self {
        const COUNT: usize = 28;
        let gap_rad = TAU / COUNT as f32;
        let rays = RaySpec {
            count: COUNT,
            first_rad: 0.5 * gap_rad - PI,
            last_rad: PI - 0.5 * gap_rad,
            origin_x_m: 0.0,
            ..RaySpec::default()
        };
        let terms: Vec<_> = quantities.iter().copied().map(Into::into).collect();
        let layout = Layout::new(&terms, &RobotSpec::from(robot), &rays);
        Self {
            layout: layout.unwrap_or_else(|error| unreachable!("{error}")),
            rays,
        }
    }
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

/// The task's verdict on a policy step.
pub struct Judgement {
    /// Whether the episode ended.
    pub done: Done,
    /// Present when it ended.
    pub end: Option<EpisodeEnd>,
}

/// What is said of an episode that ended.
pub struct EpisodeEnd {
    /// Where the curriculum goes.
    pub level: LevelChange,
    /// Logged as `episode/<name>`.
    pub scalars: [(&'static str, f32); 4],
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
    /// Goal relative to the robot.
    pub goal: GoalYaw,
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
    ) -> ObservationInput<'a> {
        ObservationInput {
            state,
            foot_contact,
            goal: self.goal,
            time_left_s: self.time_left_s,
            twist: self.twist,
            previous_action,
            ray_distance_m: &scan.distance_m,
            previous_ray_distance_m: &previous_scan.distance_m,
        }
    }
}
