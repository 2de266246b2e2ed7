//! From a depth image to the rays (docs/concepts/rays.md#ray-prediction).
//!
//! ```text
//! DepthImage, gravity -> InputMap -> signed distances around the rays -> RayNetwork -> RayScan
//! ```
//!
//! The camera's pose and the tilt of the robot are known, so geometry does what it can: at points around each ray it is
//! looked up whether the camera sees past them. So every ray looks alike, whatever the camera and however the robot is
//! tilted. The network is convolutional throughout, and one and the same filter bank predicts each ray.

mod config;
mod errors;
pub(crate) mod image;
mod network;
mod network_error;
mod samples;
pub(crate) mod tsdf;

pub use config::{Augmentation, RayLearningConfig, RayNetworkKind};
pub use errors::{DistanceError, MeanError, RayErrors};
pub use image::{
    DepthEncoding, DepthError, DepthImage, Intrinsics, MOST_PIXELS, check, fill_holes,
};
pub use network::{Convolution, RayNetwork, RayPredictor};
pub use network_error::RayNetworkError;
pub use samples::{DepthSamples, SamplesError};
pub use tsdf::{InputMap, RayGrid, fast_log2};
