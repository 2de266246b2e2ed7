//! Results of earlier commands, read back from their folders; curves are written here, too.

pub mod evaluation;
pub mod events;
pub mod gait;
pub mod request;
