//! The velocity task: follow a commanded twist over rough ground.

use std::{f32::consts::PI, sync::Arc};

use nalgebra::{UnitQuaternion, Vector3};
use policies::{
    Twist, TwistRange,
    observation::{ObservationTerm, Quantity},
    rays::RaySpec,
};
use rand::RngExt;
use robots::{FootVec, Robot, RobotState};
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

/// Settings of the velocity task. Ranges are [low, high].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VelocityConfig {
    /// Episode time, s.
    pub episode_s: f32,
    /// Time from one command to the next, s.
    pub command_s: [f32; 2],
    /// Commanded forward velocity, m/s.
    pub vx_mps: [f32; 2],
    /// Commanded velocity to the left, m/s.
    pub vy_mps: [f32; 2],
    /// Commanded turning rate to the left, rad/s.
    pub yaw_rate_radps: [f32; 2],
    /// Probability that a command is to stand.
    pub stand_probability: f32,
    /// Each component of the initial linear and angular velocity, drawn from +/- this, m/s and rad/s.
    pub start_twist: f32,
    /// Factor on the default joint positions at the start.
    pub start_joint_factor: [f32; 2],
    /// Standard deviation of the Gaussian that rewards the linear velocity, m/s.
    pub velocity_std_mps: f32,
    /// Standard deviation of the Gaussian that rewards the yaw rate, rad/s.
    pub yaw_rate_std_radps: f32,
    /// Time that a foot is to be in the air between two steps, s.
    pub swing_s: f32,
    /// Mean velocity error of an episode below which the level rises, m/s.
    pub level_up_error_mps: f32,
    /// Survival fraction of an episode below which the level falls.
    pub level_down_survival_fraction: f32,
    /// Weights of the task rewards.
    pub rewards: VelocityRewards,
    /// Weights of the regularizers.
    pub regularizers: Regularizers,
}

impl Default for VelocityConfig {
    fn default() -> Self {
        Self {
            episode_s: 10.0,
            command_s: [2.0, 5.0],
            vx_mps: [-1.0, 2.0],
            vy_mps: [-0.8, 0.8],
            yaw_rate_radps: [-2.0, 2.0],
            stand_probability: 0.1,
            start_twist: 0.5,
            start_joint_factor: [0.75, 1.25],
            velocity_std_mps: 0.5,
            yaw_rate_std_radps: 0.5,
            swing_s: 0.25,
            level_up_error_mps: 0.3,
            level_down_survival_fraction: 0.75,
            rewards: VelocityRewards::default(),
            regularizers: Regularizers {
                thigh_contact: -20.0,
                calf_contact: -20.0,
                foot_horizontal_contact: -20.0,
                vertical_speed: -4.0,
                roll_pitch_rate: -0.1,
                tilt: -10.0,
                joint_acceleration: -1e-6,
                action_rate: -0.05,
                fly: 0.0,
                abduction: -2.0,
                ..Regularizers::default()
            },
        }
    }
}

reward_terms! {
    /// Rewards of the velocity task.
    VelocityRewards(VelocityContext<'_>) {
        /// exp(-(error of v_x, v_y)^2 / std^2).
        linear_velocity = 15.0,
        /// exp(-(error of w_z)^2 / std^2).
        yaw_rate = 7.5,
        /// For every foot that touches down: its time in the air minus the swing time, s; 0 while standing is commanded.
        air_time = 50.0,
        /// L1 distance to the standing pose while standing is commanded.
        stand_still = -1.0,
        /// The base touches something.
        base_contact = -100.0,
    }
}

/// What the velocity rewards look at.
pub struct VelocityContext<'a> {
    step: &'a StepContext<'a>,
    config: &'a VelocityConfig,
    is_standing_commanded: bool,
    velocity_error_mps: f32,
    yaw_rate_error_radps: f32,
    /// Sum over the feet that touch down of their time in the air minus the swing time, s.
    air_time_s: f32,
}

fn linear_velocity(context: &VelocityContext) -> f32 {
    (-(context.velocity_error_mps / context.config.velocity_std_mps).powi(2)).exp()
}

fn yaw_rate(context: &VelocityContext) -> f32 {
    (-(context.yaw_rate_error_radps / context.config.yaw_rate_std_radps).powi(2)).exp()
}

fn air_time(context: &VelocityContext) -> f32 {
    match context.is_standing_commanded {
        true => 0.0,
        false => context.air_time_s,
    }
}

fn stand_still(context: &VelocityContext) -> f32 {
    match context.is_standing_commanded {
        true => context.step.distance_to_standing_rad(),
        false => 0.0,
    }
}

fn base_contact(context: &VelocityContext) -> f32 {
    f32::from(context.step.physics.base_touches())
}

/// The velocity task.
pub struct VelocityTask {
    config: VelocityConfig,
    robot: Arc<Robot>,
}

/// One episode of the velocity task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VelocityEpisode {
    /// Commands in order of time, each until the time at which the next begins, s.
    commands: Vec<(f32, Twist)>,
    /// Time since each foot left the ground, s.
    air_s: FootVec<f32>,
    velocity_error_sum: f32,
    yaw_rate_error_sum: f32,
}

impl VelocityEpisode {
    /// The command at a time since the start of the episode, s.
    fn command(&self, time_s: f32) -> Twist {
        let now = self.commands.iter().find(|(until_s, _)| time_s < *until_s);
        now.or(self.commands.last())
            .map_or_else(Twist::default, |(_, twist)| *twist)
    }

    /// Counts the time in the air and returns the sum of what exceeds `swing_s` over the feet that touch down.
    fn step_feet(&mut self, contact: &[bool], step_s: f32, swing_s: f32) -> f32 {
        let mut sum_s = 0.0;
        for (air_s, &touches) in self.air_s.iter_mut().zip(contact) {
            if !touches {
                *air_s += step_s;
            } else if *air_s > 0.0 {
                // A foot that is lifted for long earns no more.
                sum_s += air_s.min(2.0 * swing_s) - swing_s;
                *air_s = 0.0;
            }
        }
        sum_s
    }
}

impl VelocityTask {
    fn draw_command(&self, stream: &mut Stream) -> Twist {
        let c = &self.config;
        let twist = Twist {
            vx_mps: uniform(c.vx_mps, stream),
            vy_mps: uniform(c.vy_mps, stream),
            yaw_rate_radps: uniform(c.yaw_rate_radps, stream),
        };
        match stream.random::<f32>() < c.stand_probability {
            true => Twist::default(),
            false => twist,
        }
    }
}

impl Task for VelocityTask {
    type Config = VelocityConfig;
    type Episode = VelocityEpisode;

    const SUMMARY: &'static str = "The policy that follows a commanded twist over rough ground";
    const RECIPE: &'static str = include_str!("recipe.toml");
    const ROLE: &'static str = "velocity";
    const TEST: Test = Test::Twist(|| RecoveryTestConfig {
        vx_mps: vec![-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0],
        vy_mps: vec![-0.6, 0.0, 0.6],
        yaw_rate_radps: vec![-2.0, -1.0, 0.0, 1.0, 2.0],
        braking_mps: Vec::new(),
        ..RecoveryTestConfig::default()
    });

    fn observations(_: &RaySpec) -> Vec<ObservationTerm> {
        use Quantity::*;
        [
            AngularVelocityBase,
            ProjectedGravityBase,
            TwistCommand,
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

    fn twist_range(config: &VelocityConfig) -> Option<TwistRange> {
        // It is told to stand, too.
        let with_rest = |[low, high]: [f32; 2]| [low.min(0.0), high.max(0.0)];
        Some(TwistRange {
            vx_mps: with_rest(config.vx_mps),
            vy_mps: with_rest(config.vy_mps),
            yaw_rate_radps: with_rest(config.yaw_rate_radps),
        })
    }

    fn reward_names() -> Vec<&'static str> {
        [VelocityRewards::NAMES, Regularizers::NAMES].concat()
    }

    fn validate(config: &VelocityConfig) -> Result<(), ConfigError> {
        let at_least = ConfigError::unless_at_least;
        at_least("episode_s", config.episode_s, 0.1)?;
        at_least("command_s", config.command_s[0], 0.1)?;
        at_least("velocity_std_mps", config.velocity_std_mps, 0.01)?;
        at_least("yaw_rate_std_radps", config.yaw_rate_std_radps, 0.01)?;
        at_least("swing_s", config.swing_s, 0.0)?;
        ConfigError::unless_ranges(&[
            ("command_s", config.command_s),
            ("vx_mps", config.vx_mps),
            ("vy_mps", config.vy_mps),
            ("yaw_rate_radps", config.yaw_rate_radps),
            ("start_joint_factor", config.start_joint_factor),
        ])?;
        ConfigError::unless_fractions(&[
            ("stand_probability", config.stand_probability),
            (
                "level_down_survival_fraction",
                config.level_down_survival_fraction,
            ),
        ])
    }

    fn new(config: &VelocityConfig, robot: &Arc<Robot>) -> Result<Self, ConfigError> {
        Ok(Self {
            config: config.clone(),
            robot: Arc::clone(robot),
        })
    }

    fn plan(&self, _level: usize, stream: &mut Stream) -> EpisodePlan<VelocityEpisode> {
        let c = &self.config;
        let mut commands = Vec::new();
        let mut until_s = 0.0;
        while until_s < c.episode_s {
            until_s += uniform(c.command_s, stream);
            commands.push((until_s, self.draw_command(stream)));
        }
        let twist = [-c.start_twist, c.start_twist];
        let linear = Vector3::from_fn(|_, _| uniform(twist, stream));
        let angular = Vector3::from_fn(|_, _| uniform(twist, stream));
        let yaw = uniform([-PI, PI], stream);
        let joints = self.robot.control.default_position_rad.iter();
        let joints = joints.map(|q| q * uniform(c.start_joint_factor, stream));
        EpisodePlan {
            joint_position_rad: joints.collect(),
            episode: VelocityEpisode {
                commands,
                air_s: std::iter::repeat_n(0.0, self.robot.num_feet()).collect(),
                velocity_error_sum: 0.0,
                yaw_rate_error_sum: 0.0,
            },
            obstacles: Vec::new(),
            start_xy_m: [0.0, 0.0],
            orientation: UnitQuaternion::from_axis_angle(&Vector3::z_axis(), yaw),
            linear_velocity_world: linear,
            angular_velocity_world: angular,
            joint_velocity_radps: std::iter::repeat_n(0.0, self.robot.num_joints()).collect(),
        }
    }

    fn step(
        &self,
        episode: &mut VelocityEpisode,
        step: &StepContext,
        terms: &mut [f32],
    ) -> StepOutcome {
        let c = &self.config;
        let (state, command) = (step.state, episode.command(step.time_s - step.step_s));
        let context = VelocityContext {
            step,
            config: c,
            is_standing_commanded: command == Twist::default(),
            velocity_error_mps: (state.linear_velocity_base.x - command.vx_mps)
                .hypot(state.linear_velocity_base.y - command.vy_mps),
            yaw_rate_error_radps: state.angular_velocity_base.z - command.yaw_rate_radps,
            air_time_s: episode.step_feet(&state.foot_contact, step.step_s, c.swing_s),
        };
        let (task_terms, regularizers) = terms.split_at_mut(VelocityRewards::NAMES.len());
        c.rewards.evaluate(&context, task_terms);
        c.regularizers.evaluate(step, regularizers);
        episode.velocity_error_sum += context.velocity_error_mps;
        episode.yaw_rate_error_sum += context.yaw_rate_error_radps.abs();

        let falls = step.physics.base_touches();
        if !falls && !step.is_last(c.episode_s) {
            return StepOutcome::Running;
        }
        let steps = step.time_s / step.step_s;
        let velocity_error_mps = episode.velocity_error_sum / steps;
        let survival_fraction = step.time_s / c.episode_s;
        let level = if survival_fraction < c.level_down_survival_fraction {
            LevelChange::Down
        } else if !falls && velocity_error_mps < c.level_up_error_mps {
            LevelChange::Up
        } else {
            LevelChange::Stay
        };
        let end = EpisodeEnd {
            level,
            scalars: vec![
                ("fall_rate", f32::from(falls)),
                ("survival_fraction", survival_fraction),
                ("velocity_error_mps", velocity_error_mps),
                ("yaw_rate_error_radps", episode.yaw_rate_error_sum / steps),
            ],
        };
        match falls {
            true => StepOutcome::Terminated(end),
            false => StepOutcome::Timeout(end),
        }
    }

    fn input(&self, episode: &VelocityEpisode, _: &RobotState, time_s: f32) -> TaskInput {
        TaskInput {
            twist: episode.command(time_s),
            ..TaskInput::default()
        }
    }
}

#[cfg(test)]
mod tests;
