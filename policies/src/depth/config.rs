//! How the ray network is learned.

use serde::{Deserialize, Serialize};

use crate::training::InvalidConfig;

/// Networks that can be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RayNetworkKind {
    /// The network of the bundles, on signed distances around the rays. Configurations of earlier runs call it `panorama`.
    #[serde(alias = "panorama")]
    Tsdf,
    /// The paper's: ResNet-18 on the image, the depth in all three channels. For comparison; no bundle holds it.
    Resnet18,
}

/// Training of the rays from depth images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RayLearningConfig {
    /// The network.
    pub network: RayNetworkKind,
    /// Passes over the images, at least 1.
    pub epochs: usize,
    /// Images per optimizer step, at least 1.
    pub batch_size: usize,
    /// Adam's highest learning rate, above 0.
    pub learning_rate: f32,
    /// Learning rate at the end, above 0 and at most `learning_rate`; a half cosine leads there.
    pub final_learning_rate: f32,
    /// Optimizer steps from one checkpoint to the next, at least 1.
    pub checkpoint_interval: u64,
}

/// Augmentation of the images, drawn for each of them anew (docs/concepts/rays.md#ray-prediction). Fractions are of the images.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// Fraction that is mirrored, the rays with it.
    pub flip_fraction: f32,
    /// Fraction that is blurred.
    pub blur_fraction: f32,
    /// Fraction with noise on every depth and on the tilt of the robot.
    pub noise_fraction: f32,
    /// The standard deviation of the depths' noise is drawn up to this, log2 of a distance.
    pub noise_std: f32,
    /// Standard deviation of the tilt's noise, rad: on a robot image and tilt are not of quite the same instant.
    pub tilt_noise_rad: f32,
    /// Fraction in which a rectangle is replaced by one value.
    pub erase_fraction: f32,
    /// Largest side of such a rectangle, as a fraction of the image's.
    pub erase_side: f32,
}

impl Default for RayLearningConfig {
    fn default() -> Self {
        Self {
            network: RayNetworkKind::Tsdf,
            epochs: 8,
            batch_size: 64,
            learning_rate: 2e-3,
            final_learning_rate: 1e-5,
            checkpoint_interval: 500,
        }
    }
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            flip_fraction: 0.5,
            blur_fraction: 0.03,
            noise_fraction: 0.2,
            noise_std: 0.05,
            tilt_noise_rad: 0.01,
            erase_fraction: 0.03,
            erase_side: 0.2,
        }
    }
}

impl RayLearningConfig {
    /// Checks all settings.
    ///
    /// # Errors
    /// The first that is out of range.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let check = |ok, field, value: f32, right| {
            InvalidConfig::unless(ok, "depth.learning", field, value, right)
        };
        for (field, value) in [
            ("epochs", self.epochs as f32),
            ("batch_size", self.batch_size as f32),
            ("checkpoint_interval", self.checkpoint_interval as f32),
        ] {
            check(value >= 1.0, field, value, "at least 1")?;
        }
        let (rate, last) = (self.learning_rate, self.final_learning_rate);
        check(
            rate > 0.0 && rate.is_finite(),
            "learning_rate",
            rate,
            "above 0",
        )?;
        let ok = last > 0.0 && last <= rate;
        check(
            ok,
            "final_learning_rate",
            last,
            "above 0 and at most learning_rate",
        )
    }
}
