use controller::ControllerError;
use policies::{depth::DepthError, spec::SpecError};
use serde::{Deserialize, Serialize};

use super::recovery::RecoveryTestConfig;
use crate::{
    engine::{EngineError, EngineKind, PhysicsConfig},
    episode::{EPISODE_S, EpisodeError},
    reality::RealityError,
    scene::{TestbedConfig, TestbedError},
    sensors::{CameraConfig, RealismConfigError},
};

/// Settings of the evaluation. The defaults are the paper's test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Number of episodes.
    pub episodes: usize,
    /// Length of an episode, s.
    pub episode_s: f32,
    /// Largest distance to the goal at the end that counts as reached, m.
    pub reach_m: f32,
    /// Record every step of every episode, not only of those that are drawn.
    pub every_step: bool,
    /// Where the rays come from.
    pub rays: RaySource,
    /// The camera, where rays are predicted from its images.
    pub camera: CameraConfig,
    /// Physics engine.
    pub engine: EngineKind,
    /// Scenes.
    pub testbed: TestbedConfig,
    /// The test of the recovery policy alone.
    pub recovery: RecoveryTestConfig,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            episodes: 1000,
            episode_s: EPISODE_S,
            reach_m: 0.65,
            every_step: false,
            rays: RaySource::Exact,
            camera: CameraConfig::default(),
            engine: EngineKind::Rapier,
            testbed: TestbedConfig::default(),
            recovery: RecoveryTestConfig::default(),
        }
    }
}

/// Where the controller's rays come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RaySource {
    /// The true distances.
    #[default]
    Exact,
    /// Predicted from depth images.
    Depth,
}

/// Why an evaluation could not be done.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// A setting is out of range.
    #[error("`eval.{key}` is {value}, must be {expected}")]
    Setting {
        /// Key in the configuration.
        key: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The recovery policy knows no goal.
    #[error(
        "the policy observes no goal; it tracks twists, and is tested by `abs eval --method` with its role"
    )]
    NoGoal,
    /// The scenes are impossible.
    #[error("eval.testbed: {0}")]
    Testbed(#[from] TestbedError),
    /// The bundle does not fit the robot.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The bundle acts at another period.
    #[error("{0}; the policy step is physics.decimation times physics.step_s")]
    PolicyStep(SpecError),
    /// A setting of the camera is out of range.
    #[error("eval.camera: {0}")]
    Camera(#[from] RealismConfigError),
    /// Rays from depth images, for a blind robot.
    #[error("robot `{0}` has no camera to predict rays from; add [camera] to its robot.toml")]
    NoCamera(String),
    /// The camera has no projection.
    #[error("robot `{robot}`: {source}")]
    Projection {
        /// Name of the robot.
        robot: String,
        /// What is wrong.
        source: DepthError,
    },
    /// The reality is impossible.
    #[error(transparent)]
    Reality(#[from] RealityError),
    /// The physics are impossible.
    #[error(transparent)]
    Physics(#[from] EngineError),
    /// An episode cannot be run.
    #[error(transparent)]
    Episode(#[from] EpisodeError),
}

/// The error of a setting that is not ok.
pub(super) fn setting(
    ok: bool,
    key: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<(), EvalError> {
    if ok {
        return Ok(());
    }
    Err(EvalError::Setting {
        key,
        value: value.to_string(),
        expected,
    })
}

impl EvalConfig {
    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self, physics: &PhysicsConfig) -> Result<(), EvalError> {
        physics.validate()?;
        setting(
            self.episodes > 0,
            "episodes",
            self.episodes as f64,
            "at least 1",
        )?;
        for (key, value) in [("episode_s", self.episode_s), ("reach_m", self.reach_m)] {
            let ok = value > 0.0 && value.is_finite();
            setting(ok, key, value.into(), "positive")?;
        }
        let ok = self.steps(physics) > 0;
        setting(
            ok,
            "episode_s",
            self.episode_s.into(),
            "at least one policy step",
        )?;
        self.recovery.validate()?;
        self.camera.validate()?;
        Ok(self.testbed.validate()?)
    }

    /// Policy steps of an episode.
    pub fn steps(&self, physics: &PhysicsConfig) -> usize {
        (self.episode_s / physics.policy_step_s()).round() as usize
    }
}
