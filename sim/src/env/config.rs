use policies::RaySpec;
use serde::{Deserialize, Serialize};

pub(crate) use crate::random::uniform;

use super::{agile::AgileConfig, randomization::RandomizationConfig, recovery::RecoveryConfig};
use crate::{
    engine::{EngineKind, PhysicsConfig},
    scene::TerrainConfig,
};

/// Settings of the training environments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvConfig {
    /// Environments, over all workers.
    pub num_envs: usize,
    /// Physics engine.
    pub engine: EngineKind,
    /// Lanes of the batch engine: 4, 8 (AVX2) or 16 (AVX-512); 0 for the most that the processor has.
    pub lanes: usize,
    /// Physics step, decimation, gravity, motors.
    pub physics: PhysicsConfig,
    /// Ray layout.
    pub rays: RaySpec,
    /// Critics also see what only a simulation knows (asymmetric actor-critic; the paper: false): the exact velocity of the base, and
    /// in the agile task how far it is to the obstacles all around.
    pub privileged_critic: bool,
    /// Observation noise and illusion.
    pub noise: NoiseConfig,
    /// Randomized physics.
    pub randomization: RandomizationConfig,
    /// Ground.
    pub terrain: TerrainConfig,
    /// Curriculum over levels of difficulty.
    pub curriculum: CurriculumConfig,
    /// The agile task.
    pub agile: AgileConfig,
    /// The recovery task.
    pub recovery: RecoveryConfig,
    /// Folder for the last second of environments that became NaN; training sets it to its run folder.
    pub dump_dir: Option<std::path::PathBuf>,
}

impl Default for EnvConfig {
    fn default() -> Self {
        Self {
            num_envs: 1280,
            engine: EngineKind::Batch,
            lanes: 0,
            physics: PhysicsConfig::default(),
            rays: RaySpec::default(),
            privileged_critic: false,
            noise: NoiseConfig::default(),
            randomization: RandomizationConfig::default(),
            terrain: TerrainConfig::default(),
            curriculum: CurriculumConfig::default(),
            agile: AgileConfig::default(),
            recovery: RecoveryConfig::default(),
            dump_dir: None,
        }
    }
}

/// Observation noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseConfig {
    /// Factor on the noise of the observation table.
    pub scale: f32,
    /// Replace rays that end behind the goal (method section 3, illusion).
    pub illusion: bool,
    /// How far behind the goal a ray must end to be replaced, m.
    pub illusion_margin_m: f32,
}

impl Default for NoiseConfig {
    fn default() -> Self {
        Self {
            scale: 1.0,
            illusion: true,
            illusion_margin_m: 0.3,
        }
    }
}

/// Curriculum: one level per environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CurriculumConfig {
    /// Number of levels.
    pub levels: usize,
    /// Levels at the start are drawn from 0 to this, inclusive.
    pub start_max: usize,
}

impl Default for CurriculumConfig {
    fn default() -> Self {
        Self {
            levels: 10,
            start_max: 5,
        }
    }
}

/// A setting that no environment can be built with.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("`env.{key}`: {reason}")]
pub struct ConfigError {
    key: String,
    reason: String,
}

impl EnvConfig {
    /// Checks all ranges.
    ///
    /// # Errors
    /// One line that names the key and what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |key: &str, reason: String| {
            Err(ConfigError {
                key: key.into(),
                reason,
            })
        };
        let at_least = |key: &str, value: f64, least: f64| {
            if value >= least {
                return Ok(());
            }
            error(
                key,
                format!("{value} is too small, at least {least} is needed"),
            )
        };
        at_least("num_envs", self.num_envs as f64, 1.0)?;
        at_least("physics.decimation", self.physics.decimation as f64, 1.0)?;
        at_least("physics.step_s", self.physics.step_s.into(), 1e-4)?;
        at_least("noise.scale", self.noise.scale.into(), 0.0)?;
        at_least("curriculum.levels", self.curriculum.levels as f64, 1.0)?;
        if self.curriculum.start_max >= self.curriculum.levels {
            let levels = self.curriculum.levels;
            return error(
                "curriculum.start_max",
                format!("must be below `levels` = {levels}"),
            );
        }
        let (a, r) = (&self.agile, &self.randomization);
        at_least("agile.episode_s", a.episode_s[0].into(), 0.1)?;
        at_least("recovery.episode_s", self.recovery.episode_s.into(), 0.1)?;
        at_least(
            "agile.obstacles.radius_m",
            a.obstacles.radius_m.into(),
            0.01,
        )?;
        at_least("agile.obstacles.margin_m", a.obstacles.margin_m.into(), 0.0)?;
        at_least("randomization.friction", r.friction[0].into(), 0.0)?;
        for (key, [low, high]) in [
            ("agile.episode_s", a.episode_s),
            ("agile.goal_x_m", a.goal_x_m),
            ("agile.goal_y_m", a.goal_y_m),
            ("agile.goal_heading_rad", a.goal_heading_rad),
            ("agile.start_joint_factor", a.start_joint_factor),
            ("agile.obstacles.x_m", a.obstacles.x_m),
            ("agile.obstacles.y_m", a.obstacles.y_m),
            ("agile.obstacles.speed_mps", a.obstacles.speed_mps),
            ("agile.obstacles.pace_mps", a.obstacles.pace_mps),
            ("agile.obstacles.box_length_m", a.obstacles.box_length_m),
            ("agile.obstacles.box_width_m", a.obstacles.box_width_m),
            ("recovery.start_vx_mps", self.recovery.start_vx_mps),
            (
                "recovery.start_joint_factor",
                self.recovery.start_joint_factor,
            ),
            ("randomization.friction", r.friction),
            ("randomization.added_base_mass_kg", r.added_base_mass_kg),
            ("randomization.joint_bias_rad", r.joint_bias_rad),
        ] {
            if !(low.is_finite() && high.is_finite() && low <= high) {
                return error(
                    key,
                    format!("[{low}, {high}] is not a range, write [low, high]"),
                );
            }
        }
        let o = &a.obstacles;
        for (key, share) in [
            ("agile.obstacles.walking_share", o.walking_share),
            ("agile.obstacles.box_share", o.box_share),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return error(key, format!("is {share}, must be between 0 and 1"));
            }
        }
        at_least("agile.obstacles.speed_mps", o.speed_mps[0].into(), 0.0)?;
        at_least("agile.obstacles.pace_mps", o.pace_mps[0].into(), 0.1)?;
        at_least(
            "agile.obstacles.box_length_m",
            o.box_length_m[0].into(),
            0.05,
        )?;
        at_least("agile.obstacles.box_width_m", o.box_width_m[0].into(), 0.05)?;
        let farthest = |[low, high]: [f32; 2]| low.abs().max(high.abs()) - a.start_xy_m;
        if o.count > 0 && farthest(o.x_m).hypot(farthest(o.y_m)) <= o.start_clearance_m {
            let reason = "leaves no place for an obstacle in obstacles.x_m, y_m; make it smaller";
            return error("agile.obstacles.start_clearance_m", reason.into());
        }
        Ok(())
    }
}
