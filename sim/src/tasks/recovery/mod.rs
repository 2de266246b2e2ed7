//! The recovery task (docs/concepts/recovery-policy.md): from a violent state, track a twist as fast as possible.

use std::sync::Arc;

use nalgebra::{UnitQuaternion, Vector3};
use policies::{
    Twist, TwistRange,
    observation::{ObservationTerm, Quantity, terms},
    rays::RaySpec,
    spec::role,
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

/// Settings of the recovery task. Ranges are [low, high].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryConfig {
    /// Episode time, s.
    pub episode_s: f32,
    /// Initial forward velocity, m/s.
    pub start_vx_mps: [f32; 2],
    /// Initial roll and pitch, each drawn from +/- this, rad.
    pub start_tilt_rad: f32,
    /// Each component of the initial angular velocity, drawn from +/- this, rad/s.
    pub start_angular_velocity_radps: f32,
    /// Initial joint velocities, drawn from +/- this, rad/s.
    pub start_joint_velocity_radps: f32,
    /// Factor on the default joint positions at the start.
    pub start_joint_factor: [f32; 2],
    /// Commands are drawn from +/- this.
    pub command: Twist,
    /// Count the forward velocity error only while the robot is faster than commanded.
    pub one_sided_vx: bool,
    /// Squared velocity error, averaged over the second half of the episode, below which the level rises, m²/s².
    pub level_up_squared_error: f32,
    /// Survival fraction of the episode below which the level falls.
    pub level_down_survival_fraction: f32,
    /// Weights of the task rewards.
    pub rewards: RecoveryRewards,
    /// Weights of the regularizers.
    pub regularizers: Regularizers,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            episode_s: 2.0,
            start_vx_mps: [-0.5, 5.5],
            start_tilt_rad: 30f32.to_radians(),
            start_angular_velocity_radps: 1.0,
            start_joint_velocity_radps: 8.0,
            start_joint_factor: [0.75, 1.25],
            command: Twist {
                vx_mps: 1.5,
                vy_mps: 0.3,
                yaw_rate_radps: 3.0,
            },
            one_sided_vx: true,
            level_up_squared_error: 0.125,
            level_down_survival_fraction: 0.9,
            rewards: RecoveryRewards::default(),
            regularizers: Regularizers {
                calf_contact: 0.0,
                fly: 0.0,
                ..Regularizers::default()
            },
        }
    }
}

reward_terms! {
    /// Rewards of the recovery task.
    RecoveryRewards(RecoveryContext<'_>) {
        /// exp(-(velocity error)^2 / 0.25).
        velocity = 10.0,
        /// Square of the yaw rate error.
        yaw_rate = -0.5,
        /// Every step.
        alive = 5.0,
        /// L1 distance to the standing pose.
        stand = -0.1,
        /// The base touches something.
        base_contact = -100.0,
    }
}

/// What the recovery rewards look at.
pub struct RecoveryContext<'a> {
    step: &'a StepContext<'a>,
    squared_velocity_error: f32,
    yaw_rate_error_radps: f32,
}

fn velocity(context: &RecoveryContext) -> f32 {
    (-context.squared_velocity_error / 0.25).exp()
}

fn yaw_rate(context: &RecoveryContext) -> f32 {
    context.yaw_rate_error_radps.powi(2)
}

fn alive(_: &RecoveryContext) -> f32 {
    1.0
}

fn stand(context: &RecoveryContext) -> f32 {
    context.step.distance_to_standing_rad()
}

fn base_contact(context: &RecoveryContext) -> f32 {
    f32::from(context.step.physics.base_touches())
}

/// The recovery task.
pub struct RecoveryTask {
    config: RecoveryConfig,
    robot: Arc<Robot>,
}

/// One episode of the recovery task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryEpisode {
    /// Twist to track.
    pub command: Twist,
    squared_error_sum: f32,
    yaw_rate_error_sum: f32,
    counted_steps: u32,
}

impl Task for RecoveryTask {
    type Config = RecoveryConfig;
    type Episode = RecoveryEpisode;

    const SUMMARY: &'static str = "The policy that tracks a twist from a violent state";
    const RECIPE: &'static str = include_str!("recipe.toml");
    const PAPER: Option<&'static str> =
        Some("env.num_envs = 4096\nalgorithm.steps_per_rollout = 24");
    const ROLE: &'static str = role::RECOVERY;
    const TEST: Test = Test::Twist(RecoveryTestConfig::default);

    fn observations(_: &RaySpec) -> Vec<ObservationTerm> {
        terms::recovery()
    }

    fn privileged_observations() -> Vec<ObservationTerm> {
        [Quantity::LinearVelocityBase].map(Into::into).to_vec()
    }

    fn twist_range(config: &RecoveryConfig) -> Option<TwistRange> {
        Some(TwistRange::symmetric(config.command))
    }

    fn reward_names() -> Vec<&'static str> {
        [RecoveryRewards::NAMES, Regularizers::NAMES].concat()
    }

    fn validate(config: &RecoveryConfig) -> Result<(), ConfigError> {
        ConfigError::unless_at_least("episode_s", config.episode_s, 0.1)?;
        ConfigError::unless_ranges(&[
            ("start_vx_mps", config.start_vx_mps),
            ("start_joint_factor", config.start_joint_factor),
        ])
    }

    fn new(config: &RecoveryConfig, robot: &Arc<Robot>) -> Result<Self, ConfigError> {
        Ok(Self {
            config: config.clone(),
            robot: Arc::clone(robot),
        })
    }

    fn plan(&self, _level: usize, stream: &mut Stream) -> EpisodePlan<RecoveryEpisode> {
        let c = &self.config;
        let mut symmetric = |half: f32| uniform([-half, half], stream);
        let command = Twist {
            vx_mps: symmetric(c.command.vx_mps),
            vy_mps: symmetric(c.command.vy_mps),
            yaw_rate_radps: symmetric(c.command.yaw_rate_radps),
        };
        let (roll, pitch) = (symmetric(c.start_tilt_rad), symmetric(c.start_tilt_rad));
        let angular = Vector3::from_fn(|_, _| symmetric(c.start_angular_velocity_radps));
        let joint_velocity_radps = (0..self.robot.num_joints())
            .map(|_| symmetric(c.start_joint_velocity_radps))
            .collect();
        let control = &self.robot.control;
        let joints = control
            .default_position_rad
            .iter()
            .zip(&control.standing_position_rad);
        let joints = joints.map(|(default, standing)| {
            default * uniform(c.start_joint_factor, stream) + (standing - default)
        });
        EpisodePlan {
            episode: RecoveryEpisode {
                command,
                squared_error_sum: 0.0,
                yaw_rate_error_sum: 0.0,
                counted_steps: 0,
            },
            obstacles: Vec::new(),
            start_xy_m: [0.0, 0.0],
            orientation: UnitQuaternion::from_euler_angles(roll, pitch, 0.0),
            joint_position_rad: joints.collect(),
            joint_velocity_radps,
            linear_velocity_world: Vector3::new(uniform(c.start_vx_mps, stream), 0.0, 0.0),
            angular_velocity_world: angular,
        }
    }

    fn step(
        &self,
        episode: &mut RecoveryEpisode,
        step: &StepContext,
        terms: &mut [f32],
    ) -> StepOutcome {
        let state = step.state;
        let command = episode.command;
        let vx_error = state.linear_velocity_base.x - command.vx_mps;
        let vx_error = if self.config.one_sided_vx {
            vx_error.max(0.0)
        } else {
            vx_error
        };
        let vy_error = state.linear_velocity_base.y - command.vy_mps;
        let context = RecoveryContext {
            step,
            squared_velocity_error: vx_error.powi(2) + vy_error.powi(2),
            yaw_rate_error_radps: state.angular_velocity_base.z - command.yaw_rate_radps,
        };
        let (task_terms, regularizers) = terms.split_at_mut(RecoveryRewards::NAMES.len());
        self.config.rewards.evaluate(&context, task_terms);
        self.config.regularizers.evaluate(step, regularizers);

        if step.time_s > 0.5 * self.config.episode_s {
            episode.squared_error_sum += context.squared_velocity_error;
            episode.yaw_rate_error_sum += context.yaw_rate_error_radps.abs();
            episode.counted_steps += 1;
        }
        let falls = step.physics.base_touches();
        if !falls && !step.is_last(self.config.episode_s) {
            return StepOutcome::Running;
        }
        let counted = episode.counted_steps.max(1) as f32;
        let squared_error = episode.squared_error_sum / counted;
        let survival_fraction = step.time_s / self.config.episode_s;
        let level = if survival_fraction < self.config.level_down_survival_fraction {
            LevelChange::Down
        } else if squared_error < self.config.level_up_squared_error {
            LevelChange::Up
        } else {
            LevelChange::Stay
        };
        let end = EpisodeEnd {
            level,
            scalars: vec![
                ("fall_rate", f32::from(falls)),
                ("survival_fraction", survival_fraction),
                ("squared_velocity_error", squared_error),
                ("yaw_rate_error_radps", episode.yaw_rate_error_sum / counted),
            ],
        };
        match falls {
            true => StepOutcome::Terminated(end),
            false => StepOutcome::Timeout(end),
        }
    }

    fn input(&self, episode: &RecoveryEpisode, _: &RobotState, _: f32) -> TaskInput {
        TaskInput {
            twist: episode.command,
            ..TaskInput::default()
        }
    }
}

#[cfg(test)]
mod tests;
