use policies::Twist;
use serde::{Deserialize, Serialize};

use crate::{
    engine::EngineKind,
    scene::{TestbedConfig, TestbedError},
    tasks::{
        ConfigError, EnvConfig, RandomizationConfig,
        agile::{AgileConfig, ObstacleConfig},
    },
};

/// Settings of the rollouts. Ranges are [low, high].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RolloutConfig {
    /// Number of episodes.
    pub episodes: usize,
    /// Physics engine.
    pub engine: EngineKind,
    /// Fraction of the scenes that are drawn as in the test. The others are drawn as in training, with all cylinders.
    pub testbed_fraction: f32,
    /// Scenes as in the test.
    pub testbed: TestbedConfig,
    /// Scenes as in training; rewards and levels have no use here.
    pub agile: AgileConfig,
    /// Physics of the scenes as in training, at level 1. Encoders are exact.
    pub randomization: RandomizationConfig,
    /// Fraction of the episodes that begin anywhere among the obstacles, and not where scenes begin.
    pub anywhere_fraction: f32,
    /// Least distance from an obstacle where episodes begin anywhere, m.
    pub clearance_m: f32,
    /// Fraction of the episodes that begin running.
    pub running_fraction: f32,
    /// For how long the robot has run when such an episode begins, s.
    pub run_up_s: [f32; 2],
    /// Fraction of the episodes that begin in the standing pose, moving at a random twist.
    pub random_velocity_fraction: f32,
    /// Forward velocity of such a start, m/s. A standing robot that starts at more than 2 m/s often falls, which
    /// is no fault of the agile policy; faster starts are those of a running robot.
    pub random_vx_mps: [f32; 2],
    /// Velocity to the left of such a start, drawn from +/- this, m/s.
    pub random_vy_mps: f32,
    /// Turning rate of such a start, drawn from +/- this, rad/s.
    pub random_yaw_rate_radps: f32,
    /// Fraction of the episodes that begin with the recovery policy, which follows a random twist among the
    /// obstacles: where the switch hands back to the agile policy. Without them the value sees low speeds near
    /// obstacles only where the agile policy was about to collide, and takes speed for safety. Not used for a bundle
    /// without recovery policy.
    pub recovering_fraction: f32,
    /// For how long the recovery policy acts when such an episode begins, s.
    pub recovering_s: [f32; 2],
    /// The twists that it follows, in both directions.
    pub recovering_twist: Twist,
    /// How long an episode goes on behind the first step at the goal, s.
    pub after_reach_s: f32,
    /// Heading of a start in motion, drawn from the bearing of the goal +/- this, rad.
    pub moving_heading_rad: f32,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self {
            episodes: 60_000,
            engine: EngineKind::Batch,
            testbed_fraction: 0.5,
            testbed: TestbedConfig::default(),
            agile: AgileConfig {
                obstacles: ObstacleConfig {
                    presence_base: 1.0,
                    presence_per_level: 0.0,
                    ..ObstacleConfig::default()
                },
                ..AgileConfig::default()
            },
            randomization: RandomizationConfig {
                torque_noise_per_level_nm: 0.5,
                joint_bias_rad: [0.0; 2],
                ..RandomizationConfig::default()
            },
            anywhere_fraction: 0.6,
            clearance_m: 0.4,
            running_fraction: 0.6,
            run_up_s: [0.3, 3.0],
            random_velocity_fraction: 0.15,
            random_vx_mps: [-1.0, 2.0],
            random_vy_mps: 0.5,
            random_yaw_rate_radps: 3.0,
            recovering_fraction: 0.5,
            recovering_s: [0.1, 1.2],
            recovering_twist: Twist {
                vx_mps: 1.5,
                vy_mps: 0.3,
                yaw_rate_radps: 3.0,
            },
            after_reach_s: 0.5,
            moving_heading_rad: 1.5,
        }
    }
}

/// A setting that no rollout can be made with.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RolloutConfigError {
    /// A setting is out of range.
    #[error("`reach_avoid.rollouts.{key}` is {value}, must be {expected}")]
    Setting {
        /// Key in the configuration.
        key: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Scenes as in training are impossible.
    #[error("reach_avoid.rollouts, as in training: {0}")]
    Training(#[from] ConfigError),
    /// Scenes as in the test are impossible.
    #[error("reach_avoid.rollouts.testbed: {0}")]
    Testbed(#[from] TestbedError),
}

impl RolloutConfig {
    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), RolloutConfigError> {
        EnvConfig {
            agile: self.agile.clone(),
            randomization: self.randomization.clone(),
            ..EnvConfig::default()
        }
        .validate()?;
        let check = |ok: bool, key, value: String, expected| match ok {
            true => Ok(()),
            false => Err(RolloutConfigError::Setting {
                key,
                value,
                expected,
            }),
        };
        let episodes = self.episodes;
        check(episodes > 1, "episodes", episodes.to_string(), "at least 2")?;
        for (key, fraction) in [
            ("testbed_fraction", self.testbed_fraction),
            ("anywhere_fraction", self.anywhere_fraction),
            ("running_fraction", self.running_fraction),
            ("random_velocity_fraction", self.random_velocity_fraction),
            ("recovering_fraction", self.recovering_fraction),
        ] {
            let ok = (0.0..=1.0).contains(&fraction);
            check(ok, key, fraction.to_string(), "between 0 and 1")?;
        }
        let moving = self.running_fraction + self.random_velocity_fraction;
        check(
            moving <= 1.0,
            "running_fraction + random_velocity_fraction",
            moving.to_string(),
            "at most 1",
        )?;
        for (key, value) in [
            ("clearance_m", self.clearance_m),
            ("random_vy_mps", self.random_vy_mps),
            ("random_yaw_rate_radps", self.random_yaw_rate_radps),
            ("moving_heading_rad", self.moving_heading_rad),
            ("recovering_twist.vx_mps", self.recovering_twist.vx_mps),
            ("recovering_twist.vy_mps", self.recovering_twist.vy_mps),
            (
                "recovering_twist.yaw_rate_radps",
                self.recovering_twist.yaw_rate_radps,
            ),
            ("after_reach_s", self.after_reach_s),
        ] {
            let ok = value >= 0.0 && value.is_finite();
            check(ok, key, value.to_string(), "zero or more")?;
        }
        for (key, range, lowest) in [
            ("run_up_s", self.run_up_s, 0.0),
            ("recovering_s", self.recovering_s, 0.0),
            ("random_vx_mps", self.random_vx_mps, f32::NEG_INFINITY),
        ] {
            let [low, high] = range;
            let ok = low >= lowest && low <= high && high.is_finite() && low.is_finite();
            check(ok, key, format!("[{low}, {high}]"), "[low, high]")?;
        }
        let longest = self.run_up_s[1];
        check(
            longest < self.agile.episode_s[0],
            "run_up_s",
            format!("{:?}", self.run_up_s),
            "shorter than `agile.episode_s`",
        )?;
        let bias = self.randomization.joint_bias_rad;
        check(
            bias == [0.0; 2],
            "randomization.joint_bias_rad",
            format!("{bias:?}"),
            "[0, 0]: encoders are exact",
        )?;
        Ok(self.testbed.validate()?)
    }
}
