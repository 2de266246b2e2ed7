//! Settings that all tasks share, and their checks.

use policies::observation::{MAX_HISTORY, ObservationTerm, Quantity};
use serde::{Deserialize, Serialize};

use crate::tasks::EnvConfig;

/// Observation noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseConfig {
    /// Factor on the noise of the observation table.
    pub scale: f32,
    /// Replace rays that end behind the goal (docs/concepts/rays.md#illusion).
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

impl ConfigError {
    /// The setting `key`, and what would be right.
    pub fn new(key: &str, reason: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            reason: reason.into(),
        }
    }

    /// The same for a key of this section.
    #[must_use]
    pub fn within(self, section: &str) -> Self {
        let key = format!("{section}.{}", self.key);
        Self { key, ..self }
    }

    /// A number that has to be this large.
    ///
    /// # Errors
    /// When it is smaller, or NaN.
    pub fn unless_at_least(key: &str, value: f32, least: f32) -> Result<(), Self> {
        if value >= least {
            return Ok(());
        }
        let reason = format!("{value} is too small, at least {least} is needed");
        Err(Self::new(key, reason))
    }

    /// Numbers that have to be [low, high].
    ///
    /// # Errors
    /// The first that is not.
    pub fn unless_ranges(ranges: &[(&str, [f32; 2])]) -> Result<(), Self> {
        for (key, [low, high]) in ranges {
            if !(low.is_finite() && high.is_finite() && low <= high) {
                let reason = format!("[{low}, {high}] is not a range, write [low, high]");
                return Err(Self::new(key, reason));
            }
        }
        Ok(())
    }

    /// Numbers that have to be probabilities or fractions.
    ///
    /// # Errors
    /// The first that is not.
    pub fn unless_fractions(fractions: &[(&str, f32)]) -> Result<(), Self> {
        for (key, value) in fractions {
            if !(0.0..=1.0).contains(value) {
                let reason = format!("is {value}, must be between 0 and 1");
                return Err(Self::new(key, reason));
            }
        }
        Ok(())
    }
}

/// Most tiles of ground of one kind, and how far they may reach, m: all of them have room in 1 GB.
const MOST_TILES: usize = 1000;
const FARTHEST_M: f32 = 20.0;

impl EnvConfig {
    /// These terms, with the history of the robot's own motion that is asked for.
    pub(in crate::tasks) fn with_history(
        &self,
        terms: Vec<ObservationTerm>,
    ) -> Vec<ObservationTerm> {
        let with_history = |term: ObservationTerm| match term.term {
            Quantity::AngularVelocityBase
            | Quantity::JointPosition
            | Quantity::JointVelocity
            | Quantity::PreviousAction => term.with_history(self.proprioception_steps),
            _ => term,
        };
        terms.into_iter().map(with_history).collect()
    }

    fn validate_terrain(&self) -> Result<(), ConfigError> {
        let terrain = &self.terrain;
        ConfigError::unless_at_least("terrain.variants", terrain.variants as f32, 1.0)?;
        ConfigError::unless_at_least("terrain.reach_m", terrain.reach_m, 1.0)?;
        let reason = if terrain.reach_m > FARTHEST_M {
            let reason = format!("is {}, must be at most {FARTHEST_M}", terrain.reach_m);
            Some(("terrain.reach_m", reason))
        } else if terrain.variants.saturating_mul(self.curriculum.levels) > MOST_TILES {
            let reason = format!("times `curriculum.levels` must be at most {MOST_TILES}");
            Some(("terrain.variants", reason))
        } else if !(terrain.shares.iter().all(|share| *share >= 0.0)
            && (f32::MIN_POSITIVE..=f32::MAX).contains(&terrain.shares.iter().sum()))
        {
            let reason = "must be zero or more, and not all zero".to_owned();
            Some(("terrain.shares", reason))
        } else {
            None
        };
        reason.map_or(Ok(()), |(key, reason)| Err(ConfigError::new(key, reason)))
    }

    /// Checks all ranges.
    ///
    /// # Errors
    /// One line that names the key and what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let at_least = ConfigError::unless_at_least;
        at_least("num_envs", self.num_envs as f32, 1.0)?;
        at_least("noise.scale", self.noise.scale, 0.0)?;
        if !(1..=MAX_HISTORY).contains(&self.proprioception_steps) {
            let reason = format!(
                "is {}, must be 1 to {MAX_HISTORY} policy steps",
                self.proprioception_steps
            );
            return Err(ConfigError::new("proprioception_steps", reason));
        }
        let levels = self.curriculum.levels;
        at_least("curriculum.levels", levels as f32, 1.0)?;
        if self.curriculum.start_max >= levels {
            let reason = format!("must be below `levels` = {levels}");
            return Err(ConfigError::new("curriculum.start_max", reason));
        }
        let randomization = &self.randomization;
        at_least("randomization.friction", randomization.friction[0], 0.0)?;
        ConfigError::unless_ranges(&[
            ("randomization.friction", randomization.friction),
            (
                "randomization.added_base_mass_kg",
                randomization.added_base_mass_kg,
            ),
            ("randomization.joint_bias_rad", randomization.joint_bias_rad),
        ])?;
        self.validate_terrain()?;
        self.validate_tasks()
    }
}
