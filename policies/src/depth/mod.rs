//! From a depth image to the rays (method section 8).
//!
//! ```text
//! DepthImage -> InputMap -> panorama -> RayNetwork -> RayScan
//! ```
//!
//! The panorama is the image on a cylinder around the camera's vertical axis: columns at equal angles, so that every ray
//! looks alike, whatever the camera. The network is convolutional throughout, and one and the same filter bank predicts
//! each ray from the columns around it.

mod config;
mod errors;
pub(crate) mod image;
mod network;
pub(crate) mod panorama;
mod samples;

pub use config::{AugmentationConfig, RayLearningConfig, RayNetworkKind};
pub use errors::{DistanceError, MeanError, RayErrors};
pub use image::{DepthEncoding, DepthError, DepthImage, Intrinsics};
pub use network::{Convolution, RayNetwork, RayNetworkError, RayPredictor};
pub use panorama::{InputMap, Panorama};
pub use samples::{DepthSamples, SamplesError};
