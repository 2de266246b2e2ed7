//! Results of earlier commands, read back from their folders.

pub mod evaluation;
pub mod events;
pub mod request;
