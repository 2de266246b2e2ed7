//! The depth camera in simulation, and the recording of images to learn from (method section 8).

mod camera;
mod eyes;
mod primitive;
mod realism;
mod recorder;
mod scene;

pub use camera::DepthCamera;
pub use eyes::{CameraConfig, Eyes};
pub use realism::{RealismConfig, RealismConfigError};
pub use recorder::{DepthRecorder, RecordingConfig, RecordingError, Split};
pub use scene::DepthScene;

#[cfg(test)]
mod tests;
