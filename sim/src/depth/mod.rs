//! Recording of depth images to learn from (docs/concepts/rays.md#ray-prediction).

mod config;
mod recorder;
mod scene;

pub use config::{RecordingConfig, RecordingError, Split};
pub use recorder::DepthRecorder;
pub use scene::DepthScene;

#[cfg(test)]
mod tests;
