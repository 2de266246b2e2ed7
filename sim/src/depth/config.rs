use controller::ControllerError;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{EngineError, PhysicsConfig},
    episode::{EPISODE_S, EpisodeError},
    reality::RealityError,
    sensors::{RealismConfig, RealismConfigError},
};

/// Settings of a recording. Ranges are [low, high].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingConfig {
    /// Scenes to learn from, with the kinds of objects that may be learned; every second one with random compounds instead.
    pub train_scenes: usize,
    /// Scenes to test on; every second one with the kinds that are kept for the test, and no other.
    pub test_scenes: usize,
    /// Number of objects in a scene.
    pub objects: [usize; 2],
    /// Where objects stand and the robot runs, m.
    pub area_x_m: [f32; 2],
    /// Where objects stand and the robot runs, m.
    pub area_y_m: [f32; 2],
    /// How long the robot runs about in a scene, s.
    pub duration_s: f32,
    /// Time from one image to the next, s.
    pub interval_s: [f32; 2],
    /// Fraction of the scenes in which the switch acts; in the others the agile policy runs alone.
    pub abs_fraction: f32,
    /// Fraction of the scenes in which the camera has the errors of `realism`.
    pub realism_fraction: f32,
    /// Errors of the camera. Images are of the instant of the rays, so that a latency has no effect.
    pub realism: RealismConfig,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        Self {
            train_scenes: 12288,
            test_scenes: 512,
            objects: [6, 24],
            area_x_m: [-1.0, 8.0],
            area_y_m: [-3.0, 3.0],
            duration_s: EPISODE_S,
            interval_s: [0.4, 0.8],
            abs_fraction: 0.5,
            realism_fraction: 0.3,
            realism: RealismConfig::ordinary(),
        }
    }
}

/// What images are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// To learn from.
    Train,
    /// To test on.
    Test,
}

impl Split {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// Why images cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A setting is out of range.
    #[error("`depth.recording.{key}` is {value}, must be {expected}")]
    Setting {
        /// Key in the configuration.
        key: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The camera's errors are impossible.
    #[error("depth.recording.realism: {0}")]
    Realism(#[from] RealismConfigError),
    /// The reality is impossible.
    #[error(transparent)]
    Reality(#[from] RealityError),
    /// A blind robot.
    #[error("robot `{0}` has no camera; add [camera] to its robot.toml")]
    NoCamera(String),
    /// The rays of the policies are outside of the image.
    #[error(
        "the camera of robot `{0}` sees fewer than two of the rays that the policies see; record with another bundle or camera"
    )]
    NoRays(String),
    /// The bundle does not fit the robot.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The physics are impossible.
    #[error(transparent)]
    Physics(#[from] EngineError),
    /// A scene, whose number is the episode's, cannot be run.
    #[error(transparent)]
    Episode(#[from] EpisodeError),
}

impl RecordingConfig {
    /// Number of scenes of a split.
    pub fn scenes(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train_scenes,
            Split::Test => self.test_scenes,
        }
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self, physics: &PhysicsConfig) -> Result<(), RecordingError> {
        physics.validate()?;
        let check = |ok: bool, key, value: String, expected| match ok {
            true => Ok(()),
            false => Err(RecordingError::Setting {
                key,
                value,
                expected,
            }),
        };
        for (key, scenes) in [
            ("train_scenes", self.train_scenes),
            ("test_scenes", self.test_scenes),
        ] {
            let ok = scenes <= u32::MAX as usize;
            check(ok, key, scenes.to_string(), "at most 4294967295")?;
        }
        let [fewest, most] = self.objects;
        let ok = fewest <= most && most <= 64;
        check(
            ok,
            "objects",
            format!("{:?}", self.objects),
            "[low, high], at most 64",
        )?;
        for (key, [low, high]) in [
            ("area_x_m", self.area_x_m),
            ("area_y_m", self.area_y_m),
            ("interval_s", self.interval_s),
        ] {
            let ok = low <= high && low.is_finite() && high.is_finite();
            check(ok, key, format!("[{low}, {high}]"), "[low, high]")?;
        }
        for (key, value) in [
            ("interval_s", self.interval_s[0]),
            ("duration_s", self.duration_s),
        ] {
            let ok = value > 0.0 && value.is_finite();
            check(ok, key, value.to_string(), "positive")?;
        }
        for (key, fraction) in [
            ("abs_fraction", self.abs_fraction),
            ("realism_fraction", self.realism_fraction),
        ] {
            let ok = (0.0..=1.0).contains(&fraction);
            check(ok, key, fraction.to_string(), "between 0 and 1")?;
        }
        Ok(self.realism.validate()?)
    }
}
