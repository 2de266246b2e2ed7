//! Recording of depth images to learn from (method section 8).

mod recorder;
mod scene;

pub use recorder::{DepthRecorder, RecordingConfig, RecordingError, Split};
pub use scene::DepthScene;

#[cfg(test)]
mod tests;
