//! Results of earlier commands, read back from their folders; curves are written here, too.

pub mod evaluation;
pub mod events;
pub mod gait;
#[cfg(any(feature = "train", test))]
pub mod json_lines;
pub mod request;
