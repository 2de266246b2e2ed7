//! The standing task: come to rest in the standing pose.

use std::sync::Arc;

use nalgebra::{UnitQuaternion, Vector3};
use policies::{
    observation::{ObservationTerm, Quantity},
    rays::RaySpec,
};
use robots::{Robot, RobotState};
use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    rewards::{Regularizers, StepContext, reward_terms},
    task::{EpisodeEnd, EpisodePlan, LevelChange, StepOutcome, Task, TaskInput, Test},
};
use crate::{
    eval::RecoveryTestConfig,
    random::{Stream, uniform},
};

/// Settings of the standing task. Ranges are [low, high].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StandConfig {
    /// Episode time, s.
    pub episode_s: f32,
    /// Each component of the initial linear and angular velocity, drawn from +/- this, m/s and rad/s.
    pub start_twist: f32,
    /// Factor on the default joint positions at the start.
    pub start_joint_factor: [f32; 2],
    /// Weights of the task rewards.
    pub rewards: StandRewards,
    /// Weights of the regularizers.
    pub regularizers: Regularizers,
}

impl Default for StandConfig {
    fn default() -> Self {
        Self {
            episode_s: 4.0,
            start_twist: 1.0,
            start_joint_factor: [0.5, 1.5],
            rewards: StandRewards::default(),
            regularizers: Regularizers::default(),
        }
    }
}

reward_terms! {
    /// Rewards of the standing task.
    StandRewards(StepContext<'_>) {
        /// exp(-speed^2), speed in m/s.
        at_rest = 10.0,
        /// L1 distance to the standing pose.
        pose = -1.0,
        /// The base touches something.
        base_contact = -100.0,
    }
}

fn at_rest(context: &StepContext) -> f32 {
    (-context.state.linear_velocity_base.norm_squared()).exp()
}

fn pose(context: &StepContext) -> f32 {
    context.distance_to_standing_rad()
}

fn base_contact(context: &StepContext) -> f32 {
    f32::from(context.physics.base_touches())
}

/// The standing task.
pub struct StandTask {
    config: StandConfig,
    robot: Arc<Robot>,
}

impl Task for StandTask {
    type Config = StandConfig;
    type Episode = ();

    const SUMMARY: &'static str = "The policy that comes to rest in the standing pose";
    const RECIPE: &'static str = include_str!("recipe.toml");
    const ROLE: &'static str = "stand";
    const TEST: Test = Test::Twist(RecoveryTestConfig::default);

    fn observations(_: &RaySpec) -> Vec<ObservationTerm> {
        use Quantity::*;
        [
            AngularVelocityBase,
            ProjectedGravityBase,
            JointPosition,
            JointVelocity,
            PreviousAction,
        ]
        .map(Into::into)
        .to_vec()
    }

    fn privileged_observations() -> Vec<ObservationTerm> {
        vec![Quantity::LinearVelocityBase.into()]
    }

    fn reward_names() -> Vec<&'static str> {
        [StandRewards::NAMES, Regularizers::NAMES].concat()
    }

    fn validate(config: &StandConfig) -> Result<(), ConfigError> {
        ConfigError::unless_at_least("episode_s", config.episode_s, 0.1)?;
        ConfigError::unless_ranges(&[("start_joint_factor", config.start_joint_factor)])
    }

    fn new(config: &StandConfig, robot: &Arc<Robot>) -> Self {
        Self {
            config: config.clone(),
            robot: Arc::clone(robot),
        }
    }

    fn plan(&self, _level: usize, stream: &mut Stream) -> EpisodePlan<()> {
        let c = &self.config;
        let twist = [-c.start_twist, c.start_twist];
        let linear = Vector3::from_fn(|_, _| uniform(twist, stream));
        let angular = Vector3::from_fn(|_, _| uniform(twist, stream));
        let joints = self.robot.control.default_position_rad.iter();
        let joints = joints.map(|q| q * uniform(c.start_joint_factor, stream));
        EpisodePlan {
            joint_position_rad: joints.collect(),
            episode: (),
            obstacles: Vec::new(),
            start_xy_m: [0.0, 0.0],
            orientation: UnitQuaternion::identity(),
            linear_velocity_world: linear,
            angular_velocity_world: angular,
            joint_velocity_radps: std::iter::repeat_n(0.0, self.robot.num_joints()).collect(),
        }
    }

    fn step(&self, (): &mut (), step: &StepContext, terms: &mut [f32]) -> StepOutcome {
        let c = &self.config;
        let (task_terms, regularizers) = terms.split_at_mut(StandRewards::NAMES.len());
        c.rewards.evaluate(step, task_terms);
        c.regularizers.evaluate(step, regularizers);
        let falls = step.physics.base_touches();
        if !falls && !step.is_last(c.episode_s) {
            return StepOutcome::Running;
        }
        let end = EpisodeEnd {
            level: LevelChange::Stay,
            scalars: vec![("fall_rate", f32::from(falls))],
        };
        match falls {
            true => StepOutcome::Terminated(end),
            false => StepOutcome::Timeout(end),
        }
    }

    fn input(&self, (): &(), _: &RobotState, _: f32) -> TaskInput {
        TaskInput::default()
    }
}
